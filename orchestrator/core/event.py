"""The canonical event: one record as a document for people, audits and other programs."""

from typing import Final, Protocol, cast

from orchestrator.core.codec import LAYOUTS
from orchestrator.core.fact import Fact, StepFact
from orchestrator.ids import JsonValue, RunId

#: Kinds that state what they themselves cost. Budgets, reservations and totals are no costs, and would count twice.
COSTS: Final = frozenset({
    "attempt.failed", "budget.settled", "check.verdict", "child.ended", "model.called", "step.produced",
})  # fmt: skip
_TOKENS: Final = ("tokens", "tokens_in", "tokens_out")
_COMMON: Final = frozenset({"at_s", "actor", "step", "branch", "attempt", "sample", "digest"})


class Record(Protocol):
    """A fact as a journal gives it back; `orchestrator.ports.journal.Recorded`."""

    @property
    def run_id(self) -> RunId:
        """The run."""
        ...

    @property
    def seq(self) -> int:
        """From 1."""
        ...

    @property
    def epoch(self) -> int:
        """Of the owner that wrote it."""
        ...

    @property
    def fact(self) -> Fact:
        """What happened."""
        ...

    @property
    def prev_hash(self) -> str:
        """Of the record before it, 64 hex digits."""
        ...

    @property
    def hash(self) -> str:
        """Of this record, 64 hex digits."""
        ...

    @property
    def forgotten(self) -> bool:
        """Whether its payload was deleted."""
        ...


def canonical_event(recorded: Record) -> dict[str, JsonValue]:
    """One event as `events --jsonl` and the audit export print it.

    `at` is in seconds since the epoch, `cost` null or {usd, tokens}; `step`, `branch`, `attempt` and `sample` are null
    for facts about the whole run. What only this kind of fact says is under `data`.
    """
    fact = recorded.fact
    layout = LAYOUTS[fact.KIND]
    values = cast(
        dict[str, JsonValue],
        {name: _plain(getattr(fact, name)) for name in (*layout.header, *layout.payload)},
    )
    about_step = isinstance(fact, StepFact)
    event: dict[str, JsonValue] = {
        "run": recorded.run_id,
        "seq": recorded.seq,
        "epoch": recorded.epoch,
        "kind": fact.KIND,
        "at": fact.at_s,
        "actor": fact.actor,
        "step": values["step"] if about_step else None,
        "branch": values["branch"] if about_step else None,
        "attempt": values["attempt"] if about_step else None,
        "sample": values["sample"] if about_step else None,
        "cost": _cost(fact.KIND, values),
        "digest": values.get("digest"),
        "data": {name: value for name, value in values.items() if name not in _COMMON},
        "prev_hash": recorded.prev_hash,
        "hash": recorded.hash,
    }
    if recorded.forgotten:
        event["forgotten"] = True
    return event


def _cost(kind: str, values: dict[str, JsonValue]) -> JsonValue:
    usd = values.get("usd")
    tokens = sum(cast(int, values.get(name, 0)) for name in _TOKENS)
    return {"usd": usd, "tokens": tokens} if kind in COSTS and (usd or tokens) else None


def _plain(value: object) -> object:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
