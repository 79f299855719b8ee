"""What a patch that a model wrote may not take out of a plan: checks, people, conditions. Pure.

A replanner reads why a step failed, and those words may come from a document. Whatever it was talked into, the outputs
that people rely on have met the checks that the plan's author wrote.
"""

from collections.abc import Collection, Iterator, Mapping

from orchestrator.ids import JsonValue
from orchestrator.plan.issues import Issues
from orchestrator.plan.models import Plan, Step
from orchestrator.plan.references import plan_graph, refs_to_steps, result_uses
from orchestrator.supervisor.rules import CLOSING_RUBRIC, Judging

Data = dict[str, JsonValue]
Before = Mapping[str, frozenset[str]]  #: of every step, all that comes before it
RESULT = ""  #: stands for the plan's result among the ids of its steps


def with_gate(body: Data, old: JsonValue, ids: Collection[str], judging: Judging | None) -> Data:
    """A step in the place of an old one: it keeps that one's checks, form of output, condition and order.

    `ids` are all steps there will be. In the place of a goal, whose plan would have ended in a judge, the step is
    judged by the goal.
    """
    if not isinstance(old, dict):
        return body
    kept: Data = {name: old[name] for name in ("output", "if") if name in old}
    checks = [*_list(old, "checks")]
    if "goal" in old and "goal" not in body and judging is not None and judging.closing:
        rubric = f"{CLOSING_RUBRIC} The goal: {old['goal']}"
        judge: Data = {"rubric": rubric, "tier": judging.tier, "pass_at": judging.pass_at, "votes": judging.votes}
        checks.append({"judge": judge})
    checks += [check for check in _list(body, "checks") if check not in checks]
    needs = [*_list(body, "needs")]
    needs += [one for one in _list(old, "needs") if one not in needs and one in ids]
    return {**body, **kept, **({"checks": checks} if checks else {}), **({"needs": needs} if needs else {})}


def _list(data: Data, name: str) -> list[JsonValue]:
    found = data.get(name, [])
    assert isinstance(found, list), f"{name} is a list"
    return found


def lost(old: Plan, new: Plan) -> Iterator[str]:
    """What the new plan would no longer make sure of, in words for the model."""
    before, after = _before(old), _before(new)
    for name, step in old.steps.items():
        if not _gated(step):
            continue
        now = new.steps.get(name)
        if step.human is not None and (now is None or now.human != step.human or now.if_ != step.if_):
            yield f"{name}: it asks a person, so it stays as it is"
        elif step.plan is not None and (now is None or now.plan != step.plan):
            yield f"{name}: its sub-plan checks what it gives, so it stays; give it other inputs, or give up"
        elif name in before[RESULT] and (now is None or name not in after[RESULT]):
            yield f"{name}: it has checks and leads to the result; replace it under its own id, and its checks stay"
        elif step.human is not None:
            for below in old.steps:
                if name in before[below] and below in new.steps and name not in after[below]:
                    yield f"{below}: it comes after {name}, which asks a person, and has to stay there"
    yield from _effects(old, new, before, after)


def _effects(old: Plan, new: Plan, before: Before, after: Before) -> Iterator[str]:
    """Effects that would come before the people who are asked ahead of the same effect today."""
    for name, step in new.steps.items():
        if step.effect is None or old.steps.get(name) == step:
            continue
        same = [one for one, was in old.steps.items() if was.effect is not None and was.call == step.call]
        asked = [{one for one in before[which] if old.steps[one].human is not None} for which in same]
        for person in sorted(set.intersection(*asked) - after[name] if asked else ()):
            yield f"{name}: {person} asks a person before {step.call}, so it comes after {person}"


def _gated(step: Step) -> bool:
    """Whether something holds back what a step gives until it is in order."""
    if step.plan is not None:
        return bool(step.checks) or any(map(_gated, step.plan.steps.values()))
    return bool(step.checks) or step.human is not None


def _before(plan: Plan) -> dict[str, frozenset[str]]:
    """All that comes before each step, and before the result. A plan that cannot be ordered is refused elsewhere."""
    direct: dict[str, set[str]] = {str(name): set() for name in plan.steps}
    for edge in plan_graph(plan).edges.values():
        direct[edge.target].add(str(edge.source))
    read = {str(ref.path[0]) for _, ref in refs_to_steps(result_uses(plan, Issues())) if ref.path}
    direct[RESULT] = read if plan.result is not None else {str(name) for name in plan.steps}
    found: dict[str, frozenset[str]] = {}
    for name, nearest in direct.items():
        seen: set[str] = set()
        todo = [*nearest]
        while todo:
            at = todo.pop()
            if at not in seen:
                seen.add(at)
                todo += direct.get(at, ())
        found[name] = frozenset(seen)
    return found
