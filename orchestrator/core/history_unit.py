"""What the history checker keeps of one step or branch while it reads a journal."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.state import UPSTREAM, Status

_PENDING: Final = frozenset({Status.PENDING})


@dataclass(slots=True)
class UnitHistory:
    """What the journal has said of one step or branch."""

    may_be: frozenset[Status] = _PENDING
    attempt: int = 0
    tries: int = 0
    losses: int = 0
    retries_granted: int = 0  #: by people, after an unknown effect, or because the attempt was given up in good order
    rungs: Counter[int] = field(default_factory=Counter)
    produced: set[str] = field(default_factory=set)  #: digests of this attempt
    passes: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))  #: digest: checks that passed
    subject: str = ""  #: of the last question to a person
    accepted: bool = False  #: a person took the output as it is
    started: bool = False
    reason: str = ""
    news: bool = False  #: the planner was asked because its output is news, last

    def after_replan(self) -> Status:
        """Where it stands once the planner has answered."""
        return Status.CHECKING if self.news else Status.REJECTED

    def upstream(self) -> bool:
        """Skipped because something before it failed."""
        return self.may_be == {Status.SKIPPED} and self.reason in UPSTREAM
