"""News: an output that passed its checks says that the plan may be wrong, so the planner thinks before it is read."""

from typing import Literal, cast

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.scope import unit_scope
from orchestrator.core.state import Status, StepState, Unit
from orchestrator.core.turn import Turn
from orchestrator.plan import limits
from orchestrator.plan.expressions import Expression


def asks_planner(turn: Turn, state: StepState, unit: Unit, condition: Expression) -> bool:
    """Whether the output has to wait, because it is news; asks the planner if so.

    When nobody can be asked, or there is nothing left to change, that is recorded and the output need not wait.

    Raises:
        ExpressionError: the condition has no value for this output.
    """
    scope = {**unit_scope(turn.run, state, unit), "output": unit.output, "args": unit.args or {}}
    if condition.evaluate(scope) is not True:
        return False
    if turn.hold or turn.run.limit_policy == "ask":
        return True  # the next owner asks; or this one, once a person has had a say about the budget
    why_not = _why_not(turn)
    if why_not:
        turn.emit(
            f.ReplanRefused(
                at_s=turn.now_s, step=state.spec.id, branch=unit.branch, attempt=unit.attempt, reason=why_not
            )
        )
        return False
    turn.emit(
        f.ReplanAsked(
            at_s=turn.now_s, step=state.spec.id, branch=unit.branch, attempt=unit.attempt, scope="news", rung=-1
        )
    )
    turn.ask(replan_command(state, unit))
    return True


def _why_not(turn: Turn) -> str:
    run = turn.run
    if run.limit:
        return f"the budget of {run.limit} is used up"
    if run.replans >= limits.REPLANS_MAX:
        return f"the planner was asked {limits.REPLANS_MAX} times"
    return "" if any(state.status is Status.PENDING for state in run.steps) else "no step is left to change"


def replan_command(state: StepState, unit: Unit) -> c.AskReplan:
    """The command that asks the planner for a patch, after a failure or on news."""
    news = unit.replan == "news"
    return c.AskReplan(
        step=state.spec.id,
        branch=unit.branch,
        attempt=unit.attempt,
        scope=cast(Literal["downstream", "step", "news"], unit.replan),
        reasons=(f"`{state.spec.step.replan_if}` holds for its output",) if news else unit.reasons,
        output=unit.output if news else None,
        drafts=unit.drafts,
    )
