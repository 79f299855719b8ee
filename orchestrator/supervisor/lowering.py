"""From a draft to a plan: what the model wrote, and beside it what the host puts into every plan. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from orchestrator.errors import PlanError
from orchestrator.ids import JsonValue
from orchestrator.plan.parts import Supervision
from orchestrator.supervisor.allowance import CLOSING_ID, Allowance
from orchestrator.supervisor.drafts import Closing, DraftPlan, DraftStep
from orchestrator.supervisor.patterns import Features
from orchestrator.supervisor.rules import CLOSING_RUBRIC, Judging

Data = dict[str, JsonValue]
_TYPES: Final[Mapping[str, Data]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "truth": {"type": "boolean"},
    "list": {"type": "array"},
    "object": {"type": "object"},
}
_PATH: Final = re.compile(r"(inputs|steps|item)((?:\.[A-Za-z_][A-Za-z0-9_-]{0,63}){0,8})\Z")
_CITED_CHARS_MAX: Final = 2_000


class Lowering:
    """Makes the data of one plan."""

    def __init__(
        self,
        allowance: Allowance,
        *,
        judging: Judging | None,
        replans: bool,
        inner: Supervision,
        goal_output: Data | None = None,
    ) -> None:
        self._allowed, self._judging, self._replans = allowance, judging, replans
        self._inner = inner  #: of goals inside this plan
        self._goal_output = goal_output
        self.faults: list[str] = []

    def plan(
        self,
        draft: DraftPlan,
        *,
        name: str,
        constraints: tuple[str, ...],
        inputs: Iterable[str],
        closing: float,
        goal: str,
    ) -> Data:
        """The plan's data; what cannot be lowered is in `faults`, in words for the model."""
        known = list(inputs)
        optional = {step.id for step in draft.steps if step.optional}
        mapped = {step.id for step in draft.steps if step.each is not None}
        ids = [step.id for step in draft.steps]
        for twice in sorted({one for one in ids if ids.count(one) > 1}):
            self.faults.append(f"step {twice}: the id is taken")
        steps: dict[str, JsonValue] = {}
        for step in draft.steps:
            steps[step.id] = self.step(step, known, optional | mapped, set(ids))
        result: JsonValue
        if draft.closing is not None:
            steps[CLOSING_ID] = self._closing(draft.closing, ids, optional | mapped, goal)
            whole = self._goal_output is None
            result = f"${{{{ steps.{CLOSING_ID}.output{'' if whole else '.answer'} }}}}"
        else:
            if len(draft.steps) != 1:
                self.faults.append("closing: a plan of more than one step needs one, with a pool and a task")
            last = draft.steps[-1]
            self._last(last, steps[last.id], goal)
            result = f"${{{{ steps.{last.id}.output }}}}"
        data: Data = {"name": name, "steps": steps, "result": result}
        if constraints:
            data["constraints"] = list(constraints)
        if known:
            data["inputs"] = {one: {} for one in known}
        budget: Data = {"steps": (self._allowed.steps + 1) * max(self._allowed.fan_out, 1)}
        if closing and draft.closing is not None:
            budget["closing"] = closing
        data["budget"] = budget
        return data

    def step(self, step: DraftStep, inputs: list[str], many: set[str], ids: set[str]) -> Data:
        """One step's data; `many` are steps that are read as the list of what passed."""
        data: Data = {}
        for key in ("pool", "task", "call", "goal"):
            value = getattr(step, key)
            if value is not None:
                data[key] = value
        if step.goal is not None:
            data["supervisor"] = self._inner.model_dump(mode="json", exclude_defaults=True)
        given: Data = {value.name: _plain(value.value) for value in step.values}
        for use in step.uses:
            given[use.name] = self._reference(f"step {step.id}", use.source, inputs, many, ids, item=bool(step.each))
        if step.people is not None:
            show: Data = {"show": given} if given else {}
            data["human"] = {"ask": step.people.ask, "choices": [*step.people.choices], **show}
        elif given:
            data["with"] = given
        if step.after:
            data["needs"] = [*step.after]
        if step.each is not None:
            data["foreach"] = self._foreach(step, inputs, many, ids)
        if step.fields:
            fields: Data = {one.name: dict(_TYPES[one.type]) for one in step.fields}
            data["output"] = {"type": "object", "properties": fields, "required": [*fields]}
        if step.tier is not None and (step.task is not None or step.call is not None):
            data["model"] = {"tier": step.tier}
        if step.effect is not None:
            branch = "/${{ index }}" if step.each is not None else ""
            data["effect"] = {"key": f"${{{{ run.origin_id }}}}/{step.effect}{branch}"}
        return data | self._gate(step)

    def _gate(self, step: DraftStep) -> Data:
        """The checks of a step and its ladder."""
        data: Data = {}
        checks: list[JsonValue] = [{"rule": rule} for rule in step.rules]
        if step.rubric is not None:
            checks += self._judge(step.rubric)
        if checks:
            data["checks"] = checks
        if step.news is not None and self._replans:
            data["replan_if"] = step.news
        elif step.news is not None:
            self.faults.append(f"step {step.id}: nobody replans here; leave news out")
        if step.people is None:
            data["on_fail"] = self._ladder(step)
        return data

    def _judge(self, rubric: str) -> list[JsonValue]:
        if self._judging is None:
            self.faults.append("rubric: this host has no judge; write rules")
            return []
        judge = self._judging
        return [{"judge": {"rubric": rubric, "tier": judge.tier, "pass_at": judge.pass_at, "votes": judge.votes}}]

    def _ladder(self, step: DraftStep) -> list[JsonValue]:
        """Retry with the reasons, then the strong tier, then a new plan, then what the draft allows."""
        rungs: list[JsonValue] = [{"retry": 1}]
        if step.task is not None and "strong" in self._allowed.tiers and step.tier != "strong":
            rungs.append({"escalate": {"tier": "strong"}})
        if self._replans:
            rungs.append({"replan": "downstream"})
        return [*rungs, "gap"] if step.optional else rungs

    def _foreach(self, step: DraftStep, inputs: list[str], many: set[str], ids: set[str]) -> Data:
        at = {"max_parallel": self._allowed.fan_out}
        if isinstance(step.each, list):
            return {"over": [*step.each], **at}
        source = step.each or ""
        return {"over": self._reference(f"step {step.id}: each", source, inputs, many, ids, item=False), **at}

    def _reference(self, at: str, source: str, inputs: list[str], many: set[str], ids: set[str], *, item: bool) -> str:
        """An expression for a name of the draft's own language; a fault when it names nothing."""
        found = _PATH.match(source.strip())
        names = found.group(2).split(".")[1:] if found is not None else []
        root = found.group(1) if found is not None else ""
        if root == "item" and item:
            return f"${{{{ {'.'.join(['item', *names])} }}}}"
        if root == "inputs" and names and names[0] in inputs:
            return f"${{{{ {'.'.join(['inputs', *names])} }}}}"
        if root == "steps" and names and names[0] in ids:
            member = "passed" if names[0] in many else "output"
            below = names[2:] if names[1:2] == ["output"] else names[1:]
            if below and member == "passed":
                self.faults.append(f"{at}: {names[0]} gives a list, so it has no field {below[0]}")
                below = []
            return f"${{{{ {'.'.join(['steps', names[0], member, *below])} }}}}"
        known = [*(f"steps.{one}" for one in sorted(ids)), *(f"inputs.{one}" for one in inputs), *["item"] * item]
        self.faults.append(f"{at}: {source[:80]!r} names nothing; there is {', '.join(known[:20]) or 'nothing'}")
        return "${{ null }}"

    def _closing(self, closing: Closing, ids: list[str], many: set[str], goal: str) -> Data:
        """The last step. Each of its citations names a step of this plan, by schema, that has passed, by rule."""
        cited: Data = {one: {"type": "string", "minLength": 1, "maxLength": _CITED_CHARS_MAX} for one in ids}
        answer: JsonValue = self._goal_output if self._goal_output is not None else {"type": "string", "minLength": 1}
        output: Data = {
            "type": "object",
            "properties": {
                "answer": answer,
                "citations": {
                    "type": "object",
                    "properties": cited,
                    "additionalProperties": False,
                    "minProperties": 1,
                    "description": "the id of a step: what of its output the answer rests on",
                },
            },
            "required": ["answer", "citations"],
            "additionalProperties": False,
        }
        checks: list[JsonValue] = [
            {
                "rule": f'"{one}" not in output.citations or len(steps.{one}.passed) > 0',
                "reason": f"the answer cites {one}, of which nothing has passed",
            }
            for one in ids[:_RULES_MAX]
        ]
        if self._judging is not None and self._judging.closing:
            checks += self._judge(f"{CLOSING_RUBRIC} The goal: {goal}")
        data: Data = {
            "pool": closing.pool,
            "task": f"{closing.task}\n\n{_CITE}",
            "with": {one: f"${{{{ steps.{one}.{'passed' if one in many else 'output'} }}}}" for one in ids},
            "output": output,
            "checks": checks,
        }
        rungs: list[JsonValue] = [{"retry": 2}]
        if "strong" in self._allowed.tiers and closing.tier != "strong":
            rungs.append({"escalate": {"tier": "strong"}})
        data["on_fail"] = rungs
        if closing.tier is not None:
            data["model"] = {"tier": closing.tier}
        return data

    def _last(self, step: DraftStep, data: JsonValue, goal: str) -> None:
        """A plan of one step: the step's output is the answer, so it has the form that the goal asks for."""
        assert isinstance(data, dict), "a step is a mapping"
        if self._goal_output is not None:
            if step.fields:
                self.faults.append(f"step {step.id}: its fields are given by the goal; leave them out")
            data["output"] = self._goal_output
        if step.rubric is None and step.task is not None and self._judging is not None and self._judging.closing:
            checks = data.get("checks", [])
            assert isinstance(checks, list), "checks are a list"
            data["checks"] = [*checks, *self._judge(f"{CLOSING_RUBRIC} The goal: {goal}")]


_RULES_MAX: Final = 19  #: one of the `CHECKS_MAX` is the judge's
_CITE: Final = (
    "Answer with `answer` and `citations`. Under `citations`, name every step whose data the answer rests on, by its"
    " id, with the words or figures that were taken from it. Cite only steps that are among the data."
)


def _plain(value: object) -> JsonValue:
    return [*value] if isinstance(value, list) else value  # type: ignore[return-value]  # scalars of a draft


def features_of(draft: DraftPlan) -> Features:
    """What the table of patterns looks at. A plan that cannot be ordered has no width, and is refused elsewhere."""
    ids = {step.id for step in draft.steps}
    needs = {step.id: _needs(step) & ids for step in draft.steps}
    level: dict[str, int] = {}
    todo = list(needs)
    while todo:
        ready = [one for one in todo if needs[one] <= level.keys()]
        if not ready:
            break
        for one in ready:
            level[one] = 1 + max((level[need] for need in needs[one]), default=0)
        todo = [one for one in todo if one not in level]
    beside: dict[int, int] = {}
    for step in draft.steps:
        at = level.get(step.id, 0)
        items = len(step.each) if isinstance(step.each, list) else draft.assessment.parts if step.each else 1
        beside[at] = beside.get(at, 0) + max(items, 1)
    return Features(
        steps=len(draft.steps),
        width=max(beside.values()),
        pools=len({step.pool for step in draft.steps if step.pool is not None}) or 1,
        goals=sum(step.goal is not None for step in draft.steps),
        sequential=draft.assessment.sequential,
        one_agent=draft.assessment.one_agent,
    )


def _needs(step: DraftStep) -> set[str]:
    sources = [use.source for use in step.uses] + ([step.each] if isinstance(step.each, str) else [])
    named = {source.split(".")[1] for source in sources if source.startswith("steps.") and source.count(".") >= 1}
    return named | set(step.after)


def told(error: PlanError) -> list[str]:
    """A plan's issues in words for the model."""
    return [
        f"{issue.path or 'the plan'}: {issue.message}" + (f"; expected {issue.expected}" if issue.expected else "")
        for issue in error.issues
    ]
