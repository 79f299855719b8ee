"""Whence every value of a plan comes: labels that follow references from step to step, worked out before anything runs.

    trusted   what the plan itself says: written by its author, or by a planner and then checked
    user      inputs of the run, and what people answer
    document  texts from outside, which any function or agent of a pool may have read
    tool      what a function of a pool, or a tool of an agent, gave back
    model     what a model wrote

A value that was made from others keeps their labels for good: no hop washes them off. Labels are a property of the
plan, so nothing that flows through a run can change them.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

from orchestrator.plan.compiled import CompiledPlan
from orchestrator.plan.expressions import Ref, bare
from orchestrator.plan.models import Plan, Step
from orchestrator.plan.values import references

Label = Literal["trusted", "user", "document", "tool", "model"]
Labels = frozenset[Label]
TRUSTED: Final[Labels] = frozenset({"trusted"})
#: What a step adds of its own. A plan does not say what a function reads, so the most that is possible is said.
_OWN: Final[Mapping[str, Labels]] = {
    "task": frozenset({"document", "tool", "model"}),
    "call": frozenset({"document", "tool"}),
    "human": frozenset({"user"}),
    "plan": frozenset({"document", "tool", "model"}),
    "goal": frozenset({"document", "tool", "model"}),
}
#: What the inputs of a sub-plan may be made of, which its own plan does not say.
_ABOVE: Final[Labels] = frozenset({"document", "tool", "model"})
_PLANS_KEPT: Final = 64


class _Given:
    """What one or many steps are given: their arguments' labels, as sets and as plain data for tasks."""

    __slots__ = ("labels", "told", "told_below")

    def __init__(self, labels: dict[str, Labels]) -> None:
        self.labels = labels
        self.told = {name: sorted(map(str, found)) for name, found in labels.items()}
        #: Within a sub-plan, whose inputs come from steps of the run above it.
        self.told_below = {
            name: sorted(map(str, found | _ABOVE if "user" in found else found)) for name, found in labels.items()
        }


class Provenance:
    """The labels of one plan, worked out step by step as they are asked for.

    Thousands of steps are given values of the same few origins, so what is known is shared between them.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._outputs: dict[str, Labels] = {}
        self._given: dict[str, _Given] = {}
        self._kept: dict[tuple[tuple[str, Labels], ...], _Given] = {}
        self._sets: dict[Labels, Labels] = {}

    def output(self, step: str) -> Labels:
        """Of what a step gives: its own, and those of all it was given."""
        self._know(step)
        return self._outputs[step]

    def arguments(self, step: str) -> Mapping[str, Labels]:
        """Of each value under `with`; and of the `task` itself, into which inputs may be spliced, under that name."""
        return self._know(step).labels

    def told(self, step: str, *, parent: bool) -> dict[str, list[str]]:
        """The same as plain data, for a task; shared, so not to be changed. `parent`: the plan is a sub-plan."""
        given = self._know(step)
        return given.told_below if parent else given.told

    def _know(self, step: str) -> _Given:
        """Work out a step, after all that it reads. Long chains are walked without recursion."""
        known = self._given.get(step)
        if known is not None:
            return known
        todo, begun = [step], set[str]()
        while todo:
            name = todo[-1]
            if name in self._given or name not in self._plan.steps:
                todo.pop()
                continue
            of_step = self._plan.steps[name]
            reads = _reads(of_step)
            missing = [one for one in _named(of_step, reads) if one not in self._given]
            if name not in begun and missing:  # a circle, which `plan check` refuses, is gone through once
                begun.add(name)
                todo += missing
                continue
            self._add(name, of_step, reads)
            todo.pop()
        return self._given[step]

    def _add(self, step_id: str, step: Step, reads: dict[str, list[Ref]]) -> None:
        each: Labels = frozenset()
        if step.foreach is not None:
            each = self._of(reads.pop(_OVER), frozenset())
            if step.foreach.each is not None:
                each |= self._outputs.get(step.foreach.each, frozenset())
        found = tuple([(name, self._of(refs, each) or TRUSTED) for name, refs in reads.items()])
        given = self._kept.get(found)
        if given is None:
            given = self._kept[found] = _Given(dict(found))
        self._given[step_id] = given
        output = (_OWN[step.kind] | each).union(*[labels for _, labels in found]) - TRUSTED
        self._outputs[step_id] = self._sets.setdefault(output, output)

    def _of(self, refs: list[Ref], each: Labels) -> Labels:
        found: Labels = frozenset()
        for ref in refs:
            match ref.root:
                case "steps" if ref.path:
                    found |= self._outputs.get(str(ref.path[0]), frozenset())
                case "inputs" | "session":
                    found |= {"user"}
                case "run":
                    pass
                case _:  # the item of a `foreach`
                    found |= each
        return found


_OVER: Final = "foreach.over"  #: no argument: names hold no dot


def _reads(step: Step) -> dict[str, list[Ref]]:
    """The references in each value that a step is given, in its `task`, and in the list that it goes through."""
    found = {name: references(value, name) for name, value in step.with_.items()}
    if step.task is not None:
        found["task"] = references(step.task, "task")
    if step.foreach is not None:
        over = step.foreach.over
        found[_OVER] = list(bare(over).refs) if isinstance(over, str) else references(over, _OVER)
    return found


def _named(step: Step, reads: dict[str, list[Ref]]) -> list[str]:
    names = [str(ref.path[0]) for refs in reads.values() for ref in refs if ref.root == "steps" and ref.path]
    return [*names, step.foreach.each] if step.foreach is not None and step.foreach.each is not None else names


@lru_cache(maxsize=_PLANS_KEPT)
def provenance_of(compiled: CompiledPlan) -> Provenance:
    """The labels of a plan that runs; one table for all its runs."""
    return Provenance(compiled.plan)
