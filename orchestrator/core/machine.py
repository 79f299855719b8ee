"""All rules of one run. Knows nothing of queues, models, clocks or files: facts in, facts and commands out."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.arrivals import ARRIVALS
from orchestrator.core.checking import advance, ask_again
from orchestrator.core.climb import answered, backoff_timer, recover, waited
from orchestrator.core.evolve import evolve
from orchestrator.core.finish import check_limits, finish, limit_due
from orchestrator.core.flow import look
from orchestrator.core.inputs import Input
from orchestrator.core.news import replan_command
from orchestrator.core.route import Route
from orchestrator.core.sending import (
    child_answered,
    child_id,
    complete_samples,
    plan_command,
    prepare,
    start_child,
    start_sub_plan,
    wall_left_s,
    work,
)
from orchestrator.core.settle import unit_of
from orchestrator.core.state import RunState, Status, StepState, Unit, fresh_state
from orchestrator.core.turn import Turn, open_samples
from orchestrator.errors import ExpressionError, IllegalTransition
from orchestrator.plan.compiled import CompiledPlan

MACHINE_VERSION: Final = 1  #: of these rules; recorded in every run


class RunMachine:
    """One run: `handle` is the only way its state moves on, `replay` the way it comes back."""

    def __init__(self, plan: CompiledPlan) -> None:
        self.state: RunState = fresh_state(plan)
        self._turn = Turn(self.state)

    def handle(self, event: Input) -> list[c.Command]:
        """Take in what happened; return what the shell must do once `facts()` are in the journal.

        A late duplicate changes nothing and returns nothing.

        Raises:
            IllegalTransition: an event that no rule allows: our bug. The state is as it was.
        """
        arrival = ARRIVALS.get(type(event))
        if arrival is None:
            raise IllegalTransition("", "any", f"{type(event).__name__}, which only the machine makes")
        turn = self._turn
        turn.now_s = event.at_s
        for state, unit in arrival(turn, event):
            self._drive(state, unit)
        return self._decide()

    def facts(self) -> Sequence[f.Fact]:
        """The facts made since the last call, in order: to be journaled together, before any command is carried out."""
        made, self._turn.facts = self._turn.facts, []
        return made

    def replay(self, fact: f.Fact) -> None:
        """Take in a fact from the journal. Decides nothing.

        What an attempt was given is worked out here, where the run stands as it stood then: its inputs may speak of
        steps that go on meanwhile, of what the run has cost, or of a step that a patch has replaced since.
        """
        if isinstance(fact, f.StepDispatched) and fact.purpose == "work":
            state, unit = unit_of(self.state, fact)
            if unit.args is None:
                with suppress(ExpressionError):  # contents were deleted: `outstanding` says so, if it still matters
                    prepare(self.state, state, unit)
        evolve(self.state, fact)

    def hold(self) -> None:
        """From now on send nothing out: the process is about to end, and the next one goes on from the facts."""
        self._turn.hold = True

    def route_by(self, route: Route | None) -> None:
        """From now on `route` chooses the tiers that the plan leaves open."""
        self._turn.route = route

    def outstanding(self, at_s: float, *, lost: bool = False, epoch: int = 0) -> list[c.Command]:
        """What still lacks an answer: the whole of crash recovery. Facts that follow are in `facts()`.

        With `lost`, the workers of the process that died are gone: their attempts end as lost. Without it the
        same tasks are sent again under the same keys. A higher `epoch` than the run's says that a new owner adopts it:
        recorded here and not by `handle`, which would send what is due first, and then count it among the lost.

        Raises:
            ExpressionError: what an attempt was given cannot be worked out any more: contents of this open run, which
                nobody may delete, are gone. Nothing is decided about a run that is not whole.
        """
        turn = self._turn
        turn.now_s = at_s
        run = self.state
        if run.ended:
            return [c.Finish()]
        if epoch > run.epoch:
            turn.emit(f.RunAdopted(at_s=at_s, epoch=epoch))
        approval = run.budget_approval if run.budget_answer is None else None
        if approval is not None:
            turn.ask(c.SetTimer(kind="approval", at_s=approval.expires_at_s))
        if run.frozen:
            check_limits(turn)  # a sweep that the crash cut short comes before anything is sent again
        for state in run.steps:
            for unit in state.all_units():
                if unit.status is not Status.PENDING and not unit.settled:
                    self._outstanding(state, unit, lost=lost)
        turn.call_off_children()
        return self._decide()

    def _drive(self, state: StepState, unit: Unit) -> None:
        """Follow one unit until it waits for something outside, is held by the budget, or is done."""
        turn = self._turn
        made = -1
        while made != len(turn.facts):
            made = len(turn.facts)
            if unit.status is Status.CHECKING:
                if unit.answer is not None:
                    answered(turn, state, unit)
                elif not unit.check_sent:
                    advance(turn, state, unit)
            elif unit.status is Status.REJECTED:
                recover(turn, state, unit)
            elif unit.outcome is not None:
                child_answered(turn, state, unit, unit.outcome)
            elif unit.sub is not None and unit.child != child_id(self.state, state, unit):
                start_sub_plan(turn, state, unit, unit.sub)
            else:
                return

    def _decide(self) -> list[c.Command]:
        """Carry out whatever follows, until nothing more does; return the commands."""
        turn, run = self._turn, self.state
        if run.frozen:
            while True:
                if (run.limit or run.cancelled) and check_limits(turn):
                    self._release_held()
                while run.todo:
                    look(turn, run.steps[run.todo.popleft()])
                if limit_due(run):
                    continue
                finish(turn)
                if not run.todo:
                    break
            self._arm_wall()
        commands, turn.commands = turn.commands, []
        return commands

    def _release_held(self) -> None:
        """The budget was extended: what it kept from going on goes on."""
        for state in self.state.steps:
            for unit in state.all_units():
                if unit.status is Status.BACKOFF and unit.until_s <= self._turn.now_s:
                    waited(self._turn, state, unit)
                elif unit.status is Status.REJECTED or unit.answer is not None or _unasked(unit):
                    self._drive(state, unit)

    def _arm_wall(self) -> None:
        """Keep one wall timer under way while wall time passes and matters."""
        turn, run = self._turn, self.state
        if turn.wall_armed or run.paused_at_s is not None or run.ended or run.cancelled:
            return
        left_s = wall_left_s(turn)
        if left_s > 0 or not run.limit:
            turn.wall_armed = True
            turn.ask(c.SetTimer(kind="wall", at_s=turn.now_s + max(left_s, 0.0)))

    def _outstanding(self, state: StepState, unit: Unit, *, lost: bool) -> None:
        turn = self._turn
        if unit.args is None:
            prepare(self.state, state, unit)
        if unit.status is Status.RUNNING and unit.outcome is None:
            self._still_running(state, unit, lost=lost)
        elif unit.status is Status.BACKOFF:
            turn.ask(backoff_timer(state, unit))
        elif unit.status is Status.WAITING and unit.approval is not None:
            turn.ask(
                c.SetTimer(
                    kind="approval",
                    at_s=unit.approval.expires_at_s,
                    step=state.spec.id,
                    branch=unit.branch,
                    attempt=unit.attempt,
                )
            )
        elif unit.status is Status.WAITING:
            turn.ask(replan_command(state, unit))
        elif unit.check_sent:
            ask_again(turn, state, unit)
            self._drive(state, unit)
        else:
            self._drive(state, unit)

    def _still_running(self, state: StepState, unit: Unit, *, lost: bool) -> None:
        turn, ledger = self._turn, self.state.ledger
        plan = state.spec.step.plan or unit.sub
        if plan is not None and unit.child is not None and unit.child in ledger.open:
            wall_s = min((state.spec.step.budget or plan.budget).wall, wall_left_s(turn))
            turn.ask(start_child(self.state, state, unit, plan, wall_s=wall_s))
            return
        if state.spec.step.goal is not None:
            if plan is None:
                turn.ask(plan_command(state, unit))  # what was drafted before is not paid for again
            else:
                self._drive(state, unit)
            return
        unanswered = open_samples(unit)
        # Samples that were answered are not paid for twice: only the others are sent again.
        if not state.spec.pool or (lost and len(unanswered) == state.spec.samples):
            turn.emit(
                f.LeaseLost(
                    at_s=turn.now_s, step=state.spec.id, branch=unit.branch, attempt=unit.attempt, reason="restart"
                )
            )
            self._drive(state, unit)
            return
        complete_samples(turn, state, unit)
        for sample in open_samples(unit):
            turn.ask(work(turn, state, unit, sample))


def _unasked(unit: Unit) -> bool:
    """Its output waits for a judge whom there was no budget to ask."""
    return unit.status is Status.CHECKING and not unit.check_sent
