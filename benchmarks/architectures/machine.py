"""Facts about this machine and these versions: kept apart from the report, because they differ between machines."""

import json
import os
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "hierarchical-orchestrator",
    "anyio",
    "pydantic",
    "reasoning-gym",
    "plancraft",
    "bfcl-eval",
    "agentdojo",
    "xllamacpp",
)


def facts() -> dict[str, object]:
    """Processor, cores, memory, system, versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: _version(name) for name in PACKAGES},
    }


def write(path: Path, measured: dict[str, object]) -> None:
    """The facts, and what was measured in this run: times, load, episodes per second."""
    path.write_text(json.dumps({"machine": facts(), **measured}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed here"
