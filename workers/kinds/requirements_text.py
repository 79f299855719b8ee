"""Read a requirements file and match it against what is installed; what does not match is named, never guessed."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from orchestrator.errors import TerminalError
from workers.kinds.distributions import decode, normalise, read_bytes
from workers.kinds.records import PackageRef

FILE_BYTES_MAX: Final = 8 * 1024 * 1024
LINES_MAX: Final = 50_000
INCLUDE_DEPTH_MAX: Final = 5
_OPTION = re.compile(r"\s+--[a-z-]+(?:[= ]\S+)?")
_COMMENT = re.compile(r"(?:^|\s)#.*$")


@dataclass(slots=True, kw_only=True)
class Wanted:
    """What a requirements file asks for, sorted by how it can be met here."""

    targets: dict[str, PackageRef] = field(default_factory=dict)  #: by key, in the order of the file
    not_applicable: list[str] = field(default_factory=list)  #: the marker is false here
    unpinned: list[str] = field(default_factory=list)  #: no exact version is asked for


def match_requirements(file: Path, installed: Mapping[str, PackageRef]) -> Wanted:
    """Which distributions `file` asks for; `installed` maps keys to what is here.

    A requirement that this environment does not meet becomes a reference without a place, whose `absent` says why.

    Raises:
        TerminalError: the file is missing, too large, or includes files too deeply or from elsewhere.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    wanted = Wanted()
    for where, text in _lines(file, file.resolve().parent, 0):
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            name = re.split(r"[\s=<>~!;@\[]", text, maxsplit=1)[0] or text
            reason = f"{where}: cannot be read as a requirement ({str(error).splitlines()[0]}): {text[:200]}"
            wanted.targets.setdefault(
                f"{where}", PackageRef(name=name[:200], key=normalise(name[:200]), version="", absent=reason)
            )
            continue
        key = normalise(requirement.name)
        if requirement.marker is not None and not requirement.marker.evaluate():
            wanted.not_applicable.append(f"{where}: {text[:200]}")
            continue
        here = installed.get(key)
        pinned = any(
            part.operator in ("==", "===") and not part.version.endswith(".*") for part in requirement.specifier
        )
        if not pinned:
            wanted.unpinned.append(f"{where}: {text[:200]}")
        if here is None:
            reason = f"{where} asks for {text[:200]}: not installed in this environment"
            wanted.targets[key] = PackageRef(name=requirement.name, key=key, version="", absent=reason)
        elif not requirement.specifier.contains(here.version, prereleases=True):
            reason = f"{where} asks for {text[:200]}: {here.version} is installed"
            wanted.targets[key] = PackageRef(name=requirement.name, key=key, version="", absent=reason)
        else:
            wanted.targets.setdefault(key, here)
    return wanted


def _lines(file: Path, home: Path, depth: int) -> Iterator[tuple[str, str]]:
    """Place and text of each requirement: continuations joined; comments, hashes and index options dropped."""
    real = file.resolve()
    if depth > INCLUDE_DEPTH_MAX or not real.is_relative_to(home):
        raise TerminalError(f"{file} is included too deeply, or lies outside {home}")
    try:
        data = read_bytes(real, FILE_BYTES_MAX + 1)
    except OSError as error:
        raise TerminalError(f"the requirements file {file} cannot be read: {error.strerror or error}") from error
    if len(data) > FILE_BYTES_MAX or data.count(b"\n") > LINES_MAX:
        raise TerminalError(f"{file} is over {FILE_BYTES_MAX} bytes or {LINES_MAX} lines")
    held, began = "", 0
    for number, line in enumerate([*decode(data).split("\n"), ""], start=1):
        began = began if held else number
        bare = _COMMENT.sub("", line.rstrip("\r"))
        if bare.endswith("\\"):
            held += bare[:-1] + " "
            continue
        text, held = (held + bare).strip(), ""
        where = f"{file.name}:{began}"
        if include := re.match(r"(?:-r|--requirement)[ =]\s*(\S+)", text):
            yield from _lines(file.parent / include.group(1), home, depth + 1)
        elif text.startswith(("-e", "--editable")):
            yield where, text.split(maxsplit=1)[-1]
        elif text and not text.startswith("-"):
            yield where, _OPTION.sub("", text).strip()
