"""The journal held against itself and against what was signed: one examination for verifying, signing and drills."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol, cast

from orchestrator.core.checkpoints import Found, Ledger, Mark, lacks
from orchestrator.ids import JsonValue, RunId
from orchestrator.service.control_args import MARKS_MAX


class Asks(Protocol):
    """Somebody who answers the verbs of the control socket."""

    async def ask(self, verb: str, **args: JsonValue) -> JsonValue:
        """One answer."""
        ...

    def stream(self, verb: str, **args: JsonValue) -> AsyncGenerator[JsonValue, None]:
        """Any number of answers."""
        ...


@dataclass(slots=True)
class Examined:
    """What was found."""

    heads: dict[RunId, Mark] = field(default_factory=dict)  #: the end of every sound run
    emptied: set[RunId] = field(default_factory=set)  #: runs whose payloads were deleted
    open: set[RunId] = field(default_factory=set)
    damaged: list[JsonValue] = field(default_factory=list)  #: {run, record, reason}, oldest run first
    runs: int = 0
    records: int = 0

    def document(self, ledger: Ledger | None) -> dict[str, JsonValue]:
        """{runs, records, damaged, checkpoint: null or {number, at, mac, newer}}.

        `newer` counts runs that began or went on since: no signature speaks of what is new in them.
        """
        signed: JsonValue = None
        if ledger is not None and ledger.number:
            newer = len(news(ledger, self))
            signed = {"number": ledger.number, "at": ledger.at_s, "mac": ledger.mac, "newer": newer}
        return {"runs": self.runs, "records": self.records, "damaged": self.damaged, "checkpoint": signed}


async def examine(
    asker: Asks,
    ledger: Ledger | None = None,
    *,
    run: str | None = None,
    since_s: float | None = None,
    until_s: float | None = None,
) -> Examined:
    """Check every hash of one run, of the runs of some time, or of all; and that they are as the ledger says.

    Only an examination of all runs can tell that one of them is missing.
    """
    found = Examined()
    async with aclosing(asker.stream("verify", run=run, since=since_s, until=until_s)) as told:
        async for item in told:
            _take(found, cast(dict[str, JsonValue], item))
    if ledger is not None:
        everything = run is None and since_s is None and until_s is None
        await _compare(asker, ledger, found, everything=everything)
    return found


def _take(found: Examined, told: dict[str, JsonValue]) -> None:
    run_id = RunId(str(told["run"]))
    found.runs += run_id != ""
    damaged = cast(dict[str, JsonValue] | None, told["damaged"])
    if damaged is not None:
        found.damaged.append({"run": run_id, **damaged})
        return
    mark = Mark(seq=cast(int, told["records"]), hash=str(told["hash"]))
    found.records += mark.seq
    found.heads[run_id] = mark
    if told["open"]:
        found.open.add(run_id)
    if told["emptied"]:
        found.emptied.add(run_id)


async def _compare(asker: Asks, ledger: Ledger, found: Examined, *, everything: bool) -> None:
    marks = {**ledger.gone, **ledger.expected}
    known = found.heads
    ask = {name: mark.seq for name, mark in marks.items() if name in known and known[name].seq > mark.seq}
    hashes: dict[str, str | None] = {}
    names = list(ask)
    for at in range(0, len(names), MARKS_MAX):
        part: JsonValue = {name: ask[name] for name in names[at : at + MARKS_MAX]}
        hashes |= cast(dict[str, str | None], await asker.ask("hashes", marks=part))
    seen = {
        name: Found(
            hash=hashes[name] if name in hashes else known[name].hash,
            last_seq=known[name].seq,
            emptied=name in found.emptied,
        )
        for name in marks
        if name in known
    }
    told = {str(cast(dict[str, JsonValue], one)["run"]) for one in found.damaged}
    for name, record, reason in lacks(ledger, seen):
        if name not in told and (everything or name in known):
            found.damaged.append({"run": name, "record": record, "reason": reason})


def news(ledger: Ledger, found: Examined) -> dict[RunId, Mark]:
    """The ends of runs that the ledger does not know yet."""
    return {name: mark for name, mark in found.heads.items() if ledger.expected.get(name) != mark}
