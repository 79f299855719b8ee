"""One broken rule, as a value."""

from dataclasses import dataclass

from orchestrator.core.fact import NO_STEP, WHOLE
from orchestrator.ids import StepId


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken rule, and where."""

    seq: int  #: of the record that breaks it, from 1; 0 for a state
    rule: str  #: a short name, such as `accept.once`
    step: StepId = NO_STEP
    branch: int = WHOLE
    what: str
