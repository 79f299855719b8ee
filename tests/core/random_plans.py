"""Random plans that use every feature of the machine. Step `sN` refers to earlier steps only."""

from hypothesis import strategies as st

from orchestrator.plan.models import Plan
from tests.core.bench import plan_of

RUNGS = st.sampled_from(
    [
        {"retry": 1},
        {"retry": 2},
        {"escalate": {"tier": "strong"}},
        {"escalate": {"pool": "other"}},
        {"ask": {"expires": 50.0, "then": "gap"}},
        {"ask": {"expires": 50.0, "then": "retry"}},
        {"ask": {"expires": 50.0, "then": "accept"}},
        "gap",
        "fail",
    ]
)
TAME_RUNGS = st.sampled_from([{"retry": 1}, {"retry": 2}, {"escalate": {"tier": "strong"}}, "gap", "fail"])
CHECKS = st.sampled_from(
    [
        {"rule": "output.ok"},
        {"call": "look"},
        {"human": {"ask": "Good?", "expires": 50.0, "then": "reject"}},
        {"judge": {"rubric": "good"}},
        {"grounded": {"field": "ok"}},
    ]
)
SCHEMA = {"type": "object", "required": ["ok"]}
CHILD = {"name": "c", "inputs": {"x": {"default": None}}, "steps": {"x": {"pool": "w", "call": "f"}}}
CHILD["result"] = "${{ steps.x.output }}"


@st.composite
def plans(draw: st.DrawFn, *, tame: bool = False) -> Plan:
    """A plan of one to eight steps. `tame`: nothing in it depends on the order in which answers come."""
    count = draw(st.integers(1, 8))
    steps: dict[str, object] = {}
    for number in range(count):
        steps[f"s{number}"] = _step(draw, number, steps, tame=tame)
    if draw(st.booleans()):
        steps["last"] = {"finally": True, "on_fail": draw(st.sampled_from([[], [{"retry": 1}], ["gap"]]))}
    readable = [name for name in steps if name != "last"]
    result = None
    if draw(st.booleans()):
        chosen = draw(st.lists(st.sampled_from(readable), min_size=1, max_size=2, unique=True))
        result = {name: f"${{{{ steps.{name}.output }}}}" for name in chosen}
    budget = {} if tame else _budget(draw)
    timeout = {"attempt": 20.0, "total": 200.0 if tame else draw(st.sampled_from([40.0, 200.0]))}
    retry = {"attempts": draw(st.integers(1, 3)), "backoff": "1s..4s", "errors": ["timeout", "provider"]}
    return plan_of(
        steps,
        inputs={"items": {}, "flag": {}},
        budget=budget,
        defaults={"timeout": timeout, "retry": retry},
        result=result,
    )


def _budget(draw: st.DrawFn) -> dict[str, object]:
    return {
        "steps": draw(st.sampled_from([2, 4, 9, 100])),
        "usd": draw(st.sampled_from([1.0, 100.0])),
        "wall": draw(st.sampled_from([60.0, 3000.0])),
        "on_limit": draw(st.sampled_from(["degrade", "stop", "ask"])),
        "calls": draw(st.sampled_from([None, 1, 4])),
        "closing": draw(st.sampled_from([0.0, 0.0, 0.3])),
    }


def _step(draw: st.DrawFn, number: int, before: dict[str, object], *, tame: bool) -> dict[str, object]:
    names = list(before)
    needs = draw(st.lists(st.sampled_from(names), max_size=3, unique=True)) if names else []
    kind = draw(st.sampled_from(["call", "call", "call", "task", "plan"] + ([] if tame else ["human", "goal"])))
    member = draw(st.sampled_from(["output", "output", "passed"]))
    step: dict[str, object] = {"with": {f"x{at}": f"${{{{ steps.{name}.{member} }}}}" for at, name in enumerate(needs)}}
    if kind == "call":
        step["call"] = "f"
    elif kind == "task":
        step["task"] = "Do ${{ inputs.flag }} with " + " ".join(f"${{{{ steps.{name}.output }}}}" for name in needs)
    elif kind == "plan":
        step |= {"plan": CHILD, "with": {"x": list(step["with"].values())}}  # type: ignore[attr-defined]  # a mapping
        if draw(st.booleans()):
            step["budget"] = {"steps": draw(st.integers(1, 3))}
    elif kind == "goal":
        step |= {"goal": "reach it", "with": {"x": list(step["with"].values())}}  # type: ignore[attr-defined]  # a mapping
    else:
        step = {"human": {"ask": "?", "choices": ["yes", "no"], "expires": 50.0, "then": "no"}, "needs": needs}
    if kind != "human":
        _shape(draw, step, before)
        _checks(draw, step, kind, number, tame=tame)
        step["on_fail"] = draw(st.lists(TAME_RUNGS if tame else st.one_of(RUNGS, _replan()), max_size=3))
    if needs and draw(st.booleans()):
        step["join"] = draw(st.sampled_from([{"at_least": 1}, {"at_least": 2}] + ([] if tame else ["any"])))
        step["early"] = step["join"] != "any" and not tame and draw(st.booleans())
    if draw(st.integers(0, 4)) == 0:
        step["if"] = "inputs.flag"
    return step


def _replan() -> st.SearchStrategy[dict[str, object]]:
    return st.sampled_from([{"replan": "step"}, {"replan": "downstream"}])


def _shape(draw: st.DrawFn, step: dict[str, object], before: dict[str, object]) -> None:
    """Perhaps a mapped step."""
    mapped = [name for name, other in before.items() if isinstance(other, dict) and "foreach" in other]
    how = draw(st.sampled_from(["one", "one", "over", "each"]))
    parallel = draw(st.integers(1, 3))
    if how == "over":
        step["foreach"] = {"over": "inputs.items", "max_parallel": parallel}
        if draw(st.integers(0, 3)) == 0:
            step["if"] = "item != 1"
    elif how == "each" and mapped:
        step["foreach"] = {"each": draw(st.sampled_from(mapped)), "max_parallel": parallel}


def _checks(draw: st.DrawFn, step: dict[str, object], kind: str, number: int, *, tame: bool) -> None:
    if draw(st.booleans()):
        step["output"] = SCHEMA
    if tame:
        step["checks"] = (
            draw(st.sampled_from([[], [{"rule": "output.ok"}], [{"call": "look"}]])) if kind != "plan" else []
        )
        return
    checks = draw(st.lists(CHECKS, max_size=2))
    if kind in ("plan", "goal"):
        checks = [check for check in checks if "call" not in check]
    elif draw(st.integers(0, 3)) == 0:
        checks = [{"rule": "output.ok"}, {"agree": {"runs": 3, "quorum": 2, "field": "n"}}, *checks]
    elif kind == "call" and draw(st.integers(0, 2)) == 0:
        unknown = draw(st.sampled_from(["ask", "retry", "fail"]))
        step["effect"] = {"key": f"${{{{ run.id }}}}/{number}", "on_unknown": unknown}
    step["checks"] = checks
