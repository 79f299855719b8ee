"""Rungs in Python: `ladder.retry(2)`, `ladder.escalate(tier="strong")` and the others, for `on_fail=[…]` of a step."""

from collections.abc import Mapping
from typing import Literal

from pydantic import ValidationError

from orchestrator.plan.parts import Rung, Tier
from orchestrator.plan.targets import pool_name
from orchestrator.plan.values import invalid

__all__ = ["ask", "escalate", "fail", "gap", "replan", "retry"]


def _rung(kind: str, value: object) -> Rung:
    try:
        return Rung.model_validate({kind: value})
    except ValidationError as error:
        raise invalid(error, Rung, {kind: value}, "ladder") from None


def retry(attempts: int = 1) -> Rung:
    """Up to `attempts` (1 to 20) more attempts, each told why the one before was refused."""
    return _rung("retry", attempts)


def escalate(*, tier: Tier | None = None, pool: object = None) -> Rung:
    """One attempt with a stronger model, or in another pool (its name, or the pool itself).

    Raises:
        PlanError: neither is given.
    """
    way = {} if tier is None else {"tier": str(tier)}
    return _rung("escalate", way if pool is None else {**way, "pool": pool_name(pool, "ladder.escalate")})


def ask(*, expires: str | float | None = None, then: Literal["fail", "gap", "retry", "accept"] = "fail") -> Rung:
    """A person decides; `then` is what happens when nobody does within `expires` (a day unless told)."""
    data: Mapping[str, object] = {"then": then} if expires is None else {"then": then, "expires": expires}
    return _rung("ask", data)


def replan(scope: Literal["downstream", "step"]) -> Rung:
    """The planner may change this step, or this step and what depends on it."""
    return _rung("replan", scope)


def gap() -> Rung:
    """The run goes on without this output, and says so."""
    return _rung("gap", True)


def fail() -> Rung:
    """The step fails: what happens at the end of a ladder anyway, said aloud."""
    return _rung("fail", True)
