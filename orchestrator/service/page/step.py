"""One step, or one branch of it, as the panel beside the drawing shows it: inputs, attempts, verdicts, story. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Final, cast

from orchestrator.core import facts as f
from orchestrator.core.codec import LAYOUTS
from orchestrator.core.story import story
from orchestrator.core.summary import RunTally
from orchestrator.engine.recovery import machine_of, plan_of, replay
from orchestrator.errors import ExpressionError, JournalCorrupt, PlanError
from orchestrator.ids import JsonValue
from orchestrator.plan.compiled import CompiledPlan, compile_plan
from orchestrator.plan.models import Plan, canonical_json
from orchestrator.ports.journal import Recorded
from orchestrator.service.page.shape import Shape

REPLAYED_MAX: Final = 20_000  #: records replayed to work inputs out; beyond, only their digest is told
VALUE_CHARS: Final = 64 * 1024  #: of one value, as JSON; a longer one is cut, and says so
ATTEMPTS_MAX: Final = 40  #: told of one step; the last ones
ITEMS_MAX: Final = 100  #: verdicts, model calls, tools of one attempt
LINES_MAX: Final = 400  #: of the story; the last ones
USD_DIGITS: Final = 9  #: behind the point; what differences of sums add is further behind
BRANCHES_PAGE: Final = 200  #: branches told at once
Document = dict[str, JsonValue]

_ENDS: Final[dict[type[f.Fact], str]] = {
    f.StepPassed: "passed",
    f.StepRejected: "rejected",
    f.AttemptFailed: "failed",
    f.LeaseLost: "lost",
    f.StepGap: "gap",
    f.StepFailed: "failed",
    f.StepCancelled: "cancelled",
    f.StepSkipped: "skipped",
}
#: facts told in a list of the attempt, and which
_LISTS: Final[dict[type[f.Fact], str]] = {
    f.CheckVerdict: "verdicts",
    f.JudgeVoted: "votes",
    f.ModelCalled: "models",
    f.ToolCalled: "tools",
    f.ToolFailed: "tools",
    f.EffectIntended: "effects",
    f.EffectDone: "effects",
    f.ToolIntended: "effects",
    f.ApprovalAsked: "approvals",
    f.ApprovalAnswered: "approvals",
    f.ApprovalExpired: "approvals",
    f.PlanDrafted: "drafts",
    f.StepEscalated: "escalations",
}
_COMMON: Final = frozenset({"step", "branch", "attempt"})


def clip(value: JsonValue) -> JsonValue:
    """A value, or {clipped, chars} in its place when it is longer than `VALUE_CHARS` as JSON."""
    text = value if isinstance(value, str) else canonical_json(value)
    return value if len(text) <= VALUE_CHARS else {"clipped": text[:VALUE_CHARS], "chars": len(text)}


class StepPages:
    """Pages of the steps of one run."""

    def __init__(
        self,
        records: Sequence[Recorded],
        *,
        shape: Shape | None,
        counted: RunTally,
        inputs: Mapping[tuple[str, int], JsonValue] | None = None,
    ) -> None:
        """`records` are the run's, in order; of a long run those suffice that `RunPage.wanted` names.

        `counted` is of the whole run. `inputs` are those of `all_inputs`; None: nobody has asked for them.
        """
        self._records, self._shape, self._counted, self._inputs = records, shape, counted, inputs
        self._plan = _compiled(records)

    def page(
        self, step: str, branch: int = f.WHOLE, *, first: int = 0, branches_max: int | None = BRANCHES_PAGE
    ) -> Document | None:
        """Everything about a step, or one branch; None when the run has no such step.

        {step, branch, spec, needs, status, now, lines, attempts}, and inputs where they are known; of a mapped step as
        a whole {branches, branches_total}, at most `branches_max` of them, from number `first` on.
        """
        found = self._counted.steps.get(step)
        if found is None or (branch >= 0 and branch not in (found.branches or {})):
            return None
        unit = found.whole if branch < 0 else (found.branches or {})[branch]
        lines = story(self._records, step if branch < 0 else f"{step}[{branch}]", self._plan)
        told: Document = {
            "step": step,
            "branch": branch,
            "spec": _spec(self._shape.plan if self._shape is not None else None, step),
            "needs": [edge.source for edge in self._shape.graph.into(step)] if self._shape is not None else [],
            "status": unit.status.value,
            "reason": unit.reason,
            "child": unit.child,
            "quarantined": found.quarantined,
            "now": lines[-1].text.removeprefix("now: "),
            "lines": [[line.seq, line.at_s, line.text] for line in lines[:-1][-LINES_MAX:]],
        }
        if branch < 0 and found.branches is not None:
            rows = sorted(found.branches.items())
            last = len(rows) if branches_max is None else first + branches_max
            told["branches_total"] = len(rows)
            told["branches"] = [[index, one.status.value, one.reason or one.note] for index, one in rows[first:last]]
            told["attempts"] = []
            return told
        told["attempts"] = [_finished(one) for one in _attempts(self._records, step, branch)]
        if self._inputs is not None:
            told["inputs"] = self._inputs.get((step, branch))
        return told


def _spec(plan: Plan | None, step: str) -> JsonValue:
    """The step as it stands in the plan."""
    steps = plan.data["steps"] if plan is not None else None
    return clip(steps.get(step)) if isinstance(steps, dict) else None


def _compiled(records: Sequence[Recorded]) -> CompiledPlan | None:
    """The plan as it was frozen, made ready once for all stories; None where it was deleted or cannot be read."""
    try:
        return compile_plan(plan_of(records))
    except (JournalCorrupt, ValueError, PlanError, ExpressionError):
        return None  # a story then does without


def last_sent(records: Iterable[Recorded], step: str, branch: int) -> int:
    """The sequence number at which the last attempt of a unit was sent; 0: none was."""
    last = 0
    for record in records:
        fact = record.fact
        if isinstance(fact, f.StepDispatched) and fact.purpose == "work" and (fact.step, fact.branch) == (step, branch):
            last = record.seq
    return last


def all_inputs(records: Sequence[Recorded]) -> dict[tuple[str, int], JsonValue]:
    """What the last attempt of every step and branch was given: {digest, task, with}, or {digest, why}.

    `records` are whole, from the first. The journal holds digests of inputs; the values follow from what had passed.
    """
    sent = {
        (record.fact.step, record.fact.branch): record.fact.digest
        for record in records
        if isinstance(record.fact, f.StepDispatched) and record.fact.purpose == "work"
    }
    why = ""
    if records and records[-1].seq > REPLAYED_MAX:
        why = f"they follow from more than {REPLAYED_MAX:,} records"
    elif any(record.forgotten for record in records):
        why = "payloads were deleted"
    found: dict[tuple[str, int], JsonValue] = {}
    if not why:
        try:
            found = _replayed(records)
        except JournalCorrupt as error:
            why = str(error)
    unknown = why or "they cannot be worked out from what had passed"
    return {key: found.get(key, {"digest": digest, "why": unknown}) for key, digest in sent.items()}


def _replayed(records: Sequence[Recorded]) -> dict[tuple[str, int], JsonValue]:
    """Inputs as the machine works them out while it takes the facts in.

    Raises:
        JournalCorrupt: a fact that does not fit what was before it, or a plan that cannot be read.
    """
    found: dict[tuple[str, int], JsonValue] = {}
    head = next((at for at, record in enumerate(records, start=1) if isinstance(record.fact, f.PlanFrozen)), 0)
    machine = machine_of(records[:head])
    for record in records[head:]:
        replay(machine, [record])
        fact = record.fact
        if isinstance(fact, f.StepDispatched) and fact.purpose == "work":
            state = machine.state.step(fact.step)
            unit = state.find(fact.branch) if state is not None else None
            if unit is not None and unit.args is not None:
                told: Document = {"digest": fact.digest, "task": clip(unit.text), "with": clip(unit.args)}
                found[fact.step, fact.branch] = told
    return found


def _attempts(records: Iterable[Recorded], step: str, branch: int) -> list[Document]:
    """Facts about one unit, by attempt."""
    found: dict[int, Document] = {}
    counted = RunTally()  # knows which facts carry a cost, and that a charge counts once
    for record in records:
        fact = record.fact
        if not isinstance(fact, f.StepFact) or (fact.step, fact.branch) != (step, branch):
            continue
        usd, tokens = counted.usd, counted.tokens
        counted.add(record)
        number = fact.attempt or max(found, default=1)
        if number not in found and not isinstance(fact, f.StepDispatched | f.StepReused):
            number = max(found, default=0)
            if not number:
                continue  # a skip, a cancellation: no attempt was made
        told = found.setdefault(number, {"attempt": number, "usd": 0.0, "tokens": 0})
        told["usd"] = round(cast(float, told["usd"]) + counted.usd - usd, USD_DIGITS)
        told["tokens"] = cast(int, told["tokens"]) + counted.tokens - tokens
        _tell(told, fact)
    return [found[number] for number in sorted(found)[-ATTEMPTS_MAX:]]


def _tell(told: Document, fact: f.StepFact) -> None:
    told["last_at"] = fact.at_s
    kept = _LISTS.get(type(fact))
    if kept is not None:
        items = cast(list[JsonValue], told.setdefault(kept, []))
        if len(items) < ITEMS_MAX:
            items.append(_plain(fact))
        else:
            told[f"{kept}_left_out"] = cast(int, told.get(f"{kept}_left_out", 0)) + 1
        return
    match fact:
        case f.StepDispatched(purpose="work"):
            if fact.sample == 0:
                told |= {"sent_at": fact.at_s, "pool": fact.pool, "tier": fact.tier, "cause": fact.cause}
                told |= {"rung": fact.rung, "inputs_digest": fact.digest, "outcome": "running"}
                told.pop("ended_at", None)
        case f.StepStarted():
            told |= {"began_at": fact.at_s, "worker": fact.actor}
        case f.StepProgress():
            told["progress"] = {"fraction": fact.fraction, "message": fact.message}
        case f.StepProduced():
            told.setdefault("began_at", fact.started_at_s or None)
            told |= {"produced_at": fact.at_s, "worker": fact.actor or told.get("worker", "")}
            told |= {"output": clip(fact.output), "output_digest": fact.digest, "outcome": "checking"}
        case f.StepReused():
            told |= {"output": clip(fact.output), "output_digest": fact.digest, "reused_from": fact.source}
            told |= {"ended_at": fact.at_s, "outcome": "passed"}
        case f.ChildStarted():
            told["child"] = fact.child
        case _:
            _ended(told, fact)


def _ended(told: Document, fact: f.StepFact) -> None:
    end = _ENDS.get(type(fact))
    if end is None:
        return
    told |= {"ended_at": fact.at_s, "outcome": end}
    match fact:
        case f.AttemptFailed():
            told |= {"error": fact.error, "message": fact.message}
        case f.StepRejected():
            told["refused_because"] = [*(fact.reasons or ())]
        case f.LeaseLost() | f.StepGap():
            told["message"] = fact.reason
        case f.StepFailed():
            told["message"] = fact.cause
        case _:
            pass


def _plain(fact: f.StepFact) -> Document:
    """A fact's own fields as JSON, long values cut."""
    told: Document = {"kind": fact.KIND}
    for name in (one.name for one in fields(LAYOUTS[fact.KIND].cls) if one.name not in _COMMON):
        value = getattr(fact, name)
        told[name] = clip([*value] if isinstance(value, tuple) else value)
    return told


def _finished(attempt: Document) -> Document:
    """An attempt without what is empty."""
    return {name: value for name, value in attempt.items() if value not in (None, "")}
