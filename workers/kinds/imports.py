"""Pool `imports`: what importing a distribution costs, measured in fresh interpreters."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import Final

import anyio
import anyio.abc

from orchestrator.errors import TerminalError
from workers.kinds.context import Context
from workers.kinds.distributions import MODULES_MAX, open_distribution
from workers.kinds.records import ImportCost, Metadata, ModuleCost
from workers.pool import Pool
from workers.standstill import Late, waited

TIMEOUT_S: Final = 20.0  #: of one interpreter; an import that takes longer is a fact of its own
OUTPUT_BYTES_MAX: Final = 4 * 1024 * 1024  #: of the timing report; importing the largest packages prints about 300 KB
RUNS: Final = 2  #: the quicker one counts: the first may have to compile
SLOWEST: Final = 3
_BEGIN: Final = "import time: begin"  #: what the interpreter loads before this line is its own start
#: `__import__` goes through the timed path of the interpreter, `importlib.import_module` would not. The directory and
#: the names come as arguments, never as code; the directory counts only where an isolated interpreter has it not.
_PROGRAM: Final = f"""import sys
if sys.argv[1] not in sys.path:
    sys.path.append(sys.argv[1])
print({_BEGIN!r}, file=sys.stderr, flush=True)
for name in sys.argv[2:]:
    __import__(name)
"""
_LINE = re.compile(r"^import time:\s+(\d+) \|\s+(\d+) \|( *)(\S+)$", re.MULTILINE)

imports = Pool("imports", concurrency=2)


@imports.worker
async def measure_import(ctx: Context, package: Metadata) -> ImportCost:
    """Time of importing the top-level modules, in microseconds, by `python -X importtime` in an isolated interpreter.

    At most `MODULES_MAX` modules, the shallowest first; private ones only where there is no other. The interpreter
    sees no
    environment variable of ours but PATH, and is killed with everything it started after `TIMEOUT_S` seconds.

    Raises:
        TerminalError: an import fails, prints without end, or takes too long: the cost is then not known.
    """
    tops = await anyio.to_thread.run_sync(lambda: open_distribution(package.ref).top_level())
    public = [name for name in tops if not name.split(".")[-1].startswith("_")] or tops
    names, skipped = public[:MODULES_MAX], public[MODULES_MAX:]
    if not names:
        note = "stub files only" if package.key.startswith("types-") else "no importable module of its own"
        return ImportCost(key=package.key, modules=[], modules_us=[], total_us=0, note=note)
    best: _Timing | None = None
    for _ in range(RUNS):
        timing = await _timed(package, names)
        if best is None or timing.total_us < best.total_us:
            best = timing
        if ctx.cancelled:
            break
    assert best is not None
    return ImportCost(
        key=package.key,
        modules=best.modules,
        modules_us=[module.us for module in best.modules],
        total_us=best.total_us,
        slowest=best.slowest,
        skipped=skipped[:MODULES_MAX],
        note=f"{len(skipped)} further modules not timed" if skipped else "",
    )


@dataclass(slots=True, kw_only=True)
class _Timing:
    modules: list[ModuleCost] = field(default_factory=list)
    slowest: list[ModuleCost] = field(default_factory=list)

    @property
    def total_us(self) -> int:
        return sum(module.us for module in self.modules)


async def _timed(package: Metadata, names: list[str]) -> _Timing:
    command = [sys.executable, "-I", "-X", "importtime", "-c", _PROGRAM, package.ref.root, *names]
    with tempfile.TemporaryDirectory(prefix="import-cost-") as folder:
        surroundings = {"PATH": os.environ.get("PATH", ""), "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"}
        process = await anyio.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=surroundings,
            start_new_session=True,
        )
        report = bytearray()

        async def ended() -> int:
            await _read_all(process, report)
            return await process.wait()

        try:
            code = await waited(TIMEOUT_S, ended)
        except Late:
            raise TerminalError(f"importing {', '.join(names)} took more than {TIMEOUT_S:g} s") from None
        finally:
            await _end(process)
    if code != 0 or len(report) > OUTPUT_BYTES_MAX:
        lines = [
            line
            for line in report.decode("utf-8", "replace").splitlines()
            if line.strip() and not line.startswith("import time:")
        ]
        why = (
            "it prints without end"
            if len(report) > OUTPUT_BYTES_MAX
            else (lines[-1].strip()[:300] if lines else f"exit code {code}")
        )
        raise TerminalError(f"importing {', '.join(names)} of {package.name} fails: {why}")
    return _read(report.decode("utf-8", "replace"), names)


async def _read_all(process: anyio.abc.Process, report: bytearray) -> None:
    assert process.stderr is not None
    with contextlib.suppress(anyio.EndOfStream):
        while len(report) <= OUTPUT_BYTES_MAX:
            report += await process.stderr.receive()
        _kill(process)


def _kill(process: anyio.abc.Process) -> None:
    """End the interpreter and all it started: they share a process group of their own."""
    with contextlib.suppress(ProcessLookupError):  # gone already
        os.killpg(process.pid, signal.SIGKILL)


async def _end(process: anyio.abc.Process) -> None:
    _kill(process)
    with anyio.CancelScope(shield=True):  # short: the process has been killed
        await process.aclose()


def _read(report: str, names: list[str]) -> _Timing:
    """Cumulative time of each module asked for; own time of the slowest. Something loaded before counts as 0."""
    own: dict[str, int] = {}
    whole: dict[str, int] = {}
    for self_us, cumulative_us, _indent, module in _LINE.findall(report.partition(_BEGIN)[2]):
        own.setdefault(module, int(self_us))
        whole.setdefault(module, int(cumulative_us))
    parents = {name: _with_parents(name) for name in names}
    counted: set[str] = set()
    modules = []
    for name, chain in parents.items():
        # `import a.b` prints a and a.b as two lines, neither inside the other.
        us = sum(whole.get(part, 0) for part in chain if part not in counted)
        counted.update(chain)
        modules.append(ModuleCost(module=name, us=us))
    slowest = sorted(own.items(), key=lambda item: -item[1])[:SLOWEST]
    return _Timing(modules=modules, slowest=[ModuleCost(module=module, us=us) for module, us in slowest])


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
