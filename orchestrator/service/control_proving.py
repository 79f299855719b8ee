"""Proof of the journal: every hash of every run, what its row says against what its records say, and whole exports."""

from collections.abc import AsyncGenerator, Mapping
from typing import Final, Protocol, runtime_checkable

import anyio

from orchestrator.core.chain import Link
from orchestrator.core.codec import decode
from orchestrator.core.deeds import deeds
from orchestrator.core.event import canonical_event
from orchestrator.core.facts import Fact, RunAccepted, RunEnded
from orchestrator.core.history import check_history
from orchestrator.engine.recovery import read_all
from orchestrator.errors import JournalCorrupt, PromiseError
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import Journal, RunQuery, RunRow

PAGE: Final = 500  #: records looked at, or exported, at a time
ALL: Final = 1_000_000  #: runs looked through
DAMAGES_MAX: Final = 10  #: of the file itself that are told
RESTORE: Final = "restore a backup (`orchestrator restore`)"
_KIND_BYTES: Final = 40  #: of a header in which its kind stands
_ENDED: Final = f'"{RunEnded.KIND}"'.encode()


@runtime_checkable
class ProvableJournal(Protocol):
    """What a journal on a disk can do beyond the port."""

    async def links(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Link]:
        """Records as the hash chain sees them, each checked."""
        ...


@runtime_checkable
class CheckedFile(Protocol):
    """A journal in a file, which can be damaged where no chain of hashes goes."""

    async def damages(self) -> list[str]:
        """What is wrong with the list of runs and what it is searched by; empty: nothing."""
        ...


def _provable(journal: Journal) -> ProvableJournal:
    if not isinstance(journal, ProvableJournal):
        raise PromiseError("this journal is in memory and has nothing to prove", "name a file: --store sqlite:///file")
    return journal


async def rows_of(
    journal: Journal, run_id: RunId | None = None, since_s: float | None = None, until_s: float | None = None
) -> list[RunRow]:
    """Runs, oldest first: one with its sub-plans, or all; begun before `until_s`, and not ended before `since_s`."""
    rows = await journal.runs(RunQuery(limit=ALL))
    return [
        row
        for row in reversed(rows)
        if (run_id is None or row.run_id == run_id or row.run_id.startswith(f"{run_id}."))
        and (until_s is None or row.accepted_at_s < until_s)
        and (since_s is None or row.ended_at_s is None or row.ended_at_s >= since_s)
    ]


async def verify(
    journal: Journal, run_id: RunId | None, since_s: float | None, until_s: float | None
) -> AsyncGenerator[JsonValue, None]:
    """{run, open, records, hash, emptied, damaged: null or {record, reason}} of each run, oldest first.

    `hash` is of its newest record; `emptied` says that what it said was deleted. Damage of the file itself, looked for
    when all runs are asked for, comes last, under no run and record 0.
    """
    provable = _provable(journal)
    for row in await rows_of(journal, run_id, since_s, until_s):
        try:
            told = await _proven(journal, provable, row)
            yield {"run": row.run_id, "open": row.status == "open", "damaged": None, **told}
        except JournalCorrupt as error:
            damaged: JsonValue = {"record": error.seq, "reason": error.reason}
            yield {"run": row.run_id, "open": row.status == "open", "damaged": damaged}
    if run_id is None and since_s is None and until_s is None and isinstance(journal, CheckedFile):
        for reason in (await journal.damages())[:DAMAGES_MAX]:
            yield {
                "run": "",
                "open": False,
                "damaged": {"record": 0, "reason": f"the list of runs: {reason}; {RESTORE}"},
            }


async def _proven(rows: Journal, journal: ProvableJournal, row: RunRow) -> dict[str, JsonValue]:
    seq, hash_, emptied = 0, "", False
    accepted: Fact | None = None
    ended: Fact | None = None
    while True:
        page = await journal.links(row.run_id, seq, PAGE)
        for link in page:
            emptied = emptied or (link.payload is None and link.payload_digest is not None)
            if link.seq == 1:
                accepted = _fact(row.run_id, link)
            elif _ENDED in link.header[:_KIND_BYTES]:
                ended = _fact(row.run_id, link)
        if page:
            seq, hash_ = page[-1].seq, page[-1].hash.hex()
        if len(page) < PAGE:
            break
    if not seq:
        raise JournalCorrupt(row.run_id, 1, "the record is missing, and so is what followed")
    if row.status == "open" and ended is not None:  # perhaps it ended just now, after its row was read
        row = next(iter(await rows.runs(RunQuery(run_id=row.run_id, limit=1))), row)
    _row_must_fit(row, accepted, ended, seq)
    return {"records": seq, "hash": hash_, "emptied": emptied}


def _fact(run_id: RunId, link: Link) -> Fact:
    return decode(run_id, link.seq, link.header, link.payload, had_payload=link.payload_digest is not None).fact


def _row_must_fit(row: RunRow, accepted: Fact | None, ended: Fact | None, last_seq: int) -> None:
    """The list of runs is made from records; whoever changes it without them is found here."""
    if not isinstance(accepted, RunAccepted):
        raise JournalCorrupt(row.run_id, 1, "the first record does not accept a run")
    said: dict[str, object] = {name: getattr(accepted, name) for name in _ACCEPTED}
    said |= {"accepted_at_s": accepted.at_s, "status": "open", "ended_at_s": None, "usd": 0.0, "tokens": 0}
    if isinstance(ended, RunEnded):
        said |= {"status": ended.status, "ended_at_s": ended.at_s, "usd": ended.usd, "tokens": ended.tokens}
    for name, value in said.items():
        if getattr(row, name) != value:
            place = 1 if name in _ACCEPTED or name == "accepted_at_s" else last_seq
            told = f"the list of runs says {getattr(row, name)!r}, its records {value!r}"
            raise JournalCorrupt(row.run_id, place, f"{name} does not fit: {told}")


_ACCEPTED: Final = ("plan", "tenant", "lane", "origin", "parent", "idempotency_key", "request_digest")


async def hashes(journal: Journal, marks: Mapping[str, int]) -> JsonValue:
    """{run: the hash of that record, or null where there is none}."""
    provable = _provable(journal)
    found: dict[str, JsonValue] = {}
    for name, seq in marks.items():
        try:
            page = await provable.links(RunId(name), seq - 1, 1)
        except JournalCorrupt:  # the record is there and is not what it was; `verify` says where
            page = []
        found[name] = page[0].hash.hex() if page else None
    return found


async def check(journal: Journal, run_id: RunId | None) -> JsonValue:
    """{runs, records, broken: [{run, record, rule, step, branch, what}]} of one run with its sub-plans, or of all.

    Hashes say that nothing was changed; this says that what was written keeps the rules of a run.
    """
    rows = await rows_of(journal, run_id)
    records = 0
    broken: list[JsonValue] = []
    for name in [row.run_id for row in rows]:
        try:
            history = await read_all(journal, name)
        except JournalCorrupt as error:
            broken.append(_broken(name, error.seq, "record", "", -1, error.reason))
            continue
        records += len(history)
        found = await anyio.to_thread.run_sync(check_history, history)  # a large one would keep the owner busy
        broken += [_broken(name, one.seq, one.rule, one.step, one.branch, one.what) for one in found]
    return {"runs": len(rows), "records": records, "broken": broken}


def _broken(run: str, record: int, rule: str, step: str, branch: int, what: str) -> JsonValue:
    at = branch if branch >= 0 else None
    return {"run": run, "record": record, "rule": rule, "step": step or None, "branch": at, "what": what}


async def export(
    journal: Journal, run_id: RunId | None, since_s: float | None, until_s: float | None
) -> AsyncGenerator[JsonValue, None]:
    """Every event of these runs with what a stranger needs to check its hash. Runs are whole: a half proves nothing."""
    provable = _provable(journal)
    for name in [row.run_id for row in await rows_of(journal, run_id, since_s, until_s)]:
        after = 0
        while True:
            records = await journal.read(name, after=after, limit=PAGE)
            if not records:
                break
            links = await provable.links(name, after, len(records))
            for record, link in zip(records, links, strict=True):
                yield {**canonical_event(record), "proof": _proof(link)}
            after = records[-1].seq


async def told_deeds(
    journal: Journal, run_id: RunId | None, since_s: float | None, until_s: float | None
) -> AsyncGenerator[JsonValue, None]:
    """{at, who, did, run, record, step, what, saw} of what people did in that time, run by run, oldest run first."""
    for row in await rows_of(journal, run_id, since_s, until_s):
        for deed in deeds(await read_all(journal, row.run_id)):
            if (since_s is None or deed.at_s >= since_s) and (until_s is None or deed.at_s < until_s):
                yield {
                    "at": deed.at_s,
                    "who": deed.who,
                    "did": deed.did,
                    "run": deed.run,
                    "record": deed.seq,
                    "step": deed.step,
                    "what": deed.what,
                    "saw": deed.saw,
                }


def _proof(link: Link) -> JsonValue:
    return {
        "header": link.header.decode(),
        "payload": link.payload.decode() if link.payload is not None else None,
        "salt": link.salt.hex() if link.salt is not None else None,
        "payload_digest": link.payload_digest.hex() if link.payload_digest is not None else None,
    }
