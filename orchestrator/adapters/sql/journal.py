"""The SQLite journal: one file, one process, one connection."""

from collections.abc import Sequence
from pathlib import Path

from orchestrator.adapters.sql.artifacts import SqliteArtifacts
from orchestrator.adapters.sql.sessions import SqliteSessions
from orchestrator.adapters.sql.writer import Writer
from orchestrator.core.chain import Link
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, Recorded, RunQuery, RunRow


class SqliteJournal:
    """A `Journal` in a SQLite file, for the event loop it was opened in, asyncio or trio.

    Cancelling a call does not take it back: what was asked for may be written all the same.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = self.writer = writer  #: for what else lies in the same file
        self.artifacts = SqliteArtifacts(writer)  #: in the same file; usable until `close`
        self.sessions = SqliteSessions(writer)  #: likewise

    @classmethod
    async def open(cls, path: Path, *, max_bytes: int | None = None) -> "SqliteJournal":
        """Open or create the journal at `path`, and its folder; own it until `close` or the end of the process.

        `max_bytes` limits the file, in bytes; None: as large as the disk. The write-ahead log beside it comes on top,
        usually below 64 MiB.

        Raises:
            JournalOwned: another process, or another journal of this one, has the file.
            PromiseError: a network file system, or an SQLite that is too old.
            JournalError: no journal, one of a newer release, or a file that cannot be used.
        """
        return cls(await Writer.open(path, max_bytes))

    @property
    def path(self) -> Path:
        """The file."""
        return self._writer.path

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        return await self._writer.append(entries).answer()

    async def read(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Recorded]:
        return await self._writer.submit(lambda store: store.read(run_id, after, limit)).answer()

    async def runs(self, query: RunQuery) -> list[RunRow]:
        return await self._writer.submit(lambda store: store.runs(query)).answer()

    async def claim(self, run_id: RunId, owner: str) -> int:
        return await self._writer.submit(lambda store: store.claim(run_id, owner)).answer()

    async def forget(self, run_ids: Sequence[RunId], *, payloads_only: bool) -> int:
        return await self._writer.submit(lambda store: store.forget(run_ids, payloads_only=payloads_only)).answer()

    async def verify_run(self, run_id: RunId) -> int:
        """Check every hash of a run without reading its facts; return the number of its records.

        Raises:
            JournalCorrupt: a record is damaged or missing.
            RunNotFound: no such run.
        """
        return await self._writer.submit(lambda store: store.verify(run_id)).answer()

    async def links(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Link]:
        """Records as the hash chain sees them, with header, salt and payload as they are stored, each checked.

        Raises:
            JournalCorrupt: a record is damaged or missing.
        """
        return await self._writer.submit(lambda store: store.links(run_id, after, limit)).answer()

    async def damages(self) -> list[str]:
        """What SQLite's own check says against the list of runs and its indexes, which no hash covers; empty: nothing.

        Raises:
            JournalError: it cannot be read at all.
        """
        return await self._writer.submit(lambda store: store.damages()).answer()

    async def backup(self, target: Path) -> None:
        """Copy the journal to `target` while it is in use; calls made meanwhile wait. Nothing is overwritten.

        Raises:
            JournalError: `target` exists or cannot be written.
        """
        await self._writer.submit(lambda store: store.backup(target)).answer()

    async def close(self) -> None:
        await self._writer.close()
