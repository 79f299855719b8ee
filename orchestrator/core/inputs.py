"""What the machine can be told that is not itself a fact."""

from dataclasses import dataclass

from orchestrator.core.commands import TimerKind
from orchestrator.core.facts import NO_STEP, Fact
from orchestrator.ids import StepId


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """A timer is due. Late ones, of attempts that have moved on, change nothing."""

    kind: TimerKind
    at_s: float
    step: StepId = NO_STEP
    branch: int = -1
    attempt: int = 0
    sample: int = 0
    check: int = 0  #: of kind `attempt`: position of the check whose task it was; 0 for work
    idle: bool = False  #: of kind `attempt`: the worker was silent for too long


Input = Fact | TimerFired
