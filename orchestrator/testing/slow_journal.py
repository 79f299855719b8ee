"""The store of a scenario: a journal whose commits take as long as the script says."""

from collections.abc import Sequence

import anyio

from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, Journal, Recorded, RunQuery, RunRow
from orchestrator.testing.script import STORE, Script


class SlowJournal:
    """A `Journal` before another one."""

    def __init__(self, journal: Journal, script: Script) -> None:
        self._journal, self._script = journal, script

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        """One commit: it waits first, for what dies with the process that waits was never written."""
        line = self._script.next([STORE], None)
        if line is not None:
            await anyio.sleep(line.answer.after_s)
        return await self._journal.append(entries)

    async def read(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Recorded]:
        """See `Journal`."""
        return await self._journal.read(run_id, after, limit)

    async def runs(self, query: RunQuery) -> list[RunRow]:
        """See `Journal`."""
        return await self._journal.runs(query)

    async def claim(self, run_id: RunId, owner: str) -> int:
        """See `Journal`."""
        return await self._journal.claim(run_id, owner)

    async def forget(self, run_ids: Sequence[RunId], *, payloads_only: bool) -> int:
        """See `Journal`."""
        return await self._journal.forget(run_ids, payloads_only=payloads_only)

    async def close(self) -> None:
        """See `Journal`."""
        await self._journal.close()
