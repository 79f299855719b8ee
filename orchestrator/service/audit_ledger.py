"""The file of signed checkpoints: where it lies, which key signs it, and how lines come to it.

It belongs to whoever looks after the journal, not to the process that owns it: neither key nor file is needed to run.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from orchestrator.core.checkpoints import KEY_CHARS_MIN, Ledger
from orchestrator.errors import CheckpointBroken, PromiseError
from orchestrator.settings import Settings, store_path

KEY_VARIABLE: Final = "ORCHESTRATOR_AUDIT_KEY"
LINE_BYTES_MAX: Final = 16 << 20  #: one checkpoint
_SERVER_FILE: Final = Path(".orchestrator/checkpoints.jsonl")  #: for a store that is no file
_HELP: Final = f"set {KEY_VARIABLE} to a secret of {KEY_CHARS_MIN} or more characters that the store does not hold"


def keys_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of checkpoints: the first signs, all verify. They are separated by commas; none where there is none.

    Raises:
        PromiseError: one is too short to protect anything.
    """
    keys = tuple(filter(None, (key.strip() for key in environment.get(KEY_VARIABLE, "").split(","))))
    if any(len(key) < KEY_CHARS_MIN for key in keys):
        raise PromiseError(f"a key in {KEY_VARIABLE} has fewer than {KEY_CHARS_MIN} characters", _HELP)
    return keys


def must_have(keys: Sequence[str], why: str) -> None:
    """Refuse to go on without a key.

    Raises:
        PromiseError: there is none; `why` says what for.
    """
    if not keys:
        raise PromiseError(f"{why}, and there is no key", _HELP)


def ledger_file(settings: Settings, named: Path | None) -> Path:
    """The file of a store's checkpoints: the one that was named, else beside the journal."""
    if named is not None:
        return named
    path = store_path(settings.store)
    return path.with_name(path.name + ".checkpoints.jsonl") if path is not None else _SERVER_FILE


def read_ledger(path: Path, keys: tuple[str, ...]) -> Ledger:
    """What the lines of a file add up to; nothing where there is no file.

    Raises:
        CheckpointBroken: a line was changed, is missing, or was not written to its end.
        PromiseError: the file cannot be read.
    """
    ledger = Ledger(keys)
    try:
        with path.open("rb") as source:
            while line := source.readline(LINE_BYTES_MAX + 1):
                if not line.endswith(b"\n"):
                    raise CheckpointBroken(ledger.number + 1, f"the last line of {path} was not written to its end")
                ledger.add(line[:-1].decode(errors="surrogateescape"))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise PromiseError(f"{path} cannot be read: {error.strerror}", "name a file of checkpoints") from None
    return ledger


class LedgerFile:
    """An open ledger, of which this process is the only writer for now."""

    def __init__(self, path: Path, descriptor: int, ledger: Ledger) -> None:
        self.path, self.ledger = path, ledger
        self._descriptor = descriptor

    def write(self, lines: Sequence[str]) -> None:
        """Add signed lines; they are on the disk when this returns."""
        for line in lines:
            rest = memoryview(line.encode() + b"\n")
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        os.fsync(self._descriptor)


@contextmanager
def writing(path: Path, keys: tuple[str, ...]) -> Iterator[LedgerFile]:
    """The ledger for as long as the block lasts; others who write to it wait.

    Raises:
        CheckpointBroken: it is damaged, so that nothing may follow.
        PromiseError: the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PromiseError(f"{path} cannot be written: {error.strerror}", "name another one: --checkpoints F") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield LedgerFile(path, descriptor, read_ledger(path, keys))
    finally:
        os.close(descriptor)
