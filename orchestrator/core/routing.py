"""Choosing the tier of a step that leaves it open, once, before its first attempt is sent."""

from orchestrator.core import facts as f
from orchestrator.core.route import RouteQuestion
from orchestrator.core.state import StepState, Unit
from orchestrator.core.turn import Turn
from orchestrator.errors import ExpressionError
from orchestrator.plan.parts import AUTO


def choose_tier(turn: Turn, state: StepState, unit: Unit) -> None:
    """Record which tier a unit begins with. The ladder alone changes it later.

    Raises:
        ExpressionError: the tier is open and nobody can choose: the engine that took the run over has no routing.
    """
    spec = state.spec
    if unit.first_at_s >= 0 or unit.tier is not None or spec.kind not in ("task", "call"):
        return
    if spec.kind == "call" and spec.tier != AUTO:
        return  # a function whose tier is said, or that asks no model: nothing to choose, and nothing to learn from
    if turn.route is None:
        if spec.tier == AUTO:
            raise ExpressionError("model.tier", "it is auto, and the engine that has the run now has no routing")
        return
    checks = spec.step.checks
    answer = turn.route(
        RouteQuestion(
            asked=spec.tier,
            pool=unit.pool or spec.pool,
            kind=spec.kind,
            instruction=unit.text or "",
            args=unit.args or {},
            tools=any(one.grounded is not None and one.grounded.in_ == "tool_results" for one in checks),
            checked=bool(checks),
            escalates=tuple(rung.escalate.tier for rung in spec.ladder if rung.escalate and rung.escalate.tier),
        )
    )
    if answer is None:
        return
    turn.emit(
        f.TierChosen(
            at_s=turn.now_s,
            step=spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            tier=answer.tier,
            advised=answer.advised,
            by=answer.by,
            success_expected=answer.success,
            usd_expected=answer.usd,
            reason=answer.reason,
            features=answer.features,
        )
    )
