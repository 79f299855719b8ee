"""One run as the page shows it: the drawing once, then how its nodes stand, record by record. Pure: no clock, no IO.

Everything counted comes from `core.summary`, everything drawn from `plan.graph`; this file only arranges. A reader that
knows everything up to a sequence number asks for what changed after it, so one object serves any number of readers.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, cast

from orchestrator.core import facts as f
from orchestrator.core.state import UPSTREAM, Status
from orchestrator.core.summary import RunTally, StepTally
from orchestrator.ids import JsonValue
from orchestrator.ports.journal import Recorded
from orchestrator.service.control_desk import questions_of
from orchestrator.service.page.bars import Bars, bars_most
from orchestrator.service.page.shape import Node, Shape, shape_after, what_it_does

FORMAT: Final = 1  #: of the document; a page that does not know it says so
FAILURES_MAX: Final = 20  #: failures told with their cause
DOWNSTREAM_MAX: Final = 200  #: steps named that a failure kept from running
PATH_STEPS_MAX: Final = 5_000  #: the critical path of a larger plan is worked out once, when the run has ended
GAPS_MAX: Final = 100  #: of the result
#: what a folded node shows when its steps stand differently: what needs attention first
PRECEDENCE: Final = ("failed", "waiting", "rejected", "backoff", "running", "checking", "pending", "gap", "passed")
Document = dict[str, JsonValue]


@dataclass(slots=True)
class Spent:
    """What was spent on one model, or in one pool."""

    usd: float = 0.0
    tokens: int = 0
    calls: int = 0

    def document(self) -> JsonValue:
        """{usd, tokens, calls}."""
        return {"usd": self.usd, "tokens": self.tokens, "calls": self.calls}


@dataclass(slots=True)
class _Failure:
    step: str
    branch: int
    at_s: float
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The records that tell of a step."""

    steps: frozenset[str]
    first: int  #: sequence numbers between which those of the steps lie
    last: int
    about_run: tuple[Recorded, ...]

    def merged(self, records: Iterable[Recorded]) -> list[Recorded]:
        """Those that tell of the step, in order; `records` are all between `first` and `last`."""
        mine = [one for one in records if isinstance(one.fact, f.StepFact) and one.fact.step in self.steps]
        return sorted([*self.about_run, *mine], key=lambda one: one.seq)


@dataclass(slots=True)
class RunPage:
    """Reads a run's records in order and tells what a page needs to know of them."""

    tally: RunTally = field(default_factory=RunTally)
    seq: int = 0
    shape: Shape | None = None
    models: dict[str, Spent] = field(default_factory=dict)
    pools: dict[str, Spent] = field(default_factory=dict)
    _shape_seq: int = 0
    _about_run: list[Recorded] = field(default_factory=list)
    _spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    _bars: dict[str, Bars] = field(default_factory=dict)
    _changed: dict[str, int] = field(default_factory=dict)
    _pool_of: dict[str, str] = field(default_factory=dict)
    _failures: list[_Failure] = field(default_factory=list)
    _path: tuple[int, tuple[str, ...], float] = (0, (), 0.0)

    def take(self, records: Iterable[Recorded]) -> None:
        """Read further records, in order; those that were read before, or leave a gap, are passed over."""
        for record in records:
            if record.seq == self.seq + 1:
                self._take(record)
                self.seq = record.seq

    @property
    def ended(self) -> bool:
        """Whether the run has its result."""
        return self.tally.ended is not None

    def since(self, after: int = 0) -> Document:
        """What a reader does not know who has read up to sequence number `after`.

        {format, seq, run, nodes}, and with them {head, graph} when the drawing is new to the reader. `nodes` holds
        only what changed, each whole.
        """
        told: Document = {"format": FORMAT, "seq": self.seq, "run": self._run()}
        if self.shape is not None and self._shape_seq > after:
            told["head"] = self._head(self.shape)
            told["graph"] = self.shape.document()
        nodes = self.shape.nodes if self.shape is not None else ()
        told["nodes"] = {
            node.id: self._node(node) for node in nodes if self._changed.get(node.id, self._shape_seq) > after
        }
        return told

    def members(self, node_id: str) -> list[JsonValue]:
        """The steps of a folded node: [step, status, reason or note, attempts, usd]; empty for what is no such node."""
        found = (
            next((node for node in self.shape.nodes if node.id == node_id), None) if self.shape is not None else None
        )
        if found is None or found.kind != "group":
            return []
        steps = (self.tally.steps.get(name) or StepTally(name) for name in found.steps)
        return [
            [step.id, step.whole.status.value, step.whole.reason or step.whole.note, step.attempts, step.usd]
            for step in steps
        ]

    def wanted(self, step: str) -> "Wanted | None":
        """Which records tell of a step: its own, those of what it waits for, and those about the run as a whole."""
        if step not in self.tally.steps:
            return None
        needs = [edge.source for edge in self.shape.graph.into(step)] if self.shape is not None else []
        steps = frozenset({step, *needs})
        spans = [self._spans[name] for name in steps if name in self._spans]
        first, last = min((one[0] for one in spans), default=1), max((one[1] for one in spans), default=0)
        return Wanted(steps=steps, first=first, last=last, about_run=tuple(self._about_run))

    # ---- reading

    def _take(self, record: Recorded) -> None:
        fact = record.fact
        if isinstance(fact, f.StepFact) and fact.step:
            first, _ = self._spans.get(fact.step, (record.seq, 0))
            self._spans[fact.step] = (first, record.seq)
        elif not isinstance(fact, f.StepFact):
            self._about_run.append(record)
        usd, tokens, calls = self.tally.usd, self.tally.tokens, self.tally.calls
        self.tally.add(record)
        if isinstance(fact, f.PlanFrozen | f.PlanPatched):
            self.shape = shape_after(self.shape, fact)
            self._shape_seq = record.seq
            self._redraw(record.seq)
        elif isinstance(fact, f.StepFact) and fact.step:
            self._of_step(fact, record.seq)
            spent = (self.tally.usd - usd, self.tally.tokens - tokens, self.tally.calls - calls)
            if any(spent):
                self._spend(fact, *spent)

    def _of_step(self, fact: f.StepFact, seq: int) -> None:
        if isinstance(fact, f.StepDispatched) and fact.pool and fact.purpose == "work":
            self._pool_of[fact.step] = fact.pool
        if isinstance(fact, f.StepFailed) and len(self._failures) < FAILURES_MAX:
            self._failures.append(_Failure(fact.step, fact.branch, fact.at_s, fact.cause or ""))
        touched = (fact.step, *fact.affected) if isinstance(fact, f.StepQuarantined) else (fact.step,)
        for step in touched:
            node = self.shape.node_of.get(step) if self.shape is not None else None
            if node is not None:
                self._changed[node.id] = seq
                self._bars_of(node.id).take(fact)

    def _bars_of(self, node: str) -> Bars:
        bars = self._bars.get(node)
        if bars is None:
            nodes = len(self.shape.nodes) if self.shape is not None else 1
            bars = self._bars[node] = Bars(bars_most(nodes))
        return bars

    def _spend(self, fact: f.StepFact, usd: float, tokens: int, calls: int) -> None:
        """What the tally counted for this fact, under its model and its pool."""
        pool = self._pool_of.get(fact.step, "")
        model = fact.model if isinstance(fact, f.ModelCalled) else ""
        for kept, name in ((self.models, model or "(no model)"), (self.pools, pool or "(no pool)")):
            spent = kept.setdefault(name, Spent())
            spent.usd += usd
            spent.tokens += tokens
            spent.calls += calls

    def _redraw(self, seq: int) -> None:
        """A changed plan: every node is told anew, and bars stay with their steps."""
        old, self._bars = self._bars, {}
        self._changed = {}
        for node in self.shape.nodes if self.shape is not None else ():
            self._changed[node.id] = seq
            if node.id in old:
                self._bars[node.id] = old[node.id]

    # ---- telling

    def _head(self, shape: Shape) -> Document:
        accepted = self.tally.accepted
        assert accepted is not None, "a plan is frozen after its run was accepted"
        return {
            "id": accepted.run,
            "plan": accepted.plan,
            "description": shape.plan.description,
            "digest": accepted.plan_digest,
            "tenant": accepted.tenant,
            "lane": accepted.lane,
            "origin": accepted.origin,
            "parent": accepted.parent,
            "parent_step": accepted.parent_step,
            "parent_branch": accepted.parent_branch,
            "accepted_at": accepted.at_s,
            "inputs": accepted.inputs,
            "constraints": [*shape.plan.constraints],
            "budget": {
                "usd": accepted.usd,
                "tokens": accepted.tokens,
                "wall_s": accepted.wall_s,
                "steps": accepted.steps,
                "calls": accepted.calls,
                "on_limit": accepted.on_limit,
            },
        }

    def _run(self) -> Document:
        tally, ended = self.tally, self.tally.ended
        settled = sum(step.ended_at_s is not None for step in tally.steps.values())
        units: Counter[str] = Counter(unit.status.value for _, _, unit in tally.units)
        path, path_s = self._critical_path()
        run_id = tally.accepted.run if tally.accepted is not None else ""
        return {
            "status": tally.status,
            "at": tally.last_at_s,
            "ended_at": ended.at_s if ended is not None else None,
            "reason": ended.reason if ended is not None else "",
            "usd": tally.usd,
            "tokens": tally.tokens,
            "calls": tally.calls,
            "limit": tally.limit,
            "steps": {"settled": settled, "total": len(tally.steps)},
            "units": dict(sorted(units.items())),
            "questions": self._questions(run_id),
            "failures": self._told_failures(),
            "gaps": [dict(gap) for gap in (ended.gaps or ())[:GAPS_MAX]] if ended is not None else [],
            "output": ended.output if ended is not None else None,
            "forgotten": tally.forgotten,
            "path": [*dict.fromkeys(self.shape.node_of[name].id for name in path)] if self.shape is not None else [],
            "path_steps": len(path),
            "path_s": path_s,
            "models": {name: spent.document() for name, spent in self.models.items()},
            "pools": {name: spent.document() for name, spent in self.pools.items()},
        }

    def _questions(self, run_id: str) -> list[JsonValue]:
        """What a person is asked: what will happen with the answer, and what the run has cost so far."""
        asked = cast(list[Document], questions_of(run_id, self.tally))
        plan = self.tally.accepted.plan if self.tally.accepted is not None else ""
        return [
            {**one, "plan": plan, "usd": self.tally.usd, "next": self._waits_for(str(one["step"]))} for one in asked
        ]

    def _waits_for(self, asking: str) -> list[JsonValue]:
        """[{step, does, when}] of the steps that go on, or not, with the answer of a human step."""
        step = asking.partition("[")[0]
        if self.shape is None or step not in self.shape.plan.steps:
            return []
        if self.shape.plan.steps[step].kind != "human":
            return [{"step": step, "does": what_it_does(self.shape.plan.steps[step]), "when": ""}]
        after = [edge.target for edge in self.shape.graph.edges.values() if edge.source == step]
        plan = self.shape.plan
        return [
            {"step": name, "does": what_it_does(plan.steps[name]), "when": str(plan.steps[name].if_ or "")}
            for name in after
        ]

    def _told_failures(self) -> JsonValue:
        """Failed steps, the earliest first, each with the steps that did not run because of it."""
        told: list[JsonValue] = []
        named: set[str] = set()
        for failure in self._failures:
            step = self.tally.steps.get(failure.step)
            if step is None or step.unit(failure.branch).status is not Status.FAILED:
                continue  # a patch has given it another try
            below = [name for name in self._kept_from_running(failure.step) if name not in named]
            named.update(below)
            told.append(
                {
                    "step": failure.step,
                    "branch": failure.branch,
                    "at": failure.at_s,
                    "cause": failure.cause,
                    "downstream": [*below[:DOWNSTREAM_MAX]],
                    "downstream_total": len(below),
                }
            )
        return told

    def _kept_from_running(self, step: str) -> list[str]:
        if self.shape is None or step not in self.tally.steps:
            return []
        below = self.shape.graph.descendants(step)
        return [
            name
            for name, other in self.tally.steps.items()
            if name in below and other.whole.status is Status.SKIPPED and other.whole.reason in UPSTREAM
        ]

    def _critical_path(self) -> tuple[tuple[str, ...], float]:
        """The chain of steps that took longest, by the time each has taken so far, and its seconds."""
        if self.shape is None or (len(self.shape.plan.steps) > PATH_STEPS_MAX and not self.ended):
            return (), 0.0
        if self._path[0] != self.seq:
            weights = {
                name: (step.ended_at_s or self.tally.last_at_s) - step.started_at_s
                for name, step in self.tally.steps.items()
                if step.started_at_s is not None
            }
            steps, seconds = self.shape.graph.critical_path(weights)
            self._path = (self.seq, tuple(name for name in steps if name in weights), seconds)
        return self._path[1], self._path[2]

    def _node(self, node: Node) -> Document:
        steps = [self.tally.steps.get(name) or StepTally(name) for name in node.steps]
        told = _group(steps) if node.kind == "group" else _step(steps[0])
        bars = self._bars.get(node.id)
        if bars is not None and bars.kept:
            told["bars"] = [bar.document() for bar in bars.kept]
            if bars.left_out:
                told["bars_left_out"] = bars.left_out
        return told


def _step(step: StepTally) -> Document:
    whole = step.whole
    told: Document = {"status": whole.status.value, "attempts": step.attempts, "usd": step.usd}
    rest: Document = {
        "started_at": step.started_at_s,
        "ended_at": step.ended_at_s,
        "reason": whole.reason,
        "note": whole.note,
        "child": whole.child,
        "asked": whole.asked.ask if whole.asked is not None else None,
        "until": whole.until_s if whole.status is Status.BACKOFF else None,
        "quarantined": step.quarantined,
    }
    told |= {name: value for name, value in rest.items() if value}
    if step.branches is not None:
        told["counts"] = dict(sorted(step.counts.items()))
        told["total"] = len(step.branches)
    return told


def _group(steps: list[StepTally]) -> Document:
    counts = Counter(step.whole.status.value for step in steps)
    started = [step.started_at_s for step in steps if step.started_at_s is not None]
    ended = [step.ended_at_s for step in steps if step.ended_at_s is not None]
    told: Document = {
        "status": next((status for status in PRECEDENCE if counts[status]), "skipped"),
        "attempts": max((step.attempts for step in steps), default=0),
        "usd": sum(step.usd for step in steps),
        "counts": dict(sorted(counts.items())),
        "total": len(steps),
    }
    if started:
        told["started_at"] = min(started)
    if len(ended) == len(steps):
        told["ended_at"] = max(ended)
    return told
