"""The journal in memory: the reference every other journal is held to, and the fastest one.

It keeps the facts themselves. What only a reader wants (bytes, hashes) is worked out on reading and then kept, so that
appending costs little more than looking at the values.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.core.chain import FIRST_HASH, SALT_BYTES, link_hash, payload_digest
from orchestrator.core.codec import check_fact, encode, without_payload
from orchestrator.core.facts import ApprovalAsked, Fact, RunAccepted, RunEnded
from orchestrator.errors import JournalError, RunNotFound, WrongState
from orchestrator.ids import RunId, TenantId
from orchestrator.ports.journal import Append, Recorded, RunQuery, RunRow


@dataclass(slots=True, kw_only=True)
class _Run:
    row: RunRow  #: its `last_seq` and `epoch` are stale; the true ones follow from the fields below
    order: int  #: runs accepted before this one
    epoch: int
    facts: list[Fact] = field(default_factory=list)
    epochs: list[tuple[int, int]] = field(default_factory=list)  #: (record, epoch) wherever the epoch changed
    hashes: list[bytes] = field(default_factory=list)  #: of the first records, as far as anybody has asked
    forgotten: dict[int, bytes] = field(default_factory=dict)  #: record -> digest of its deleted payload


class MemoryJournal:
    """A `Journal` that lives and dies with the process. For one event loop; it never awaits anything.

    Facts are kept as they are: whoever changes a list or dict after handing it over changes history.
    """

    def __init__(self) -> None:
        self._runs: dict[RunId, _Run] = {}
        self._keys: dict[tuple[str, str], RunId] = {}
        self._accepted = 0
        self._closed = False
        self.on_notice: list[Callable[[RunRow, int, Fact], None]] = []  #: told of ends and questions as they are kept

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        return self.append_now(entries)

    def append_now(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        """See `InstantJournal`."""
        self._must_be_open()
        for entry in entries:
            for fact in entry.facts:
                check_fact(fact)
        return tuple([entry.run_id for entry in entries if not self._commit(entry)])

    def _commit(self, entry: Append) -> bool:
        run = self._runs.get(entry.run_id)
        if run is None:
            run = self._accept(entry)
            if run is None:
                return False
        elif entry.first_seq != len(run.facts) + 1 or entry.epoch < run.epoch:
            return False
        if entry.epoch != run.epoch or not run.epochs:
            run.epoch = entry.epoch
            run.epochs.append((entry.first_seq, entry.epoch))
        run.facts.extend(entry.facts)
        for fact in entry.facts:
            if type(fact) is RunEnded:
                ended = {"status": fact.status, "ended_at_s": fact.at_s, "usd": fact.usd, "tokens": fact.tokens}
                run.row = replace(run.row, **ended)  # type: ignore[arg-type] # each has the type of its field
        if self.on_notice:
            self._tell(run, entry)
        return True

    def _tell(self, run: _Run, entry: Append) -> None:
        for seq, fact in enumerate(entry.facts, entry.first_seq):
            if type(fact) in {RunEnded, ApprovalAsked}:
                for told in self.on_notice:
                    told(run.row, seq, fact)

    def _accept(self, entry: Append) -> _Run | None:
        fact = entry.facts[0] if entry.facts else None
        if type(fact) is not RunAccepted or entry.first_seq != 1:
            return None
        if fact.idempotency_key is not None:
            key = (fact.tenant, fact.idempotency_key)
            if key in self._keys:
                return None
            self._keys[key] = entry.run_id
        run = _Run(row=accepted_row(entry, fact), order=self._accepted, epoch=entry.epoch)
        self._accepted += 1
        self._runs[entry.run_id] = run
        return run

    async def read(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Recorded]:
        self._must_be_open()
        run = self._runs.get(run_id)
        if run is None:
            return []
        last = min(len(run.facts), after + limit)
        self._hash(run, last)
        return [
            Recorded(
                run_id=run_id,
                seq=seq,
                epoch=_epoch_at(run, seq),
                fact=run.facts[seq - 1],
                prev_hash=(run.hashes[seq - 2] if seq > 1 else FIRST_HASH).hex(),
                hash=run.hashes[seq - 1].hex(),
                forgotten=seq in run.forgotten,
            )
            for seq in range(after + 1, last + 1)
        ]

    def _hash(self, run: _Run, upto: int) -> None:
        run_id = run.row.run_id
        before = run.hashes[-1] if run.hashes else FIRST_HASH
        for seq in range(len(run.hashes) + 1, upto + 1):
            header, payload = encode(run.facts[seq - 1], _epoch_at(run, seq))
            digest = None if payload is None else payload_digest(_salt(run_id, seq), payload)
            before = link_hash(before, run_id, seq, header, digest)
            run.hashes.append(before)

    async def runs(self, query: RunQuery) -> list[RunRow]:
        self._must_be_open()
        if query.run_id is not None:
            candidates = [self._runs[query.run_id]] if query.run_id in self._runs else []
        elif query.tenant is not None and query.idempotency_key is not None:
            key = self._keys.get((query.tenant, query.idempotency_key))
            candidates = [] if key is None else [self._runs[key]]
        else:
            candidates = list(self._runs.values())
        fitting = [run for run in candidates if _fits(run.row, query)]
        if query.before is not None:
            mark = self._runs.get(query.before)
            fitting = [run for run in fitting if mark is not None and _place(run) < _place(mark)]
        fitting.sort(key=_place, reverse=True)
        return [replace(run.row, last_seq=len(run.facts), epoch=run.epoch) for run in fitting[: query.limit]]

    async def claim(self, run_id: RunId, owner: str) -> int:
        self._must_be_open()
        run = self._runs.get(run_id)
        if run is None:
            raise RunNotFound(run_id)
        run.epoch += 1
        run.epochs.append((len(run.facts) + 1, run.epoch))
        run.row = replace(run.row, owner=owner)
        return run.epoch

    async def forget(self, run_ids: Sequence[RunId], *, payloads_only: bool) -> int:
        self._must_be_open()
        runs = [run for run_id in dict.fromkeys(run_ids) if (run := self._runs.get(run_id)) is not None]
        for run in runs:
            if run.row.status == "open":
                raise WrongState(f"run {run.row.run_id}", "open", "cancel it or let it end before forgetting it")
        return sum(self._forget_payloads(run) if payloads_only else self._forget_run(run) for run in runs)

    def _forget_payloads(self, run: _Run) -> int:
        self._hash(run, len(run.facts))
        freed = 0
        for seq, fact in enumerate(run.facts, 1):
            if not fact.PAYLOAD or seq in run.forgotten:
                continue
            _, payload = encode(fact, 0)
            if payload is not None:
                freed += SALT_BYTES + len(payload)
                run.forgotten[seq] = payload_digest(_salt(run.row.run_id, seq), payload)
                run.facts[seq - 1] = without_payload(fact)
        return freed

    def _forget_run(self, run: _Run) -> int:
        freed = sum(len(part or b"") for fact in run.facts for part in encode(fact, 0))
        del self._runs[run.row.run_id]
        if run.row.idempotency_key is not None:
            del self._keys[run.row.tenant, run.row.idempotency_key]
        return freed

    async def close(self) -> None:
        self._closed = True

    def _must_be_open(self) -> None:
        if self._closed:
            raise JournalError("the journal is closed")


def accepted_row(entry: Append, fact: RunAccepted) -> RunRow:
    """The row of a run that was just accepted."""
    return RunRow(
        run_id=entry.run_id,
        tenant=TenantId(fact.tenant),
        plan=fact.plan,
        lane=fact.lane,
        status="open",
        accepted_at_s=fact.at_s,
        ended_at_s=None,
        last_seq=0,
        epoch=entry.epoch,
        owner="",
        origin=fact.origin,
        parent=fact.parent,
        idempotency_key=fact.idempotency_key,
        request_digest=fact.request_digest,
        usd=0.0,
        tokens=0,
    )


def _place(run: _Run) -> tuple[float, int]:
    return run.row.accepted_at_s, run.order


def _fits(row: RunRow, query: RunQuery) -> bool:
    return (
        (query.tenant is None or row.tenant == query.tenant)
        and (query.status is None or row.status in query.status)
        and (query.plan is None or row.plan == query.plan)
        and (query.lane is None or row.lane == query.lane)
        and (query.idempotency_key is None or row.idempotency_key == query.idempotency_key)
        and (query.origin is None or row.origin == query.origin)
        and (query.parent is None or row.parent == query.parent)
        and not (query.top_level and row.parent is not None)
        and (query.ended_before_s is None or (row.ended_at_s is not None and row.ended_at_s < query.ended_before_s))
    )


def _epoch_at(run: _Run, seq: int) -> int:
    return run.epochs[bisect_right(run.epochs, seq, key=lambda change: change[0]) - 1][1]


def _salt(run_id: RunId, seq: int) -> bytes:
    """Equal in every process: nothing outlives this one, so there is nobody to hide a payload from."""
    return hashlib.sha256(f"{run_id}:{seq}".encode()).digest()[:SALT_BYTES]
