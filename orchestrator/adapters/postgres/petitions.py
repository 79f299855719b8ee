"""What people ask of owners, as rows: handed in once by id, taken by the owner of the run, answered once."""

from typing import Final

from orchestrator.adapters.postgres.connecting import Connection, Record, Server
from orchestrator.ids import RunId
from orchestrator.ports.ownership import Petition

KEPT_S: Final = 86_400  #: answers are kept for a day
_ASK: Final = """
WITH asked AS (
  INSERT INTO requests (id, run_id, root, verb, args, as_of_seq)
  SELECT $1, $2, split_part($2, '.', 1), $3, $4, coalesce((SELECT last_seq FROM runs WHERE run_id = $2), 0)
  ON CONFLICT DO NOTHING RETURNING id
), old AS (
  DELETE FROM requests WHERE answer IS NOT NULL AND answered_at < clock_timestamp() - $5 * interval '1 second'
) SELECT pg_notify('orchestrator_journal', 'ask ' || $2) FROM asked
"""
_TAKE: Final = """
WITH open AS (
  SELECT q.id, q.taken_by FROM requests q JOIN runs r ON r.run_id = q.root
  WHERE q.answer IS NULL AND r.owner = $1 AND (q.taken_by IS DISTINCT FROM $1 OR $3)
  ORDER BY q.asked_at LIMIT $2 FOR UPDATE OF q SKIP LOCKED
)
UPDATE requests q SET taken_by = $1 FROM open WHERE q.id = open.id
RETURNING q.id, q.run_id, q.verb, q.args, q.as_of_seq, open.taken_by IS NOT NULL, q.asked_at
"""
_ANSWER: Final = """
WITH told AS (
  UPDATE requests SET answer = $3, answered_at = clock_timestamp()
  WHERE id = $1 AND answer IS NULL AND taken_by = $2 RETURNING id
) SELECT pg_notify('orchestrator_journal', 'answer ' || id) FROM told
"""


class PostgresPetitions:
    """See `Petitions`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def ask(self, petition: Petition) -> None:
        await self._server.do(
            lambda c: c.execute(_ASK, petition.id, petition.run_id, petition.verb, petition.args, float(KEPT_S))
        )

    async def take(self, owner: str, limit: int) -> list[Petition]:
        tries = 0

        async def work(connection: Connection) -> list[Record]:
            nonlocal tries
            tries += 1  # in a second try those are told again that a lost answer may have told of
            rows: list[Record] = await connection.fetch(_TAKE, owner, limit, tries > 1)
            return rows

        rows = await self._server.do(work)
        return [
            Petition(id=name, run_id=RunId(run_id), verb=verb, args=args, as_of_seq=seq, retaken=retaken)
            for name, run_id, verb, args, seq, retaken, _ in sorted(rows, key=lambda row: row[6])
        ]

    async def answer(self, petition_id: str, owner: str, text: str) -> None:
        await self._server.do(lambda c: c.execute(_ANSWER, petition_id, owner, text))

    async def answered(self, petition_id: str) -> str | None:
        text: str | None = await self._server.do(
            lambda c: c.fetchval("SELECT answer FROM requests WHERE id = $1", petition_id)
        )
        return text

    async def withdraw(self, petition_id: str) -> bool:
        gone = await self._server.do(
            lambda c: c.fetchval(
                "DELETE FROM requests WHERE id = $1 AND taken_by IS NULL AND answer IS NULL RETURNING id", petition_id
            )
        )
        return gone is not None
