"""What each fact about the run, its sub-plans, its people and its money changes in the state. Decides nothing."""

from orchestrator.core import facts as f
from orchestrator.core.rebuild import quarantine, replace_plan
from orchestrator.core.scope import base_scope
from orchestrator.core.settle import move, pause, spend, unit_of, unit_or_none
from orchestrator.core.state import RunState, Status
from orchestrator.plan.compiled import compile_plan
from orchestrator.plan.models import Plan
from orchestrator.plan.patch import Patch, apply_patch


def on_accepted(run: RunState, fact: f.RunAccepted) -> None:
    """The run exists, with its inputs and its budget."""
    run.accepted = fact
    run.inputs = fact.inputs
    ledger = run.ledger
    ledger.usd_limit, ledger.tokens_limit = fact.usd, fact.tokens
    ledger.wall_s, ledger.steps_limit = fact.wall_s, fact.steps
    ledger.calls_limit, ledger.closing = fact.calls, fact.closing
    run.scope = base_scope(run)


def on_session_pinned(run: RunState, fact: f.SessionPinned) -> None:
    """The run belongs to a conversation, and sees it as it stood."""
    run.pinned = fact
    run.scope = base_scope(run)


def on_frozen(run: RunState, fact: f.PlanFrozen) -> None:
    """The plan is fixed: every step may be looked at."""
    assert fact.digest == run.plan.digest, "the machine was made for another plan"
    run.frozen = True
    run.todo.extend(range(len(run.steps)))


def on_patched(run: RunState, fact: f.PlanPatched) -> None:
    """The plan has changed. It was checked before the fact was made, so it is not checked again."""
    patch = Patch.model_validate(fact.patch)
    plan = apply_patch(run.plan.plan, patch, locked=(), check=False)
    replace_plan(run, compile_plan(plan), frozenset(patch.touched()), fact.at_s)
    run.last_patch = fact
    run.limit_swept = False  # what is new meets the limit too
    run.replans += fact.asked_by is not None


def on_adopted(run: RunState, fact: f.RunAdopted) -> None:
    """Another owner has the run."""
    run.epoch = fact.epoch


def on_limit_hit(run: RunState, fact: f.LimitHit) -> None:
    """The budget is used up."""
    run.limit, run.limit_policy, run.limit_swept = fact.limit, fact.policy, False
    run.budget_approval = run.budget_answer = None


def on_limit_extended(run: RunState, fact: f.LimitExtended) -> None:
    """There is budget again, and every step may be looked at."""
    ledger = run.ledger
    if fact.limit == "usd":
        ledger.usd_limit += fact.by
    elif fact.limit == "tokens":
        ledger.tokens_limit += int(fact.by)
    elif fact.limit == "steps":
        ledger.steps_limit += int(fact.by)
    elif fact.limit == "calls":
        ledger.calls_limit = (ledger.calls_limit or 0) + int(fact.by)
    else:
        ledger.wall_s += fact.by
    run.limit = run.limit_policy = ""
    run.budget_approval = run.budget_answer = None
    for state in run.steps:
        for unit in state.all_units():
            if unit.status is Status.REJECTED and unit.error == "budget":
                unit.error = "extended"
    run.todo.extend(range(len(run.steps)))


def on_cancel(run: RunState, fact: f.CancelRequested) -> None:
    """Nothing new is started."""
    run.cancelled = True
    run.cancel_reason = fact.reason


def on_ended(run: RunState, fact: f.RunEnded) -> None:
    """The run has its result."""
    run.ended = fact.status


def on_nothing(run: RunState, fact: f.Fact) -> None:
    """A record for people; it changes no rule."""


def on_child_started(run: RunState, fact: f.ChildStarted) -> None:
    """A share of the budget is set aside for a sub-plan."""
    _, unit = unit_of(run, fact)
    unit.child = fact.child
    run.ledger.reserve(fact.child, fact.usd, fact.tokens, fact.steps, fact.calls or 0)


def on_child_ended(run: RunState, fact: f.ChildEnded) -> None:
    """The account of a sub-plan is closed; its outcome counts only when it is still waited for."""
    unit = unit_or_none(run, fact)
    if run.ledger.settle(fact.child, fact.usd, fact.tokens, fact.steps, fact.calls) and unit is not None:
        unit.usd += fact.usd
        unit.tokens += fact.tokens
    if unit is not None and unit.child == fact.child and unit.status is Status.RUNNING:
        unit.outcome = fact
    run.todo.extend(sorted(run.held))
    run.held = frozenset()


def on_asked(run: RunState, fact: f.ApprovalAsked) -> None:
    """A person is asked."""
    if fact.subject == "budget":
        run.budget_approval = fact
        run.waiting += 1
        pause(run, fact.at_s)
        return
    _, unit = unit_of(run, fact)
    unit.approval, unit.answer = fact, None
    if fact.subject == "rung":
        unit.asked = fact.rung
        unit.rung, unit.rung_used = fact.rung, 0
    move(run, unit, Status.WAITING, fact.at_s)


def on_answered(run: RunState, fact: f.ApprovalAnswered | f.ApprovalExpired) -> None:
    """The answer is kept until the fact that follows from it is there."""
    run.last_answer = fact
    if not fact.step:
        run.budget_answer = fact
        run.waiting -= 1
        pause(run, fact.at_s)
        return
    _, unit = unit_of(run, fact)
    unit.answer = fact
    move(run, unit, Status.CHECKING, fact.at_s)


def on_replan_asked(run: RunState, fact: f.ReplanAsked) -> None:
    """The planner is asked."""
    _, unit = unit_of(run, fact)
    unit.replan, unit.drafts = fact.scope, ()
    if fact.scope != "news":
        unit.replanned = fact.rung
        unit.rung, unit.rung_used = fact.rung, 0
    move(run, unit, Status.WAITING, fact.at_s)


def on_drafted(run: RunState, fact: f.PlanDrafted) -> None:
    """The planner has written something; a resume goes on from it."""
    _, unit = unit_of(run, fact)
    unit.drafts = (*unit.drafts, fact)


def on_pattern(run: RunState, fact: f.PatternChosen) -> None:
    """It is decided how the work for a goal is split up."""
    _, unit = unit_of(run, fact)
    unit.pattern = fact


def on_tier_chosen(run: RunState, fact: f.TierChosen) -> None:
    """The unit begins with this tier; its ladder may take another later."""
    _, unit = unit_of(run, fact)
    unit.tier = fact.tier


def on_goal_planned(run: RunState, fact: f.GoalPlanned) -> None:
    """A goal has its plan. It was checked before the fact was made, so it is not checked again."""
    _, unit = unit_of(run, fact)
    unit.sub = Plan.model_validate(fact.plan)


def on_replan_refused(run: RunState, fact: f.ReplanRefused) -> None:
    """The next rung follows; after news, the step passes under the plan as it is."""
    run.last_refusal = fact
    _, unit = unit_of(run, fact)
    if unit.status is not Status.WAITING:  # nobody was asked
        unit.considered = True
        return
    run.replans += 1
    if unit.replan == "news":
        unit.considered = True
        move(run, unit, Status.CHECKING, fact.at_s)  # while it still shows whom it waited for
    else:
        unit.reasons = (*unit.reasons, f"no new plan: {fact.reason}")
        move(run, unit, Status.REJECTED, fact.at_s)  # likewise
    unit.replan = ""


def on_reserved(run: RunState, fact: f.BudgetReserved) -> None:
    """An amount is set aside."""
    run.ledger.reserve(fact.charge, fact.usd, fact.tokens)


def on_settled(run: RunState, fact: f.BudgetSettled) -> None:
    """An amount was spent."""
    spend(run, unit_or_none(run, fact), fact.charge, fact.usd, fact.tokens)


def on_model_called(run: RunState, fact: f.ModelCalled) -> None:
    """A model was paid, or an answer was had without asking one."""
    calls = 0 if fact.served else 1
    spend(run, unit_or_none(run, fact), fact.charge, fact.usd, fact.tokens_in + fact.tokens_out, calls=calls)


def on_quarantined(run: RunState, fact: f.StepQuarantined) -> None:
    """A result is taken back."""
    quarantine(run, fact)
