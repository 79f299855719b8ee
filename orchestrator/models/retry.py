"""When a question may be asked again: full jitter, and never more extra load than an endpoint in trouble can bear."""

import random
from dataclasses import dataclass
from typing import Final

RETRY_SHARE: Final = 0.1  #: retries per call that an endpoint is sent in the long run
RETRY_CREDIT_MAX: Final = 10.0  #: retries in a burst


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits that double from `first_s` to `most_s`, drawn with full jitter.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    first_s: float
    most_s: float

    def wait_s(self, tries: int, chance: random.Random) -> float:
        """Seconds to wait after `tries` tries (1 or more), in [0, ceiling)."""
        return chance.random() * min(self.most_s, self.first_s * 2.0 ** (tries - 1))


class RetryCredit:
    """Keeps the retries of an endpoint near `RETRY_SHARE` of its calls, so that a brown-out is not made worse.

    Source of the idea: gRPC proposal A6, "gRPC Retry Design", on throttling.
    """

    def __init__(self) -> None:
        self._left = RETRY_CREDIT_MAX

    def earned(self) -> None:
        """A first try was sent."""
        self._left = min(RETRY_CREDIT_MAX, self._left + RETRY_SHARE)

    def spend(self) -> bool:
        """Whether one more retry may be sent; if so it is counted."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
