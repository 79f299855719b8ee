"""One turn of the machine: the state, the time, the facts made so far and the commands that follow from them."""

from typing import Final

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.evolve import EVOLVE
from orchestrator.core.route import Route
from orchestrator.core.state import RunState, StepState, Unit
from orchestrator.ids import RunId

MOVED_ON: Final = "a step of the parent has moved on"


class Turn:
    """What the rules of `flow`, `checking`, `climb` and `finish` share while they answer one input."""

    __slots__ = ("commands", "facts", "hold", "now_s", "route", "run", "wall_armed")

    def __init__(self, run: RunState) -> None:
        self.run = run
        self.now_s = 0.0
        self.facts: list[f.Fact] = []
        self.commands: list[c.Command] = []
        self.wall_armed = False  #: a wall timer is under way
        self.hold = False  #: nothing may be sent out
        self.route: Route | None = None  #: who chooses tiers that plans leave open

    def emit(self, fact: f.Fact) -> None:
        """Record a fact and bring the state up to it."""
        self.facts.append(fact)
        EVOLVE[type(fact)](self.run, fact)

    def ask(self, command: c.Command) -> None:
        """Ask something of the shell."""
        self.commands.append(command)

    def revoke(self, state: StepState, unit: Unit) -> None:
        """Take back whatever is under way for a unit."""
        spec = state.spec
        if unit.child is not None and unit.child in self.run.ledger.open:
            self.ask(c.CancelChild(child=unit.child, reason=f"the step {spec.id} of the parent has moved on"))
        elif spec.kind == "goal" or unit.replan:
            self.ask(c.Revoke(step=spec.id, branch=unit.branch, attempt=unit.attempt, sample=0))
        elif unit.open_samples and spec.pool:
            for sample in open_samples(unit):
                self.ask(c.Revoke(step=spec.id, branch=unit.branch, attempt=unit.attempt, sample=sample))
        if unit.check_sent:
            self.ask(
                c.Revoke(
                    step=spec.id,
                    branch=unit.branch,
                    attempt=unit.attempt,
                    sample=0,
                    purpose="check",
                    check=unit.check,
                )
            )

    def call_off_children(self) -> None:
        """Cancel every sub-plan whose account is open and that no step waits for: the word to it may have been lost."""
        run = self.run
        wanted = {unit.child for state in run.steps for unit in state.all_units() if not unit.settled}
        for charge in run.ledger.open:
            if charge.startswith(f"{run.run_id}.") and charge not in wanted:
                self.ask(c.CancelChild(child=RunId(charge), reason=MOVED_ON))


def open_samples(unit: Unit) -> list[int]:
    """The samples of a unit's attempt that have not been answered; `[0]` where there is only one."""
    if unit.samples is None:
        return [0]
    return [number for number, sample in unit.samples.items() if not sample.digest and sample.well is None]
