"""What a plan asks of its engine, checked before anything starts: a promise that cannot be kept is refused."""

from collections.abc import Callable, Iterable
from typing import Literal

from orchestrator.errors import PromiseError
from orchestrator.plan.issues import Issues
from orchestrator.plan.models import Plan, Step, canonical_json
from orchestrator.plan.parts import AUTO, Supervision, Tier
from orchestrator.plan.references import Use, result_uses, uses_of
from orchestrator.ports.cache import CacheMode
from orchestrator.ports.planner import GoalPlanner

Part = Literal["judge", "planner", "supervisor"]
#: Raises PromiseError when a part of the engine that asks models has none to ask, of a tier where one is named.
Thinks = Callable[[Part, Tier | None], None]
#: Raises PromiseError when a pool's function, or its agent, cannot work here, or not at the tier that is named.
Ready = Callable[[str, str | None, Tier | None], None]
#: Raises PromiseError when a kind of cache cannot be had here.
Caching = Callable[[CacheMode], None]
#: Raises PromiseError when the models of a tier have no batch service here; None: of any tier that may be chosen.
Batching = Callable[[Tier | None], None]


def check_promises(
    plan: Plan,
    *,
    judge: bool,
    planner: bool,
    supervisor: GoalPlanner | None = None,
    ready: Ready | None = None,
    thinks: Thinks | None = None,
    routes: tuple[Tier, ...] = (),
    caching: Caching | None = None,
    batching: Batching | None = None,
) -> None:
    """Refuse a plan that this engine could only run in a weaker way. `routes` are the tiers that routing may choose.

    Raises:
        PromiseError: names the step, what is missing, and the remedy.
    """
    for step_id, step in plan.steps.items():
        _check(step_id, step, judge=judge, planner=planner, supervisor=supervisor)
        if step.plan is not None:
            check_promises(
                step.plan,
                judge=judge,
                planner=planner,
                supervisor=supervisor,
                ready=ready,
                thinks=thinks,
                routes=routes,
                caching=caching,
                batching=batching,
            )
        if thinks is not None:
            _check_thinking(step_id, step, thinks)
        if ready is not None:
            _check_ready(step_id, step, ready, routes)
        _check_cache(step_id, step, caching)
        _check_batch(step_id, step, plan, batching)
        if step.model is not None and step.model.tier == AUTO and not routes:
            raise PromiseError(f"step {step_id} leaves its tier open", "this engine has no routing; name a tier")


def check_ready(plan: Plan, ready: Ready) -> None:
    """Refuse a plan, sub-plans included, that may come to a pool which cannot do its part.

    Raises:
        PromiseError: names the step, the pool, why, and the remedy.
    """
    for step_id, step in plan.steps.items():
        _check_ready(step_id, step, ready)
        if step.plan is not None:
            check_ready(step.plan, ready)


def _check_thinking(step_id: str, step: Step, thinks: Thinks) -> None:
    """Whether judge, planner and supervisor have a model to ask."""
    asked: list[tuple[Part, str, Tier | None]] = []
    if step.goal is not None:
        asked.append(("supervisor", "is a goal", (step.supervisor or Supervision()).planner))
    asked += [("judge", "has a judge check", check.judge.tier) for check in step.checks if check.judge is not None]
    if _replans(step):
        asked.append(("planner", f"has {_replans(step)}", None))
    for part, told, tier in asked:
        try:
            thinks(part, tier)
        except PromiseError as error:
            raise PromiseError(f"step {step_id} {told}, and {error.what}", error.remedy) from error


def _check_batch(step_id: str, step: Step, plan: Plan, batching: Batching | None) -> None:
    """Whether a step may wait for the batch service at all, and has one."""
    batch = step.model.batch if step.model is not None else None
    if step.model is None or batch is None:
        return
    asks = f"step {step_id} asks for the batch service"
    if step.task is None and step.call is None:
        raise PromiseError(f"{asks} and is neither a task nor a call", "write it at the steps inside")
    if step.model.cache not in (None, "none"):
        raise PromiseError(f"{asks} and for the {step.model.cache} cache", "choose one of the two")
    if (step.timeout or plan.defaults.timeout).idle is not None:
        raise PromiseError(
            f"{asks} and has an idle timeout", "what waits for hours shows no sign of life; leave it out"
        )
    if batch.deadline >= plan.budget.wall:
        raise PromiseError(
            f"{asks} for up to {batch.deadline:g} s, and the budget's wall time is {plan.budget.wall:g} s",
            "raise budget.wall above the deadline",
        )
    if batching is None:
        raise PromiseError(asks, "this engine has none; leave `batch` out")
    try:
        batching(None if step.model.tier == AUTO else step.model.tier)
    except PromiseError as error:
        raise PromiseError(f"{asks}, and {error.what}", error.remedy) from error


def _check_cache(step_id: str, step: Step, caching: Caching | None) -> None:
    """An earlier answer cannot stand for an effect, for one of several samples, or for what is one person's."""
    mode = step.model.cache if step.model is not None else None
    if mode is None or mode == "none":
        return
    asks = f"step {step_id} asks for the {mode} cache"
    if step.effect is not None:
        raise PromiseError(f"{asks} and has an effect", "an effect is never answered from a cache; set cache: none")
    if any(check.agree is not None for check in step.checks):
        raise PromiseError(
            f"{asks} and for samples that agree", "samples out of a cache always do; set cache: none, or drop agree"
        )
    if step.task is None and step.call is None:
        raise PromiseError(f"{asks} and is neither a task nor a call", "write it at the steps inside")
    if _names_session(uses_of(step, Issues())):
        raise PromiseError(
            f"{asks} and refers to a session", "what depends on one person is never kept; set cache: none"
        )
    if caching is None:
        raise PromiseError(asks, "this engine has none; set cache: none")
    try:
        caching(mode)
    except PromiseError as error:
        raise PromiseError(f"{asks}, and {error.what}", error.remedy) from error


def _replans(step: Step) -> str:
    """What makes a step ask the planner; empty when nothing does."""
    if any(rung.replan is not None for rung in step.on_fail):
        return "a replan rung"
    return "a replan_if" if step.replan_if is not None else ""


def _check_ready(step_id: str, step: Step, ready: Ready, routes: tuple[Tier, ...] = ()) -> None:
    """Whether every pool that the step may come to can do its part."""
    asked: list[tuple[str | None, str | None, Tier | None]] = []
    if step.call is not None or step.task is not None:
        said = step.model.tier if step.model is not None else None
        tiers: tuple[Tier | None, ...] = (routes or (None,)) if said == "auto" else (said,)
        asked += [(step.pool, step.call, tier) for tier in tiers]
        raised = [rung.escalate for rung in step.on_fail if rung.escalate is not None]
        asked += [(one.pool or step.pool, step.call, one.tier or tier) for one in raised for tier in tiers]
    asked += [(check.pool or step.pool, check.call, None) for check in step.checks if check.call is not None]
    for pool, function, tier in asked:
        if pool is None:
            continue
        try:
            ready(pool, function, tier)
        except PromiseError as error:
            raise PromiseError(f"step {step_id} cannot run in pool {pool}: {error.what}", error.remedy) from error


def speaks_of_session(plan: Plan) -> str:
    """What in a plan, sub-plans included, refers to the conversation that its run belongs to; empty: nothing does."""
    if "session" not in canonical_json(plan.data):  # so usual that expressions are not even read
        return ""
    if _names_session(result_uses(plan, Issues())):
        return "result"
    for step_id, step in plan.steps.items():
        if _names_session(uses_of(step, Issues())):
            return f"step {step_id}"
        inner = speaks_of_session(step.plan) if step.plan is not None else ""
        if inner:
            return f"step {step_id}, {inner}"
    return ""


def _names_session(uses: Iterable[Use]) -> bool:
    return any(ref.root == "session" for use in uses for ref in use.expression.refs)


def _check(step_id: str, step: Step, *, judge: bool, planner: bool, supervisor: GoalPlanner | None) -> None:
    if step.goal is not None:
        if supervisor is None:
            raise PromiseError(
                f"step {step_id} is a goal", "this engine has no supervisor; write the steps, or give it one"
            )
        why = supervisor.refusal(step)
        if why:
            raise PromiseError(
                f"step {step_id} is a goal that cannot be planned here: {why}", "ask for less, or let it"
            )
    if not judge and any(check.judge is not None for check in step.checks):
        raise PromiseError(f"step {step_id} has a judge check", "give the engine a checker: Engine(..., checker=...)")
    asks = _replans(step)
    if asks and not planner:
        raise PromiseError(f"step {step_id} has {asks}", "give the engine a planner: Engine(..., planner=...)")
