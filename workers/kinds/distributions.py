"""Find installed distributions and read their files within named limits.

Owns every touch of the file system that the audit makes: nothing outside the import directories and the environment's
prefix is read, symbolic links out of them are not followed, and only regular files are opened. Knows no pool and no
plan.
"""

import csv
import email.message
import email.parser
import email.policy
import io
import os
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from orchestrator.errors import TerminalError
from workers.kinds.records import PackageRef

METADATA_BYTES_MAX: Final = 4 * 1024 * 1024
RECORD_BYTES_MAX: Final = 16 * 1024 * 1024
RECORD_FILES_MAX: Final = 100_000  #: files of one distribution; the largest wheels in use hold about 20,000
DISTRIBUTIONS_MAX: Final = 5_000  #: of one environment
FIELD_CHARS_MAX: Final = 2_000  #: of one metadata field that is passed on
MODULES_MAX: Final = 8  #: top-level modules whose import is timed
INFO_SUFFIXES: Final = (".dist-info", ".egg-info")
_IDENTIFIER = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_SIDE_MODULES = frozenset({"test", "tests", "testing", "docs", "doc", "examples", "example", "benchmarks", "scripts"})
_EXTENSION = re.compile(r"\.(?:cpython-[^.]+|abi3|cp\d+-[^.]+|pypy[^.]+)?\.?(?:so|pyd)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRow:
    """One line of RECORD."""

    path: str  #: as written, relative to the import directory
    digest: str  #: `sha256=…` in urlsafe base64 without padding, or empty


def normalise(name: str) -> str:
    """The key under which a distribution is known. Source: PEP 503, "Normalized Names"."""
    return re.sub(r"[-_.]+", "-", name).lower()


def import_roots() -> list[Path]:
    """The directories that this interpreter imports from, resolved, in order, each once."""
    seen: dict[Path, None] = {}
    for entry in sys.path:
        if entry and Path(entry).is_dir():
            seen.setdefault(Path(entry).resolve())
    return list(seen)


def decode(data: bytes) -> str:
    """UTF-8 text; bytes that are none become U+FFFD, and NUL a space, so that any file gives text."""
    return data.decode("utf-8-sig", errors="replace").replace("\0", " ")


def read_bytes(path: Path, limit: int) -> bytes:
    """At most `limit` bytes of a regular file. Pipes and devices are refused, so no read can hang.

    Raises:
        OSError: the file is missing, is no regular file, or may not be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{path} is no regular file")
        return file.read(limit)


class Installed:
    """One distribution on disk."""

    def __init__(self, root: Path, info: str) -> None:
        """`root` is the import directory, `info` the name of its information directory (or file) in there."""
        self.root, self.info = root, root / info
        self._folders: dict[Path, Path | None] = {}

    def inside(self, path: Path) -> Path | None:
        """`path` with links resolved, or None when it leaves both the import directory and the environment."""
        folder = self.folder(path.parent)
        if folder is None or path.name in {"", ".."}:
            return None
        direct = folder / path.name
        try:
            if not direct.is_symlink():
                return direct
        except (OSError, ValueError):  # a name too long, a NUL
            return None
        return self._within(direct)

    def folder(self, folder: Path) -> Path | None:
        """As `inside`, for a folder; remembered, because the files of a distribution share few of them."""
        if folder not in self._folders:
            self._folders[folder] = self._within(folder)
        return self._folders[folder]

    def _within(self, path: Path) -> Path | None:
        try:
            real = path.resolve()
        except (OSError, RuntimeError, ValueError):  # a loop of links, a name too long, a NUL
            return None
        homes = (self.root, Path(sys.prefix).resolve())
        return real if any(real.is_relative_to(home) for home in homes) else None

    def info_text(self, name: str, limit: int = METADATA_BYTES_MAX) -> str | None:
        """The text of a file of the information directory; None when there is none.

        Raises:
            TerminalError: it is larger than `limit` bytes, or leads out of the environment.
        """
        path = self.info / name
        real = self.inside(path)
        if real is None:
            raise TerminalError(f"{path} leads out of the environment and is not read")
        try:
            data = read_bytes(real, limit + 1)
        except OSError:
            return None
        if len(data) > limit:
            raise TerminalError(f"{path} is larger than {limit} bytes")
        return decode(data)

    @cached_property
    def metadata(self) -> email.message.Message:
        """The headers of METADATA or PKG-INFO.

        Raises:
            TerminalError: there is no metadata file, or it is too large.
        """
        for name in ("METADATA", "PKG-INFO", ""):  # the last: an egg-info that is itself the file
            text = self.info_text(name)
            if text is not None:
                return email.parser.HeaderParser(policy=email.policy.compat32).parsestr(text)
        raise TerminalError(f"{self.info} holds no METADATA")

    def field(self, name: str) -> str:
        """One header, as text without the marks of line folding; empty when absent or UNKNOWN."""
        value = str(self.metadata.get(name) or "").strip()
        return "" if value == "UNKNOWN" else value

    def fields(self, name: str) -> list[str]:
        """All headers of one name."""
        return [str(value).strip() for value in self.metadata.get_all(name) or []]

    @cached_property
    def record(self) -> list[RecordRow] | None:
        """The files of the distribution; None when nothing recorded them.

        Raises:
            TerminalError: RECORD is over its limits or cannot be read as CSV.
        """
        text = self.info_text("RECORD", RECORD_BYTES_MAX)
        if text is None:
            return None
        rows: list[RecordRow] = []
        try:
            for row in csv.reader(io.StringIO(text, newline="")):
                if not row or not row[0]:
                    continue
                rows.append(RecordRow(path=row[0], digest=row[1] if len(row) > 1 else ""))
                if len(rows) > RECORD_FILES_MAX:
                    raise TerminalError(f"{self.info / 'RECORD'} names more than {RECORD_FILES_MAX} files")
        except csv.Error as error:
            raise TerminalError(f"{self.info / 'RECORD'} cannot be read: {error}") from error
        return rows

    def recorded(self) -> list[RecordRow]:
        """The files of the distribution.

        Raises:
            TerminalError: nothing recorded them, so which files belong to it is not known.
        """
        rows = self.record
        if rows is None:
            raise TerminalError(f"{self.info.name} has no RECORD: which files belong to it is not recorded")
        return rows

    def relative(self, path: Path) -> str:
        """How a file is named in a report: from the import directory, or in full when it lies elsewhere."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()

    def top_level(self) -> list[str]:
        """Dotted names of the shallowest importable modules, public ones first; namespace packages are looked into."""
        packages: set[str] = set()
        modules: set[str] = set()
        for row in self.record or []:
            parts = row.path.split("/")
            stem = _EXTENSION.sub("", parts[-1]).removesuffix(".py")
            if stem == parts[-1] or not all(_IDENTIFIER.match(part) for part in [*parts[:-1], stem]):
                continue
            if stem == "__init__":
                packages.add(".".join(parts[:-1]))
            else:
                modules.add(".".join([*parts[:-1], stem]))
        everything = (packages | modules) - {""}
        tops = [
            name for name in everything if name.rpartition(".")[0] not in packages and not self._below(name, packages)
        ]
        worth = [name for name in tops if name.split(".")[0] not in _SIDE_MODULES and name.split(".")[-1] != "__main__"]
        return sorted(worth, key=lambda name: (name.split(".")[-1].startswith("_"), name.count("."), name))

    @staticmethod
    def _below(name: str, packages: set[str]) -> bool:
        parts = name.split(".")
        return any(".".join(parts[:depth]) in packages for depth in range(1, len(parts)))


def discover() -> Iterator[Installed]:
    """Every distribution that this interpreter could import, in the order of its search, hidden ones included."""
    count = 0
    for root in import_roots():
        try:
            names = sorted(entry.name for entry in root.iterdir() if entry.name.endswith(INFO_SUFFIXES))
        except OSError:
            continue  # a directory that may not be listed offers nothing to import either
        for name in names:
            count += 1
            if count > DISTRIBUTIONS_MAX:
                raise TerminalError(f"more than {DISTRIBUTIONS_MAX} distributions are installed")
            yield Installed(root, name)


def open_distribution(ref: PackageRef) -> Installed:
    """The distribution that `ref` names.

    Raises:
        TerminalError: it is not installed, or lies where this interpreter does not import from.
    """
    if ref.absent:
        raise TerminalError(ref.absent)
    plain = ref.info.endswith(INFO_SUFFIXES) and "/" not in ref.info and os.sep not in ref.info
    root = Path(ref.root)
    if not plain or root not in import_roots():
        raise TerminalError(f"{ref.name}: {ref.root}/{ref.info} is no place that this interpreter imports from")
    installed = Installed(root, ref.info)
    if not installed.info.exists():
        raise TerminalError(f"{ref.name}: {installed.info} is gone since the inventory was made")
    return installed
