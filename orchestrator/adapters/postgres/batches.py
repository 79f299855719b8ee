"""Items and groups of the batch lane in a database, for every process of a fleet."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import anyio
from pydantic import TypeAdapter

from orchestrator.adapters.postgres.connecting import Connection, Server, shown
from orchestrator.adapters.postgres.schema import probe
from orchestrator.ports.batches import BatchEntry, BatchGroup, BatchItem, ItemState

_ENTRY: Final[TypeAdapter[BatchEntry]] = TypeAdapter(BatchEntry)
KEEP_S: Final = 7 * 86_400.0  #: what has ended is kept so long after its time, for attempts that ask again
FORGET_MAX: Final = 1_000  #: ended items that one gathering forgets
_WRITE: Final = """
INSERT INTO batch_items (id, line, model, state, grp, asked_at_s, until_s, entry)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET state = $4, grp = $5, asked_at_s = $6, until_s = $7, entry = $8
"""
_RIPE: Final = """
SELECT model FROM batch_items WHERE line = $1 AND state = 'waiting' AND until_s > $2 GROUP BY model
HAVING count(*) >= $3 OR min(asked_at_s) <= $4 ORDER BY min(asked_at_s) LIMIT 1
"""
_TAKE: Final = """
SELECT entry FROM batch_items WHERE line = $1 AND state = 'waiting' AND until_s > $2 AND model = $3
ORDER BY asked_at_s, id LIMIT $4 FOR UPDATE SKIP LOCKED
"""
_FORGET: Final = """
DELETE FROM batch_items WHERE id IN (
  SELECT id FROM batch_items WHERE state NOT IN ('waiting', 'sent') AND until_s < $1 LIMIT $2
)
"""
_OVER: Final = """
DELETE FROM batch_groups g WHERE line = $1
AND NOT EXISTS (SELECT 1 FROM batch_items i WHERE i.grp = g.key AND i.state = 'sent')
"""
T = TypeVar("T")


class PostgresBatches:
    """Answers the port `BatchStore`. Connects with the first call.

    Raises:
        JournalError: at any call, where the server stays away or refuses.
        PromiseError: at the first, where the database has no tables of this release.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._opening = anyio.Lock()
        self._server: Server | None = None

    async def _do(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._opening:
            if self._server is None:
                server = Server(self._url)
                await server.do(lambda connection: probe(connection, shown(self._url)))
                self._server = server

        async def whole(connection: Connection) -> T:
            async with connection.transaction():
                return await work(connection)

        return await self._server.do(whole)

    async def aclose(self) -> None:
        """Let go of all connections."""
        if self._server is not None:
            await self._server.close()
            self._server = None

    async def put(self, item: BatchItem) -> BatchEntry:
        async def work(db: Connection) -> BatchEntry:
            made = BatchEntry(item=item)
            fresh = await db.execute(_WRITE.partition("ON CONFLICT")[0] + "ON CONFLICT (id) DO NOTHING", *_row(made))
            if fresh.endswith(" 1"):
                return made
            known = await _one(db, item.id)
            if known is not None and known.state != "withdrawn":
                made = known.asked_again(item)
            if made is not known:
                await db.execute(_WRITE, *_row(made))
            return made

        return await self._do(work)

    async def look(self, ids: Sequence[str]) -> list[BatchEntry]:
        async def work(db: Connection) -> list[BatchEntry]:
            rows = await db.fetch("SELECT id, entry FROM batch_items WHERE id = ANY($1::text[])", list(ids))
            found = {name: _ENTRY.validate_json(entry) for name, entry in rows}
            return [found[one] for one in ids if one in found]

        return await self._do(work)

    async def gather(self, line: str, *, owner: str, now_s: float, ripe_s: float, most: int) -> BatchGroup | None:
        async def work(db: Connection) -> BatchGroup | None:
            model = await db.fetchval(_RIPE, line, now_s, most, ripe_s)
            if model is None:
                return None
            rows = await db.fetch(_TAKE, line, now_s, model, most)
            if not rows:
                return None  # another process takes them at this moment
            await db.execute(_FORGET, now_s - KEEP_S, FORGET_MAX)
            key = secrets.token_hex(16)
            await db.execute("INSERT INTO batch_groups VALUES ($1, $2, $3, $4, '')", key, line, owner, now_s)
            known = [_ENTRY.validate_json(entry) for (entry,) in rows]
            sent = [BatchEntry(item=one.item, state="sent", group=key, sent=one.sent + 1) for one in known]
            await db.executemany(_WRITE, [_row(one) for one in sent])
            return BatchGroup(key=key, line=line, owner=owner, at_s=now_s, items=tuple(one.item for one in known))

        return await self._do(work)

    async def groups(self, line: str) -> list[BatchGroup]:
        async def work(db: Connection) -> list[BatchGroup]:
            await db.execute(_OVER, line)
            found = []
            groups = "SELECT key, owner, at_s, batch FROM batch_groups WHERE line = $1 ORDER BY at_s, key"
            for key, owner, at_s, batch in await db.fetch(groups, line):
                rows = await db.fetch(
                    "SELECT entry FROM batch_items WHERE grp = $1 AND state = 'sent' ORDER BY asked_at_s, id", key
                )
                items = tuple(_ENTRY.validate_json(entry).item for (entry,) in rows)
                found.append(BatchGroup(key=key, line=line, owner=owner, at_s=at_s, batch=batch, items=items))
            return found

        return await self._do(work)

    async def claim(self, group: BatchGroup, *, owner: str, now_s: float, batch: str = "") -> bool:
        async def work(db: Connection) -> bool:
            changed: str = await db.execute(
                "UPDATE batch_groups SET owner = $1, at_s = $2, batch = $3 "
                "WHERE key = $4 AND owner = $5 AND batch = $6",
                *(owner, now_s, batch or group.batch, group.key, group.owner, group.batch),
            )
            return changed.endswith(" 1")

        return await self._do(work)

    async def settle(self, entries: Sequence[BatchEntry], was: ItemState) -> list[str]:
        async def work(db: Connection) -> list[str]:
            ids = [entry.item.id for entry in entries]
            rows = await db.fetch(
                "SELECT id, state, entry FROM batch_items WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE", ids
            )
            known = {name: (state, _ENTRY.validate_json(entry).group) for name, state, entry in rows}
            written = [entry for entry in entries if known.get(entry.item.id) == (was, entry.group)]
            await db.executemany(_WRITE, [_row(one) for one in written])
            return [entry.item.id for entry in written]

        return await self._do(work)


async def _one(db: Connection, name: str) -> BatchEntry | None:
    found = await db.fetchval("SELECT entry FROM batch_items WHERE id = $1 FOR UPDATE", name)
    return None if found is None else _ENTRY.validate_json(found)


def _row(entry: BatchEntry) -> tuple[object, ...]:
    item = entry.item
    group = entry.group if entry.state == "sent" else ""
    values = (item.id, item.line, item.request.model, entry.state, group, item.asked_at_s, item.until_s)
    return *values, _ENTRY.dump_json(entry).decode()
