"""Facts about the machine and the installed versions, so that a figure can be read next to where it came from."""

import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

FSYNC_PROBES = 50
PROBE_BYTES = 4096


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def filesystem(directory: Path) -> str:
    """Type of the filesystem that holds `directory`."""
    target = directory.resolve()
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mount, found, *_ = line.split()
        if (target == Path(mount) or Path(mount) in target.parents) and len(mount) >= len(best):
            best, kind = mount, found
    return kind


def fsync_s(directory: Path) -> float:
    """Median seconds of a 4 KiB write and its fsync in `directory`."""
    took_s = []
    with tempfile.NamedTemporaryFile(dir=directory) as handle:
        for _ in range(FSYNC_PROBES):
            began_s = time.perf_counter()
            handle.write(b"x" * PROBE_BYTES)
            handle.flush()
            os.fsync(handle.fileno())
            took_s.append(time.perf_counter() - began_s)
    return statistics.median(took_s)


def version(distribution: str) -> str:
    """Installed version, or `not installed`."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def facts(scratch: Path, distributions: list[str]) -> dict[str, object]:
    """Everything that is printed above the tables."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_bytes / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": Path(sys.executable).name,
        "sqlite": sqlite3.sqlite_version,
        "scratch_filesystem": filesystem(scratch),
        "fsync_us": round(fsync_s(scratch) * 1e6),
        "load_at_start": os.getloadavg(),
        "versions": {name: version(name) for name in distributions},
    }


def text(found: dict[str, object]) -> str:
    """The facts as lines."""
    return "\n".join(f"  {key}: {value}" for key, value in found.items())
