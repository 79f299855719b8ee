"""One statement for all entries of many runs: from facts to arrays, and what of them came to be.

The statement is atomic and takes one round trip. It moves the end of each run's chain (`runs.last_seq`, `runs.head`)
where that is still what the entry was made for, takes new runs in, and writes the records of those entries alone.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestrator.adapters.records import Encoded, salts
from orchestrator.core.chain import FIRST_HASH, link_hash, payload_digest
from orchestrator.core.facts import RunAccepted, RunEnded
from orchestrator.ids import RunId
from orchestrator.plan.limits import ARTIFACT_BYTES
from orchestrator.ports.journal import Append

#: The first condition on `moved` says the same as the second, and keeps the planner to the index at any size.
#: Notices go out with the commit: `new ID` of a run nobody drives yet, `end ID`.
STATEMENT: Final = """WITH entry AS (
  SELECT * FROM unnest($1::int[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bytea[],
    $8::text[], $9::double precision[], $10::double precision[], $11::bigint[])
  AS e (n, run_id, epoch, before_seq, last_seq, before, head, status, ended_at_s, usd, tokens)
), moved AS (
  UPDATE runs r SET epoch = e.epoch, last_seq = e.last_seq, head = e.head, status = coalesce(e.status, r.status),
    ended_at_s = coalesce(e.ended_at_s, r.ended_at_s), usd = coalesce(e.usd, r.usd),
    tokens = coalesce(e.tokens, r.tokens)
  FROM entry e
  WHERE r.run_id = ANY($2::text[]) AND r.run_id = e.run_id AND r.last_seq = e.before_seq AND r.head = e.before
    AND r.epoch <= e.epoch
  RETURNING r.run_id, r.id
), accepted AS (
  INSERT INTO runs (run_id, root, tenant, plan, lane, accepted_at_s, owner, origin, parent, idempotency_key,
    request_digest, epoch, last_seq, head, status, ended_at_s, usd, tokens)
  SELECT e.run_id, split_part(e.run_id, '.', 1), a.tenant, a.plan, a.lane, a.accepted_at_s, a.owner, a.origin, a.parent,
    a.idempotency_key, a.request_digest, e.epoch, e.last_seq, e.head, coalesce(e.status, 'open'), e.ended_at_s,
    coalesce(e.usd, 0), coalesce(e.tokens, 0)
  FROM unnest($12::int[], $13::text[], $14::text[], $15::text[], $16::double precision[], $17::text[], $18::text[],
    $19::text[], $20::text[], $21::text[])
  AS a (n, tenant, plan, lane, accepted_at_s, owner, origin, parent, idempotency_key, request_digest)
  JOIN entry e USING (n) ORDER BY e.n
  ON CONFLICT DO NOTHING
  RETURNING run_id, id
), done AS (
  SELECT array_agg(coalesce(d.id, 0) ORDER BY e.n) AS ids
  FROM entry e LEFT JOIN (SELECT * FROM moved UNION ALL SELECT * FROM accepted) d USING (run_id)
), large AS (
  INSERT INTO artifacts (digest, held, body)
  SELECT DISTINCT ON (l.digest) l.digest, false, l.body FROM unnest($22::int[], $23::bytea[], $24::bytea[])
  AS l (n, digest, body), done WHERE done.ids[l.n] > 0 ORDER BY l.digest
  ON CONFLICT DO NOTHING
), record AS (
  INSERT INTO events (run, seq, header, digest, hash)
  SELECT done.ids[v.n], v.seq, v.header, v.digest, v.hash
  FROM unnest($25::int[], $26::bigint[], $27::bytea[], $28::bytea[], $29::bytea[]) AS v (n, seq, header, digest, hash),
    done WHERE done.ids[v.n] > 0
), payload AS (
  INSERT INTO payloads (run, seq, salt, body, artifact)
  SELECT done.ids[p.n], p.seq, p.salt, p.body, p.artifact
  FROM unnest($30::int[], $31::bigint[], $32::bytea[], $33::bytea[], $34::bytea[]) AS p (n, seq, salt, body, artifact),
    done WHERE done.ids[p.n] > 0
)
SELECT ids, (SELECT count(pg_notify('orchestrator_journal', w)) FROM unnest($35::text[]) w) FROM done
"""
_WIDTHS: Final = (11, 10, 3, 5, 5)  #: columns of the arrays above, in order; the notices come last


@dataclass(slots=True)
class Head:
    """Where a run's chain ends, as far as is known here."""

    seq: int
    hash: bytes


@dataclass(slots=True)
class Prepared:
    """One entry, ready to be written: its records have their hashes."""

    entry: Append
    before: Head
    after: Head
    rows: list[tuple[int, bytes, bytes | None, bytes]] = field(default_factory=list)
    payloads: list[tuple[int, bytes, bytes | None, bytes | None]] = field(default_factory=list)
    large: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def run_id(self) -> RunId:
        """The run."""
        return self.entry.run_id


def accepts(entry: Append) -> bool:
    """Whether an entry begins a run."""
    return entry.first_seq == 1 and bool(entry.facts) and type(entry.facts[0]) is RunAccepted


def prepare(entry: Append, encoded: Encoded, before: Head) -> Prepared:
    """Salts, digests and hashes. Written twice by mistake, it would be the same: that is how it is known again."""
    run_id, seq, link = entry.run_id, entry.first_seq, before.hash
    made = Prepared(entry, before, before)
    for header, payload in encoded:
        digest = None
        if payload is not None:
            salt = next(salts)
            digest = payload_digest(salt, payload)
            if len(payload) <= ARTIFACT_BYTES:
                made.payloads.append((seq, salt, payload, None))
            else:
                artifact = hashlib.sha256(payload).digest()
                made.large.append((artifact, payload))
                made.payloads.append((seq, salt, None, artifact))
        link = link_hash(link, run_id, seq, header, digest)
        made.rows.append((seq, header, digest, link))
        seq += 1
    made.after = Head(seq - 1, link)
    return made


def arguments(batch: Sequence[Prepared]) -> list[object]:
    """The arrays of the statement; the first entry of the batch is 1 there."""
    entries: list[tuple[object, ...]] = []
    begun: list[tuple[object, ...]] = []
    large: list[tuple[object, ...]] = []
    rows: list[tuple[object, ...]] = []
    payloads: list[tuple[object, ...]] = []
    notices: list[str] = []
    for n, one in enumerate(batch, 1):
        entry = one.entry
        ended = next((fact for fact in reversed(entry.facts) if type(fact) is RunEnded), None)
        end = (ended.status, ended.at_s, ended.usd, ended.tokens) if ended is not None else (None, None, None, None)
        entries.append(
            (n, one.run_id, entry.epoch, one.before.seq, one.after.seq, one.before.hash, one.after.hash, *end)
        )
        first = entry.facts[0] if entry.facts else None
        if one.before.seq == 0 and type(first) is RunAccepted:
            begun.append((
                *(n, first.tenant, first.plan, first.lane, first.at_s, entry.owner, first.origin, first.parent),
                *(first.idempotency_key, first.request_digest),
            ))  # fmt: skip
            if not entry.owner:
                notices.append(f"new {one.run_id}")
        if ended is not None:
            notices.append(f"end {one.run_id}")
        large += [(n, *artifact) for artifact in one.large]
        rows += [(n, *row) for row in one.rows]
        payloads += [(n, *payload) for payload in one.payloads]
    tables = (entries, begun, large, rows, payloads)
    columns = [column for table, width in zip(tables, _WIDTHS, strict=True) for column in _columns(table, width)]
    return [*columns, notices]


def _columns(table: list[tuple[object, ...]], width: int) -> Iterable[object]:
    return [list(column) for column in zip(*table, strict=True)] if table else [[] for _ in range(width)]


BEGINNING: Final = Head(0, FIRST_HASH)
