"""The PostgreSQL journal: one truth for many processes. Each append is compared with the end of the run's chain."""

import asyncio
import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import asyncpg

from orchestrator.adapters.postgres import keeping, reading
from orchestrator.adapters.postgres.appending import BEGINNING, STATEMENT, Head, Prepared, accepts, arguments, prepare
from orchestrator.adapters.postgres.artifacts import PostgresArtifacts
from orchestrator.adapters.postgres.connecting import MET, TRIES_MAX, Connection, Pauses, Server, is_lost, said
from orchestrator.adapters.postgres.keys import PostgresKeys
from orchestrator.adapters.postgres.leases import PostgresLeases
from orchestrator.adapters.postgres.notices import PostgresNotices
from orchestrator.adapters.postgres.petitions import PostgresPetitions
from orchestrator.adapters.postgres.schedules import PostgresSchedules
from orchestrator.adapters.postgres.schema import probe
from orchestrator.adapters.postgres.sessions import PostgresSessions
from orchestrator.adapters.postgres.webhooks import PostgresWebhooks
from orchestrator.adapters.records import Encoded, encode_all
from orchestrator.core.chain import Link
from orchestrator.errors import (
    JournalConflict,
    JournalError,
    JournalUnreachable,
    OrchestratorError,
    PromiseError,
    RunNotFound,
)
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, Recorded, RunQuery, RunRow

HEADS_MAX: Final = 50_000  #: ends of chains remembered
CLOSE_S: Final = 10.0  #: closing waits so long for what was asked for
GROUP_FACTS_MAX: Final = 4_096  #: facts committed in one statement, unless a single call brings more

#: Epochs are milliseconds of the server's clock where that is higher: also after an older copy of the database was
#: restored no epoch of the time that is gone is ever given again.
_CLAIM: Final = """
WITH known AS (INSERT INTO owners (owner, lease_until) VALUES ($2, '-infinity') ON CONFLICT DO NOTHING)
UPDATE runs r SET owner = $2, loads = 1, parked = NULL,
  epoch = greatest(r.epoch + 1, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
WHERE r.run_id = $1 AND (r.owner = $2 OR r.status <> 'open'
  OR NOT EXISTS (SELECT 1 FROM owners o WHERE o.owner = r.owner AND o.lease_until > clock_timestamp()))
RETURNING epoch
"""


class _Call:
    """Entries of one call of `append`, and later its answer."""

    def __init__(self, entries: Sequence[Append], encoded: Sequence[Encoded]) -> None:
        self.entries, self.encoded = entries, encoded
        self.facts = sum(len(entry.facts) for entry in entries)
        self.answer: asyncio.Future[tuple[RunId, ...]] = asyncio.get_running_loop().create_future()


class PostgresJournal:
    """A `Journal` in a PostgreSQL database, shared by any number of processes; for one asyncio loop each.

    Cancelling a call does not take it back: what was asked for may be written all the same.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.artifacts = PostgresArtifacts(server)  #: in the same database; usable until `close`
        self.keys = PostgresKeys(server)
        self.sessions = PostgresSessions(server)  #: likewise
        self.ownership = PostgresLeases(server)
        self.petitions = PostgresPetitions(server)
        self.notices = PostgresNotices(server)
        self.webhooks = PostgresWebhooks(server)  #: as `keys`
        self.schedules = PostgresSchedules(server)  #: likewise
        self._heads: dict[RunId, Head] = {}
        self._waiting: list[_Call] = []
        self._wake = asyncio.Event()
        self._writing = asyncio.create_task(self._write(), name="journal writer")

    @classmethod
    async def open(cls, url: str) -> "PostgresJournal":
        """Connect to a journal.

        Raises:
            JournalUnreachable: the server does not answer.
            PromiseError: it cannot keep what a journal promises, or wants `db upgrade`.
            JournalError: the tables are of a newer release.
        """
        server = Server(url)
        try:
            connection = await server.writer()
            await probe(connection, server.name)
        except BaseException as error:
            server.drop_writer()
            if is_lost(error):
                raise JournalUnreachable(server.name, said(error)) from error
            raise
        return cls(server)

    # ---- the port

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        self._server.must_be_usable()
        call = _Call(entries, encode_all(entries))
        self._waiting.append(call)
        self._wake.set()
        return await call.answer

    async def read(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Recorded]:
        return await self._server.do(lambda connection: reading.read(connection, run_id, after, limit))

    async def runs(self, query: RunQuery) -> list[RunRow]:
        return await self._server.do(lambda connection: reading.runs(connection, query))

    async def claim(self, run_id: RunId, owner: str) -> int:
        async def work(connection: Connection) -> int:
            epoch: int | None = await connection.fetchval(_CLAIM, run_id, owner)
            if epoch is not None:
                return epoch
            held = await connection.fetchval("SELECT owner FROM runs WHERE run_id = $1", run_id)
            if held is None:
                raise RunNotFound(run_id)
            raise JournalConflict(run_id, f"{held} owns it, and its lease has not ended")

        epoch = await self._server.do(work)
        self._heads.pop(run_id, None)
        return epoch

    async def forget(self, run_ids: Sequence[RunId], *, payloads_only: bool) -> int:
        freed = await self._server.do(
            lambda connection: keeping.forget(connection, run_ids, payloads_only=payloads_only)
        )
        for run_id in run_ids:
            self._heads.pop(run_id, None)
        return freed

    async def close(self) -> None:
        if self._server.closed:
            return
        until_s = asyncio.get_running_loop().time() + CLOSE_S
        while self._waiting and (left_s := until_s - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait([self._waiting[-1].answer], timeout=left_s)
            await asyncio.sleep(0)
        await self.notices.close()
        self._writing.cancel()
        await asyncio.wait([self._writing])
        for call in self._waiting:
            if not call.answer.done():
                call.answer.set_exception(JournalError("the journal is closed"))
        await self._server.close()

    # ---- beyond the port

    async def verify_run(self, run_id: RunId) -> int:
        """Check every hash of a run without reading its facts; return the number of its records.

        Raises:
            JournalCorrupt: a record is damaged or missing.
            RunNotFound: no such run.
        """
        return await self._server.do(lambda connection: reading.verify(connection, run_id))

    async def links(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Link]:
        """Records as the hash chain sees them, with header, salt and payload as they are stored, each checked.

        Raises:
            JournalCorrupt: a record is damaged or missing.
        """
        return await self._server.do(lambda connection: reading.links(connection, run_id, after, limit))

    async def backup(self, target: Path) -> None:
        """Refused: a server has tools of its own for that.

        Raises:
            PromiseError: always.
        """
        raise PromiseError(
            f"{self._server.name} is a server, and {target} would be a file", "use pg_dump, or pg_basebackup"
        )

    # ---- writing

    async def _write(self) -> None:
        """Commit what piles up, one statement at a time, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                calls = self._next_calls()
                try:
                    await self._commit(calls)
                except Exception as error:  # noqa: BLE001 # each caller gets its own copy, and the task goes on
                    for call in calls:
                        self._fail(call, error)
                finally:
                    del self._waiting[: len(calls)]

    def _next_calls(self) -> list[_Call]:
        """As many as fit in one group, and at least one."""
        facts, count = 0, 0
        for call in self._waiting:
            facts += call.facts
            if count and facts > GROUP_FACTS_MAX:
                break
            count += 1
        return self._waiting[:count]

    def _fail(self, call: _Call, error: Exception) -> None:
        for entry in call.entries:
            self._heads.pop(entry.run_id, None)
        if not call.answer.done():
            told = copy.copy(error)
            told.__cause__ = error.__cause__
            call.answer.set_exception(told)

    async def _commit(self, calls: list[_Call]) -> None:
        """Commit the entries of some calls; those of one run one after another: each builds on the one before."""
        todo = [(call, *one) for call in calls for one in zip(call.entries, call.encoded, strict=True)]
        refused: dict[int, list[RunId]] = {id(call): [] for call in calls}
        while todo:
            group: dict[RunId, tuple[_Call, Append, Encoded]] = {}
            later: list[tuple[_Call, Append, Encoded]] = []
            for call, entry, encoded in todo:
                if entry.run_id in group:
                    later.append((call, entry, encoded))
                else:
                    group[entry.run_id] = call, entry, encoded
            said_no = await self._commit_group([(entry, encoded) for _, entry, encoded in group.values()])
            for run_id in said_no:
                refused[id(group[run_id][0])].append(run_id)
            todo = later
        for call in calls:
            order = {entry.run_id: n for n, entry in enumerate(call.entries)}
            if not call.answer.done():
                call.answer.set_result(tuple(sorted(refused[id(call)], key=order.__getitem__)))

    async def _commit_group(self, group: list[tuple[Append, Encoded]]) -> set[RunId]:
        """Commit at most one entry of each run in one statement; return the runs that were refused.

        When the connection is lost on the way nobody knows whether it was committed. Then the ends of the chains are
        read: a hash that only this entry can have made says that it was, and what is not there is sent again.
        """
        waiting, tries, unknown = Pauses(), 0, False
        batch: list[Prepared] | None = None
        refused: set[RunId] = set()
        while True:
            try:
                connection = await self._server.writer()
                if batch is None:
                    batch, refused = await self._prepared(connection, group)
                if unknown:
                    batch = await self._not_landed(connection, batch)
                    unknown = False
                if not batch:
                    return refused
                unknown = True
                row = await connection.fetchrow(STATEMENT, *arguments(batch))
                unknown = False
                assert row is not None, "one row"
                left = [one for one, key in zip(batch, row[0], strict=True) if not key]
                self._remember(one for one, key in zip(batch, row[0], strict=True) if key)
                if left and (tries or waiting.rested):  # an earlier try may have been committed after all
                    left = await self._not_landed(connection, left)
                for one in left:
                    self._heads.pop(one.run_id, None)
                return refused | {one.run_id for one in left}
            except OrchestratorError:
                raise
            except Exception as error:
                if is_lost(error):
                    self._server.drop_writer()
                elif isinstance(error, MET) and tries < TRIES_MAX:
                    tries, unknown = tries + 1, False
                elif isinstance(error, asyncpg.PostgresError):
                    raise self._server.translated(error) from error
                else:
                    raise
                await waiting.rest(error, self._server.name)

    async def _prepared(
        self, connection: Connection, group: list[tuple[Append, Encoded]]
    ) -> tuple[list[Prepared], set[RunId]]:
        """Entries with their hashes, and the runs whose entry does not fit the end of the chain as it is now."""
        ends: dict[RunId, Head | None] = {}
        for entry, _ in group:
            known = self._heads.get(entry.run_id)
            if known is not None and known.seq == entry.first_seq - 1:
                ends[entry.run_id] = known
            elif accepts(entry):
                ends[entry.run_id] = BEGINNING
        missing = [entry.run_id for entry, _ in group if entry.run_id not in ends]
        if missing:
            ends |= await _ends(connection, missing)
        batch: list[Prepared] = []
        refused: set[RunId] = set()
        for entry, encoded in group:
            head = ends.get(entry.run_id)
            if head is None or head.seq != entry.first_seq - 1:
                refused.add(entry.run_id)
            else:
                batch.append(prepare(entry, encoded, head))
        return batch, refused

    async def _not_landed(self, connection: Connection, batch: list[Prepared]) -> list[Prepared]:
        """Those entries that are not in the journal."""
        ids, seqs = [one.run_id for one in batch], [one.after.seq for one in batch]
        rows = await connection.fetch(
            "SELECT r.run_id, e.hash FROM unnest($1::text[], $2::bigint[]) AS w (run_id, seq) "
            "JOIN runs r USING (run_id) JOIN events e ON e.run = r.id AND e.seq = w.seq",
            ids,
            seqs,
        )
        found: dict[str, bytes] = dict(rows)
        left = [one for one in batch if found.get(one.run_id) != one.after.hash or not one.rows]
        self._remember(one for one in batch if one not in left)
        return left

    def _remember(self, written: Iterable[Prepared]) -> None:
        for one in written:
            self._heads.pop(one.run_id, None)
            if len(self._heads) >= HEADS_MAX:
                del self._heads[next(iter(self._heads))]
            self._heads[one.run_id] = one.after


async def _ends(connection: Connection, run_ids: list[RunId]) -> dict[RunId, Head | None]:
    rows = await connection.fetch("SELECT run_id, last_seq, head FROM runs WHERE run_id = ANY($1::text[])", run_ids)
    return {RunId(run_id): Head(seq, head) for run_id, seq, head in rows}
