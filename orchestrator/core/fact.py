"""What every fact carries, and the words facts are made of."""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from orchestrator.ids import StepId

NO_STEP: Final = StepId("")  #: of questions and timers about the run as a whole
WHOLE: Final = -1  #: the branch number of a step that is not mapped, or of a mapped step as a whole

VerdictKind = Literal["pass", "fix", "reject", "check_broken"]
Purpose = Literal["work", "check"]
LimitName = Literal["steps", "usd", "tokens", "calls", "wall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What every fact carries."""

    KIND: ClassVar[str] = ""
    PAYLOAD: ClassVar[tuple[str, ...]] = ()

    at_s: float  #: seconds since the epoch, stamped by the shell
    actor: str = ""  #: who: a worker, a person, or empty for the owner of the run


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFact(Fact):
    """A fact about one step or branch."""

    step: StepId
    branch: int = WHOLE  #: from 0; `WHOLE` for the step itself
    attempt: int = 0  #: from 1; 0 where no attempt is meant
    sample: int = 0  #: from 0; above 0 only under an `agree` check
