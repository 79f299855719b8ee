"""Looking after the journal itself: copying it, choosing what is old, forgetting what was chosen."""

import time
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import anyio

from orchestrator.core.retention import Retention, forgettable
from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import Journal, RunQuery
from orchestrator.service.control_args import ForgetArgs, GcArgs

ALL: Final = 1_000_000  #: runs looked through
DAY_S: Final = 86_400.0


@runtime_checkable
class FileJournal(Protocol):
    """What a journal in a file can do beyond the port."""

    async def backup(self, target: Path) -> None:
        """Copy the journal to a new file."""
        ...


async def old(journal: Journal, args: GcArgs) -> JsonValue:
    """[run]: ended runs that no rule keeps, with their sub-plans. Nothing is deleted."""
    retention = Retention(keep_last=args.keep_runs, keep_s=args.keep_days * DAY_S)
    rows = await journal.runs(RunQuery(limit=ALL))
    return [*forgettable(rows, retention, time.time())]


async def forget(journal: Journal, args: ForgetArgs) -> JsonValue:
    """Delete ended runs, or what they said; {freed_bytes}."""
    freed = await journal.forget([RunId(name) for name in args.runs], payloads_only=args.payloads_only)
    return {"freed_bytes": freed}


async def backup(journal: Journal, target: str) -> JsonValue:
    """Copy the journal to a new file; {file, bytes}."""
    path = Path(target)
    if not path.is_absolute():
        raise PromiseError(f"{target} is no absolute path", "the owner of the store may work in another folder")
    if not isinstance(journal, FileJournal):
        raise PromiseError("this journal is no file", "name one: --store sqlite:///file")
    await journal.backup(path)
    found = await anyio.Path(path).stat()
    return {"file": str(path), "bytes": found.st_size}
