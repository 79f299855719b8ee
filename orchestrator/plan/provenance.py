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
from orchestrator.plan.issues import Issues
from orchestrator.plan.models import Plan, Step
from orchestrator.plan.references import Use, refs_to_steps, uses_of

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


class Provenance:
    """The labels of one plan, worked out step by step as they are asked for."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._outputs: dict[str, Labels] = {}
        self._arguments: dict[str, dict[str, Labels]] = {}
        self._told: dict[tuple[str, bool], dict[str, list[str]]] = {}

    def output(self, step: str) -> Labels:
        """Of what a step gives: its own, and those of all it was given."""
        self._know(step)
        return self._outputs[step]

    def arguments(self, step: str) -> Mapping[str, Labels]:
        """Of each value under `with`; and of the `task` itself, into which inputs may be spliced, under that name."""
        self._know(step)
        return self._arguments[step]

    def told(self, step: str, *, parent: bool) -> dict[str, list[str]]:
        """The same as plain data, for a task. Inputs of a sub-plan (`parent`) come from steps of the run above it."""
        key = step, parent
        found = self._told.get(key)
        if found is None:
            above = _ABOVE if parent else frozenset[Label]()
            found = self._told[key] = {
                name: sorted(labels | above if "user" in labels else labels)
                for name, labels in self.arguments(step).items()
            }
        return found

    def _know(self, step: str) -> None:
        """Work out a step, after all that it reads. Long chains are walked without recursion."""
        todo, begun = [step], set[str]()
        while todo:
            name = todo[-1]
            if name in self._arguments or name not in self._plan.steps:
                todo.pop()
                continue
            uses = uses_of(self._plan.steps[name], Issues())
            missing = [one for one in _read_by(self._plan.steps[name], uses) if one not in self._arguments]
            if name not in begun and missing:  # a circle, which `plan check` refuses, is gone through once
                begun.add(name)
                todo += missing
                continue
            self._add(name, self._plan.steps[name], uses)
            todo.pop()

    def _add(self, step_id: str, step: Step, uses: list[Use]) -> None:
        each: Labels = frozenset()
        if step.foreach is not None:
            each = self._of([use for use in uses if use.path[0] == "foreach"], frozenset())
            if step.foreach.each is not None:
                each |= self._outputs.get(step.foreach.each, frozenset())
        arguments = {
            name: self._of([use for use in uses if use.path[:2] == ("with", name)], each) or TRUSTED
            for name in step.with_
        }
        if step.task is not None:
            arguments["task"] = self._of([use for use in uses if use.path[0] == "task"], each) or TRUSTED
        self._arguments[step_id] = arguments
        read = frozenset[Label]().union(*arguments.values()) | each
        self._outputs[step_id] = (_OWN[step.kind] | read) - TRUSTED

    def _of(self, uses: list[Use], each: Labels) -> Labels:
        found: Labels = frozenset()
        for use in uses:
            for ref in use.expression.refs:
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


def _read_by(step: Step, uses: list[Use]) -> list[str]:
    names = [str(ref.path[0]) for _, ref in refs_to_steps(uses) if ref.path]
    return [*names, step.foreach.each] if step.foreach is not None and step.foreach.each is not None else names


@lru_cache(maxsize=_PLANS_KEPT)
def provenance_of(compiled: CompiledPlan) -> Provenance:
    """The labels of a plan that runs; one table for all its runs."""
    return Provenance(compiled.plan)
