"""The part of a budget that is kept for the end: for the steps of the result, until one of them starts."""

from typing import NamedTuple

from orchestrator.core.fact import LimitName
from orchestrator.core.ledger import NOTHING, Held
from orchestrator.core.state import SETTLED, RunState, StepState

MONEY = ("usd", "tokens", "calls")  #: limits of which `closing` keeps a share


class Short(NamedTuple):
    """Which limit stands against an amount, and what is left of it for whoever asked."""

    limit: LimitName
    left: float


def closes(run: RunState, state: StepState) -> bool:
    """Whether a step is one of those that the closing share is kept for."""
    return bool(run.ledger.closing) and run.plan.result is not None and state.spec.index in run.plan.result_steps


def kept_back(run: RunState, state: StepState) -> Held:
    """What is kept back from a step: nothing from closing ones, nor once one of them has started or all are over."""
    if not run.ledger.closing or run.plan.result is None or closes(run, state):
        return NOTHING
    closing = [run.steps[index] for index in run.plan.result_steps]
    if any(one.started for one in closing) or all(one.status in SETTLED for one in closing):
        return NOTHING
    return run.ledger.kept_back()


def short_of(run: RunState, state: StepState, usd: float, tokens: int) -> Short | None:
    """What stands against one more call for a step; None when there is room."""
    ledger, kept = run.ledger, kept_back(run, state)
    usd_left, tokens_left = max(ledger.usd_left - kept.usd, 0.0), max(ledger.tokens_left - kept.tokens, 0)
    if usd > usd_left:
        return Short("usd", usd_left)
    if tokens > tokens_left:
        return Short("tokens", float(tokens_left))
    if ledger.calls_left is not None and ledger.calls_left - kept.calls < 1:
        return Short("calls", 0.0)
    return None


def scarcest(run: RunState, state: StepState) -> LimitName:
    """The limit that an attempt without room most likely met: the one of which the least share is left."""
    ledger, kept = run.ledger, kept_back(run, state)
    spent = ledger.spent_out(kept)
    if spent is not None:
        return spent
    if ledger.calls_left is not None and ledger.calls_left - kept.calls < 1:
        return "calls"
    tokens = (ledger.tokens_left - kept.tokens) / ledger.tokens_limit if ledger.tokens_limit else 1.0
    usd = (ledger.usd_left - kept.usd) / ledger.usd_limit if ledger.usd_limit else 1.0
    return "tokens" if tokens < usd else "usd"
