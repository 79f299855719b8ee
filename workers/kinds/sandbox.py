"""Runs Python code that a model wrote, in a process of its own. Not a security wall: a fence against accidents.

The process has an empty environment, a scratch folder that is deleted behind it, limits on time, memory, files and
processes, and no network where the system can give it a network of its own. It runs as the user `nobody` where this
process is root. It can still read what its user may read: for code that wants to do harm, use a container or a virtual
machine around the whole worker.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, NoReturn

import anyio
import anyio.to_thread
from anyio.abc import ByteReceiveStream, Process

from orchestrator.ids import JsonValue
from workers.kinds.records import Record
from workers.standstill import Late, waited

CODE_CHARS_MAX: Final = 100_000
OUTPUT_BYTES_MAX: Final = 64 * 1024  #: of what the code prints
RESULT_BYTES_MAX: Final = 1024 * 1024  #: of result.json
_NOBODY: Final = 65_534
_NEW_USER, _NEW_NET = 0x1000_0000, 0x4000_0000  # of unshare(2), from <sched.h>

#: What the process does before the code: a network of its own, another user, limits. Arguments: JSON of `Limits` parts.
_BOOT: Final = """
import ctypes, json, os, resource, sys
cage, libc = json.loads(sys.argv[1]), ctypes.CDLL(None, use_errno=True)
if cage["unshare"] and libc.unshare(cage["unshare"]):
    raise SystemExit("no network of its own: " + os.strerror(ctypes.get_errno()))
for name, amount in cage["limits"].items():
    resource.setrlimit(getattr(resource, name), (amount, amount + (name == "RLIMIT_CPU")))  # a second between signals
if cage["user"]:
    # The standard library may lie where only root may pass: it stays reachable through open folders.
    moved = {path: f"/proc/self/fd/{os.open(path, os.O_PATH)}" for path in sys.path if os.path.isdir(path)}
    os.setgroups([])
    os.setgid(cage["user"])
    os.setuid(cage["user"])
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, or /proc/self would still be root's
    sys.path[:] = moved.values()
    sys.path_importer_cache.clear()
    for module in list(sys.modules.values()):  # packages that are loaded look for their parts where they were found
        if hasattr(module, "__path__"):
            home = next((old for old in sorted(moved, reverse=True) if module.__path__[0].startswith(old)), "")
            module.__path__ = [moved[home] + module.__path__[0].removeprefix(home)] if home else module.__path__
del sys.argv[1:]
import runpy
runpy.run_path("main.py", run_name="__main__")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one piece of code may use."""

    wall_s: float = 20.0
    cpu_s: int = 10
    memory_bytes: int = 512 * 1024 * 1024  #: of address space
    file_bytes: int = 16 * 1024 * 1024  #: of one file it writes
    files: int = 64  #: open at the same time
    network: bool = False  #: True: it may use the network of this machine


class Ran(Record):
    """What came of it."""

    ok: bool
    printed: str  #: standard output and error, in one, cut at `OUTPUT_BYTES_MAX`
    result: JsonValue = None  #: what it wrote to result.json
    problem: str = ""  #: why it did not end well


@lru_cache(maxsize=1)
def own_network() -> int:
    """The flags under which this system gives a process a network of its own; 0 where it does not."""
    for flags in (_NEW_NET, _NEW_USER | _NEW_NET) if os.geteuid() == 0 else (_NEW_USER | _NEW_NET,):
        code = f"import ctypes, sys; sys.exit(1 if ctypes.CDLL(None).unshare({flags}) else 0)"
        done = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=False, env={}, timeout=30)
        if done.returncode == 0:
            return flags
    return 0


async def run_code(code: str, inputs: JsonValue, limits: Limits) -> Ran:
    """Run `code` as a script; it finds `inputs` in inputs.json and may leave a result in result.json.

    The caller has made sure that `own_network()` is there, or that `limits.network` is meant.
    """
    flags = 0 if limits.network else await anyio.to_thread.run_sync(own_network)
    user = _NOBODY if os.geteuid() == 0 and not flags & _NEW_USER else 0
    scratch = Path(tempfile.mkdtemp(prefix="orchestrator-code-"))
    try:
        await anyio.to_thread.run_sync(_furnish, scratch, code, inputs, user)
        cage = {
            "unshare": flags,
            "user": user,
            "limits": {
                "RLIMIT_CPU": limits.cpu_s,
                "RLIMIT_AS": limits.memory_bytes,
                "RLIMIT_FSIZE": limits.file_bytes,
                "RLIMIT_NOFILE": limits.files,
                "RLIMIT_NPROC": 0,
                "RLIMIT_CORE": 0,
            },
        }
        command = [sys.executable, "-I", "-B", "-S", "-c", _BOOT, json.dumps(cage)]
        with anyio.CancelScope(shield=True):  # cancelled half-way, the new process would be nobody's
            process = await anyio.open_process(
                command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, env={}, cwd=scratch, start_new_session=True
            )
        return await _watched(process, scratch, limits)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(scratch, ignore_errors=True))


def _furnish(scratch: Path, code: str, inputs: JsonValue, user: int) -> None:
    (scratch / "main.py").write_text(code, encoding="utf-8")
    (scratch / "inputs.json").write_text(json.dumps(inputs), encoding="utf-8")
    if user:
        for path in (scratch, *scratch.iterdir()):
            os.chown(path, user, user)


async def _watched(process: Process, scratch: Path, limits: Limits) -> Ran:
    printed, late = bytearray(), False
    stream = process.stdout
    assert stream is not None

    async def ended() -> None:
        await _collect(stream, printed)
        await process.wait()

    try:
        await waited(limits.wall_s, ended)
    except Late:
        late = True
    finally:
        with anyio.CancelScope(shield=True):
            # The whole group, and also after the process has ended: what it may have started ends with it.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            await process.aclose()
    text = bytes(printed[:OUTPUT_BYTES_MAX]).decode("utf-8", "replace").replace("\0", "")
    if len(printed) > OUTPUT_BYTES_MAX:
        text += "\n[cut]"
    if late:
        return Ran(ok=False, printed=text, problem=f"it did not end within {limits.wall_s:g} s")
    if process.returncode:
        return Ran(ok=False, printed=text, problem=_ended(process.returncode))
    try:
        return Ran(ok=True, printed=text, result=await anyio.to_thread.run_sync(_result, scratch))
    except ValueError as error:
        return Ran(ok=False, printed=text, problem=f"result.json cannot be read: {error}")


async def _collect(stream: ByteReceiveStream, printed: bytearray) -> None:
    """Read everything, keep the beginning."""
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        while True:
            chunk = await stream.receive()
            printed += chunk[: max(OUTPUT_BYTES_MAX + 1 - len(printed), 0)]


def _ended(code: int) -> str:
    if code > 0:
        return f"it ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"it was ended by {name}" + ("; its time on the processor was up" if name == "SIGXCPU" else "")


def _result(scratch: Path) -> JsonValue:
    path = scratch / "result.json"
    if path.is_symlink() or not path.is_file():
        return None
    if path.stat().st_size > RESULT_BYTES_MAX:
        raise ValueError(f"it has over {RESULT_BYTES_MAX} bytes")
    try:
        found: JsonValue = json.loads(path.read_text("utf-8"), parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
