"""Small rules with numbers in them: waits between tries, shares of a budget."""

import hashlib
from dataclasses import dataclass

from orchestrator.core.ledger import Held, Ledger
from orchestrator.plan import limits
from orchestrator.plan.parts import Backoff, Budget


def backoff_s(backoff: Backoff, tries: int, salt: str) -> float:
    """Seconds to wait after failed try number `tries`.

    Doubles from `backoff.first` up to `backoff.most`; half of it is fixed, half is jitter drawn from
    `salt`, so that a replay waits exactly as long and a crowd does not come back at once.

    Raises:
        ValueError: `tries` is below 1.

    Source: "Exponential Backoff And Jitter" (equal jitter), AWS Architecture Blog, 2015.
    """
    if tries < 1:
        raise ValueError("tries count from 1")
    ceiling = min(backoff.first * 2.0 ** min(tries - 1, 60), backoff.most)
    drawn = int.from_bytes(hashlib.sha256(salt.encode()).digest()[:8]) / 2**64
    return ceiling * (0.5 + 0.5 * drawn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The part of a budget that a sub-plan gets."""

    usd: float
    tokens: int
    wall_s: float
    steps: int
    calls: int | None  #: None: not limited


def share_of(ledger: Ledger, asked: Budget, wall_left_s: float, waiting: int, fewest_steps: int, kept: Held) -> Share:
    """What a sub-plan may use: what it asks for, never more than is left.

    A limit that the sub-plan leaves at its default is not an order: it gets an equal part of what is left
    among itself and the `waiting` others: sub-plans that have not started, and, as one, the parent's own open steps,
    so that none of them must wait for a sub-plan's end. It gets at least `fewest_steps` steps. `kept` is
    kept back: steps for the parent's `finally` steps, money for its closing ones.
    """
    parts = waiting + 1
    steps_left = max(ledger.steps_left - kept.steps, 0)
    usd_left, tokens_left = max(ledger.usd_left - kept.usd, 0.0), max(ledger.tokens_left - kept.tokens, 0)
    usd = asked.usd if asked.usd != limits.BUDGET_USD else usd_left / parts
    tokens = asked.tokens if asked.tokens != limits.BUDGET_TOKENS else tokens_left // parts
    calls = None
    if ledger.calls_left is not None:
        calls_left = max(ledger.calls_left - kept.calls, 0)
        calls = min(asked.calls if asked.calls is not None else max(calls_left // parts, 1), calls_left)
    elif asked.calls is not None:
        calls = asked.calls
    steps = asked.steps if asked.steps != limits.BUDGET_STEPS else max(steps_left // parts, fewest_steps)
    return Share(
        usd=min(usd, usd_left),
        tokens=min(tokens, tokens_left),
        wall_s=min(asked.wall, wall_left_s),
        steps=min(steps, steps_left),
        calls=calls,
    )
