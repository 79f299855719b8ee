"""Checks in Python: `checks.rule(…)`, `checks.grounded(…)` and the others, for `checks=[…]` of a step."""

from collections.abc import Callable, Mapping
from typing import Final, Literal

from pydantic import ValidationError

from orchestrator.ids import JsonValue
from orchestrator.plan.parts import Check, Tier
from orchestrator.plan.refs import Expr, Ref, expr, text_of
from orchestrator.plan.targets import pool_name, target_of
from orchestrator.plan.values import invalid, plain, verbatim

__all__ = ["agree", "args", "call", "grounded", "human", "index", "judge", "output", "rule"]

output: Final = Ref("output")  #: the output that is checked: `checks.rule(checks.output.low <= checks.output.high)`
args: Final = Ref("args")  #: the step's arguments, resolved
index: Final = Ref("index")  #: of a mapped step: the branch's position, from 0


def _check(data: Mapping[str, object]) -> Check:
    try:
        return Check.model_validate(data)
    except ValidationError as error:
        raise invalid(error, Check, data, "checks") from None


def rule(condition: str | Expr, reason: str | None = None) -> Check:
    """The expression must hold; `reason` is what the worker is told when it does not.

    Raises:
        PlanError: the text is not an expression.
    """
    found = condition if isinstance(condition, Expr) else expr(condition)
    return _check({"rule": text_of(found), "reason": reason})


def grounded(field: str, in_: Literal["inputs", "tool_results", "any"] = "any") -> Check:
    """Every value or quote at the path `field` of the output must occur in the inputs or in tool results."""
    return _check({"grounded": {"field": field, "in": in_}})


def agree(runs: int, quorum: int, field: str | None = None, tolerance: float = 0.0) -> Check:
    """The work is done `runs` times (2 to 15), and `quorum` of the outputs must agree, at `field` or as a whole.

    `tolerance` is relative, from 0 to 1, for numbers.

    Raises:
        PlanError: `quorum` is not more than half of `runs`, or a number is out of range.
    """
    return _check({"agree": {"runs": runs, "quorum": quorum, "field": field, "tolerance": tolerance}})


def judge(rubric: str, *, tier: Tier = "strong", pass_at: float = 0.8, votes: int = 1) -> Check:
    """A model reads task, inputs, constraints and output, and must give a score of at least `pass_at`, 0 to 1."""
    said = verbatim(rubric, "checks.judge.rubric", "the reference in with=…: the judge sees the step's arguments")
    return _check({"judge": {"rubric": said, "tier": tier, "pass_at": pass_at, "votes": votes}})


def call(
    fn: Callable[..., object] | str,
    *,
    pool: object = None,
    with_: Mapping[str, object] | None = None,
    **arguments: object,
) -> Check:
    """A function of a pool gets `output` and the arguments, and gives a verdict.

    `fn` is a worker function, `"pool.function"`, or the name of a function in `pool` or else in the step's own pool.

    Raises:
        PlanError: `fn` is no worker function, or an argument is no data.
    """
    target = target_of(fn, "checks.call", needs_pool=False)
    given: dict[str, JsonValue] = {
        name: plain(value, f"checks.call.with.{name}") for name, value in {**(with_ or {}), **arguments}.items()
    }
    chosen = target.pool if pool is None else pool_name(pool, "checks.call")
    return _check({"call": target.function, "pool": chosen or None, "with": given or None})


def human(ask: str, *, expires: str | float | None = None, then: Literal["reject", "accept"] = "reject") -> Check:
    """A person accepts or rejects the output; `then` is the answer when nobody gives one within `expires`."""
    data: dict[str, object] = {
        "ask": verbatim(ask, "checks.human.ask", "nothing: the person sees the output"),
        "then": then,
    }
    if expires is not None:
        data["expires"] = expires
    return _check({"human": data})
