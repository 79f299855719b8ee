"""When a message is attempted again, and when it is given up: a table, and one rule that reads it."""

import random
from typing import Final

from orchestrator.ports.webhooks import DETAIL_CHARS_MAX, Delivery, Settled
from orchestrator.service.webhooks.sending import Answer

_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0
#: The longest wait after each failed attempt. Ten tries more after the first, within at most six and a half days;
#: with full jitter half of that on average.
CEILINGS_S: Final = (
    10.0,
    _MINUTE_S,
    10 * _MINUTE_S,
    _HOUR_S,
    4 * _HOUR_S,
    12 * _HOUR_S,
    24 * _HOUR_S,
    36 * _HOUR_S,
    36 * _HOUR_S,
    42 * _HOUR_S,
)
ATTEMPTS_MAX: Final = len(CEILINGS_S) + 1
GONE: Final = 410  #: the receiver wants nothing more, ever
GONE_SAID: Final = "the receiver answered 410 Gone"


def settle(delivery: Delivery, answer: Answer, now_s: float, drawn: float | None = None) -> Settled:
    """What becomes of an attempt. `drawn` is the jitter, in [0, 1); None draws it.

    A wait is drawn from zero up to its ceiling, so that messages that failed together do not come back together;
    a receiver that names a time is given at least that.

    Source: "Exponential Backoff And Jitter" (full jitter), AWS Architecture Blog, 2015.
    """
    jitter = random.random() if drawn is None else drawn
    said = (answer.problem or f"HTTP {answer.status}")[:DETAIL_CHARS_MAX]
    if answer.well:
        return Settled(id=delivery.id, attempt=delivery.attempts, state="delivered", at_s=now_s)
    if answer.status == GONE:
        return Settled(
            id=delivery.id, attempt=delivery.attempts, state="dead", at_s=now_s, detail=said, disable=GONE_SAID
        )
    if delivery.attempts >= ATTEMPTS_MAX:
        return Settled(id=delivery.id, attempt=delivery.attempts, state="dead", at_s=now_s, detail=said)
    wait_s = max(CEILINGS_S[delivery.attempts - 1] * jitter, answer.retry_after_s or 0.0)
    return Settled(
        id=delivery.id, attempt=delivery.attempts, state="pending", at_s=now_s, due_at_s=now_s + wait_s, detail=said
    )
