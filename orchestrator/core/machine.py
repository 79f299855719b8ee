"""All rules of one run. Knows nothing of queues, models, clocks or files: facts in, facts and commands out."""

from collections.abc import Sequence
from typing import Final

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.arrivals import ARRIVALS
from orchestrator.core.checking import advance, check_command
from orchestrator.core.climb import answered, backoff_timer, recover, replan_command
from orchestrator.core.evolve import evolve
from orchestrator.core.finish import check_limits, finish
from orchestrator.core.flow import look, prepare, start_child, wall_left_s, work
from orchestrator.core.inputs import Input
from orchestrator.core.state import RunState, Status, StepState, Unit, fresh_state
from orchestrator.core.turn import Turn
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
        """Take in a fact from the journal. Decides nothing."""
        evolve(self.state, fact)

    def outstanding(self, at_s: float, *, lost: bool = False) -> list[c.Command]:
        """What still lacks an answer: the whole of crash recovery. Facts that follow are in `facts()`.

        With `lost`, the workers of the process that died are gone: their attempts end as lost. Without it the
        same tasks are sent again under the same keys.
        """
        turn = self._turn
        turn.now_s = at_s
        run = self.state
        if run.ended:
            return [c.Finish()]
        for state in run.steps:
            for unit in state.all_units():
                if unit.status is not Status.PENDING and not unit.settled:
                    self._outstanding(state, unit, lost=lost)
        approval = run.budget_approval
        if approval is not None and run.budget_answer is None:
            turn.ask(c.SetTimer(kind="approval", at_s=approval.expires_at_s))
        return self._decide()

    def _drive(self, state: StepState, unit: Unit) -> None:
        """Follow one unit until it waits for something outside, or is done."""
        turn = self._turn
        while True:
            if unit.status is Status.CHECKING:
                if unit.answer is not None:
                    answered(turn, state, unit)
                elif unit.check_sent:
                    return
                else:
                    advance(turn, state, unit)
            elif unit.status is Status.REJECTED:
                recover(turn, state, unit)
            else:
                return

    def _decide(self) -> list[c.Command]:
        """Carry out whatever follows, until nothing more does; return the commands."""
        turn, run = self._turn, self.state
        if run.frozen:
            while True:
                if run.limit or run.cancelled:
                    check_limits(turn)
                while run.todo:
                    look(turn, run.steps[run.todo.popleft()])
                if run.limit and not run.limit_swept and run.limit_policy != "ask":
                    continue
                finish(turn)
                if not run.todo:
                    break
            if not turn.wall_armed and run.paused_at_s is None and not run.ended and run.limit != "wall":
                turn.wall_armed = True
                turn.ask(c.SetTimer(kind="wall", at_s=turn.now_s + max(wall_left_s(turn), 0.0)))
        commands, turn.commands = turn.commands, []
        return commands

    def _outstanding(self, state: StepState, unit: Unit, *, lost: bool) -> None:
        turn = self._turn
        if unit.args is None:
            try:
                prepare(self.state, state, unit)
            except ExpressionError as error:
                turn.emit(
                    f.StepFailed(
                        at_s=turn.now_s, step=state.spec.id, branch=unit.branch, attempt=unit.attempt, cause=str(error)
                    )
                )
                return
        where = {"step": state.spec.id, "branch": unit.branch, "attempt": unit.attempt}
        if unit.status is Status.RUNNING:
            self._still_running(state, unit, lost=lost)
        elif unit.status is Status.BACKOFF:
            turn.ask(backoff_timer(state, unit))
        elif unit.status is Status.WAITING and unit.approval is not None:
            turn.ask(c.SetTimer(kind="approval", at_s=unit.approval.expires_at_s, **where))  # type: ignore[arg-type]  # the three names
        elif unit.status is Status.WAITING:
            turn.ask(replan_command(state, unit))
        elif unit.check_sent and unit.answer is None:
            turn.ask(check_command(turn, state, unit, state.spec.checks[unit.check - 1]))
        else:
            self._drive(state, unit)

    def _still_running(self, state: StepState, unit: Unit, *, lost: bool) -> None:
        turn = self._turn
        plan = state.spec.step.plan
        if plan is not None and unit.child is not None and unit.child in self.state.ledger.open:
            usd, tokens, steps = self.state.ledger.open[unit.child]
            turn.ask(start_child(state, unit, plan, usd, tokens, steps, wall_s=wall_left_s(turn)))
            return
        answers = unit.samples is not None and any(s.digest or s.well is False for s in unit.samples.values())
        if plan is not None or state.spec.kind == "human" or (lost and not answers):
            turn.emit(
                f.LeaseLost(
                    at_s=turn.now_s, step=state.spec.id, branch=unit.branch, attempt=unit.attempt, reason="restart"
                )
            )
            self._drive(state, unit)
            return
        open_ones = (
            [0] if unit.samples is None else [n for n, s in unit.samples.items() if not s.digest and s.well is None]
        )
        for sample in open_ones:
            turn.ask(work(turn, state, unit, sample))
