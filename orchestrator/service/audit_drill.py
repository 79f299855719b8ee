"""The drill of a backup: put the copy back in a temporary place, open it as a journal, and check every record.

A backup that was never restored is a hope. The drill changes nothing but its own folder, which it removes.
"""

import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.app import open_journal, restore_journal
from orchestrator.core.checkpoints import Ledger
from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.service.audit_examine import Asks, Examined, examine
from orchestrator.service.control_desk import Desk, NoPools, ask
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """What a drill found."""

    found: Examined
    broken: list[JsonValue]  #: rules of a run that the copy's records break
    restore_s: float
    verify_s: float
    bytes: int  #: of the copy

    @property
    def sound(self) -> bool:
        """Whether the copy could stand in for the journal."""
        return not self.found.damaged and not self.broken

    def document(self, ledger: Ledger | None) -> dict[str, JsonValue]:
        """{runs, records, damaged, checkpoint, broken, bytes, restore_s, verify_s}."""
        return {
            **self.found.document(ledger),
            "broken": self.broken,
            "bytes": self.bytes,
            "restore_s": round(self.restore_s, 3),
            "verify_s": round(self.verify_s, 3),
        }


class _Desk:
    """Asks a desk of this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def ask(self, verb: str, **args: JsonValue) -> JsonValue:
        async for value in ask(self._desk, verb, args):
            return value
        raise AssertionError("every verb that does not stream gives one answer")

    async def stream(self, verb: str, **args: JsonValue) -> AsyncGenerator[JsonValue, None]:
        async for value in ask(self._desk, verb, args):
            yield value


async def drill(copy: Path, settings: Settings, ledger: Ledger | None = None) -> Drilled:
    """Restore a copy and check it: every hash, every rule, and, with a ledger, that nothing signed is missing from it.

    Raises:
        JournalError: the copy cannot be restored or opened.
        PromiseError: there is no room for a second one.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="orchestrator-drill-")
    except OSError as error:
        raise PromiseError(f"no folder for the drill: {error.strerror}", "set TMPDIR to one that has room") from None
    with folder as home:
        place = settings.model_copy(update={"store": f"sqlite:///{home}/journal.db"})
        began_s = time.monotonic()
        restored = restore_journal(place, copy)
        restored_s = time.monotonic()
        async with _opened(place) as asker:
            found = await examine(asker, ledger)
            told = await asker.ask("check", run=None)
        broken = told["broken"] if isinstance(told, dict) else None
        assert isinstance(broken, list), "what `check` answers"
        return Drilled(
            found=found,
            broken=broken,
            restore_s=restored_s - began_s,
            verify_s=time.monotonic() - restored_s,
            bytes=restored.stat().st_size,
        )


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Asks]:
    journal = await open_journal(settings)
    try:
        yield _Desk(Desk(journal, NoPools()))
    finally:
        await journal.close()
