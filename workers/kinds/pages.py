"""The Markdown pages of a repository as data: where they lie, their headings, their links; within named limits."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orchestrator.errors import TerminalError
from workers.kinds.distributions import decode, read_bytes

PAGE_BYTES_MAX: Final = 2 * 1024 * 1024
FILES_MAX: Final = 5_000  #: files looked at in one repository
DEPTH_MAX: Final = 12
SKIPPED = frozenset({"node_modules", "build", "dist", "__pycache__", "site-packages", "htmlcov"})
_FENCE = re.compile(r"^\s{0,3}(```+|~~~+)")
_LINK = re.compile(r"!?\[(?:[^\]\\]|\\.)*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")


def home_of(root: str) -> Path:
    """The repository's folder, resolved.

    Raises:
        TerminalError: it is no folder.
    """
    home = Path(root).resolve()
    if not home.is_dir():
        raise TerminalError(f"{root} is no folder")
    return home


def files_of(home: Path, suffix: str) -> list[Path]:
    """Files of the repository by suffix, sorted. Hidden folders, environments and build folders are left out, links
    not followed.

    Raises:
        TerminalError: there are more than `FILES_MAX`.
    """
    found: list[Path] = []
    for folder, names, files in os.walk(home):
        here = Path(folder)
        deep = len(here.relative_to(home).parts) >= DEPTH_MAX
        names[:] = [] if deep else sorted(name for name in names if _is_source(here / name))
        found += [here / name for name in files if name.endswith(suffix) and not (here / name).is_symlink()]
        if len(found) > FILES_MAX:
            raise TerminalError(f"{home} holds more than {FILES_MAX} files ending in {suffix}")
    return sorted(found)


def _is_source(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in SKIPPED
    return not hidden and not folder.is_symlink() and not (folder / "pyvenv.cfg").exists()


def text_of(path: Path) -> str:
    """The text of a page.

    Raises:
        TerminalError: it is missing, no regular file, or over `PAGE_BYTES_MAX`.
    """
    try:
        data = read_bytes(path, PAGE_BYTES_MAX + 1)
    except OSError as error:
        raise TerminalError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > PAGE_BYTES_MAX:
        raise TerminalError(f"{path} is larger than {PAGE_BYTES_MAX} bytes")
    return decode(data)


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Number and words of each line outside fenced code, code spans blanked."""
    fence = ""
    for number, line in enumerate(text.split("\n"), start=1):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark.group(1).startswith(fence):
                fence = ""
            continue
        if mark:
            fence = mark.group(1)
            continue
        yield number, re.sub(r"(`+)(?:(?!\1).)*\1", lambda span: " " * len(span.group()), line)


def links_of(text: str) -> list[tuple[int, str]]:
    """Line and target of each inline link or image."""
    return [(number, target) for number, line in prose(text) for target in _LINK.findall(line)]


def title_of(text: str) -> str:
    """The first heading; empty when there is none."""
    return next((match.group(2) for _, line in _headings(text) if (match := _HEADING.match(line))), "")


def _headings(text: str) -> Iterator[tuple[int, str]]:
    fenced = {number for number, _ in prose(text)}
    for number, line in enumerate(text.split("\n"), start=1):
        if number in fenced and _HEADING.match(line):
            yield number, line


def anchors_of(text: str) -> set[str]:
    """The fragments that links may name: headings as GitHub slugs them, repeated ones numbered, and explicit
    anchors."""
    found: dict[str, int] = {}
    anchors = set(_ANCHOR.findall(text))
    for _, line in _headings(text):
        match = _HEADING.match(line)
        assert match is not None
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", match.group(2)).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        times = found.get(slug, 0)
        found[slug] = times + 1
        anchors.add(slug if not times else f"{slug}-{times}")
    return anchors
