"""Counts the requests that a process sent away, by reason: no journal tells of them, because nothing was begun."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from starlette.types import Scope

PART: Final = "refusals"  #: of a service: what is counted here
KEY: Final = "orchestrator.refusals"  #: in the scope of a request
#: 429: too many or too much; 503: not now; 507: no room left. Whoever asks again later may be served.
STATUSES: Final = frozenset({429, 503, 507})
#: Reasons that are told from the beginning, as 0, so that the first refusal is seen as a rise.
REASONS: Final = ("overloaded", "queue-full", "rate-limit", "spend-cap", "storage-full", "unavailable")


class Refusals:
    """How often this process refused, by the type of the problem it answered with."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter(dict.fromkeys(REASONS, 0))

    @property
    def counts(self) -> Mapping[str, int]:
        """Reason to number, since the process began."""
        return self._counts

    def note(self, status: int, reason: str) -> None:
        """A problem was answered; those that are no refusals are not counted. `reason` is a type of problems.TITLES."""
        if status in STATUSES:
            self._counts[reason] += 1


def note_refusal(scope: Scope, status: int, reason: str) -> None:
    """Count an answer, where the application counts."""
    counted = scope.get(KEY)
    if isinstance(counted, Refusals):
        counted.note(status, reason)


__all__ = ["KEY", "PART", "REASONS", "Refusals", "note_refusal"]
