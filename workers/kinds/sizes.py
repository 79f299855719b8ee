"""Pool `sizes`: what distributions weigh on disk, file by file."""

import os
import stat
from pathlib import Path, PurePosixPath
from typing import Final

from workers.kinds.context import Context
from workers.kinds.distributions import Installed, RecordRow, open_distribution
from workers.kinds.records import Metadata, Size, SizePart, Totals
from workers.pool import Pool

NAMED_MAX: Final = 10  #: missing or outside files that are listed by name
KINDS: Final = ("python", "native code", "bytecode", "metadata", "scripts", "data")

sizes = Pool("sizes", concurrency=4, isolation="thread")


@sizes.worker
def measure_size(ctx: Context, package: Metadata) -> Size:
    """Real bytes of every recorded file, by kind. A symbolic link counts as itself; nothing outside the environment
    is touched.

    Raises:
        TerminalError: nothing recorded which files belong to the distribution, or RECORD cannot be read.
    """
    installed = open_distribution(package.ref)
    rows = installed.recorded()
    files = dict.fromkeys(KINDS, 0)
    weight = dict.fromkeys(KINDS, 0)
    missing: list[str] = []
    outside: list[str] = []
    for path in unique_paths(rows):
        size = size_of(installed, installed.root / path)
        if size is None:
            outside.append(path)
        elif size < 0:
            missing.append(path)
        else:
            kind = kind_of(path)
            files[kind] += 1
            weight[kind] += size
    parts = [SizePart(kind=kind, files=files[kind], bytes=weight[kind]) for kind in KINDS if files[kind]]
    return Size(
        key=package.key,
        files=sum(files.values()),
        bytes=sum(weight.values()),
        parts=parts,
        parts_bytes=[part.bytes for part in parts],
        missing=missing[:NAMED_MAX],
        missing_count=len(missing),
        outside=outside[:NAMED_MAX],
        outside_count=len(outside),
    )


@sizes.worker
def add_sizes(ctx: Context, packages: list[Metadata], sizes: list[Size]) -> Totals:
    """All measured distributions together; a file that several record counts once in the total.

    Raises:
        TerminalError: a distribution changed its RECORD since it was measured.
    """
    metadata = {package.key: package for package in packages}
    measured = sorted(sizes, key=lambda size: size.key)
    seen: set[str] = set()
    shared_files = shared_bytes = 0
    for size in measured:
        installed = open_distribution(metadata[size.key].ref)
        for row in unique_paths(installed.recorded()):
            path = os.path.normpath(installed.root / row)
            weight = size_of(installed, installed.root / row)
            if path in seen and weight is not None and weight >= 0:
                shared_files += 1
                shared_bytes += weight
            seen.add(path)
    return Totals(
        keys=[size.key for size in measured],
        package_bytes=[size.bytes for size in measured],
        shared_files=shared_files,
        shared_bytes=shared_bytes,
        total_bytes=sum(size.bytes for size in measured) - shared_bytes,
    )


def unique_paths(rows: list[RecordRow]) -> list[str]:
    """Recorded paths, each once: a hostile RECORD must not count a file twice."""
    return list({os.path.normpath(row.path): row.path for row in rows}.values())


def size_of(installed: Installed, path: Path) -> int | None:
    """Bytes of a file (of a link: its own); -1 when it is missing or no file; None when it lies outside the
    environment."""
    if "\0" in str(path):
        return -1
    folder = installed.folder(path.parent)
    if folder is None:
        return None
    try:
        about = (folder / path.name).lstat()
    except OSError:
        return -1
    return about.st_size if stat.S_ISREG(about.st_mode) or stat.S_ISLNK(about.st_mode) else -1


def kind_of(path: str) -> str:
    """The group of `KINDS` that a recorded path belongs to."""
    pure = PurePosixPath(path)
    if any(part.endswith((".dist-info", ".egg-info")) for part in pure.parts[:1]):
        return "metadata"
    if pure.suffix in (".py", ".pyi"):
        return "python"
    if pure.suffix == ".pyc":
        return "bytecode"
    if pure.suffix in (".so", ".pyd", ".dll", ".dylib", ".a") or ".so." in pure.name:
        return "native code"
    return "scripts" if pure.parent.name in ("bin", "Scripts") else "data"
