"""Making the first facts of a run: a fresh one, a sub-plan, a retry or a fork."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from pydantic_core import from_json

from orchestrator.core import facts as f
from orchestrator.core.commands import StartChild
from orchestrator.core.machine import MACHINE_VERSION
from orchestrator.core.state import RunState
from orchestrator.core.values import json_of
from orchestrator.engine.driver import RunDriver
from orchestrator.errors import InputError, PromiseError, ValueRefused
from orchestrator.ids import Digest, JsonValue, RunId, StepId
from orchestrator.plan.models import Plan, digest_of
from orchestrator.plan.parts import Budget
from orchestrator.ports.tasks import LANES

NAME_CHARS_MAX: Final = 512  #: of a tenant or an idempotency key


class Freezable(Protocol):
    """A plan builder."""

    def freeze(self) -> Plan:
        """The frozen plan."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """What a run sees of the conversation it belongs to. It is journaled with the run and stays as it is."""

    session: str  #: its id
    version: int  #: of the session that was read
    view: dict[str, JsonValue]  #: what `session` in an expression names


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A run to start, already checked."""

    run_id: RunId
    plan: Plan
    inputs: dict[str, JsonValue]
    budget: Budget
    lane: str = "normal"
    tenant: str = "default"
    idempotency_key: str | None = None
    origin: RunId | None = None  #: None: the run itself
    reuse: tuple[f.Fact, ...] = ()
    session: SessionView | None = None
    trace: str = ""  #: W3C `traceparent` of whoever asks
    by: str = ""  #: who starts it, as `run.accepted` names them
    asked: str = ""  #: what an idempotency key stands for beside plan, inputs and budget: of which run this is a retry


def plain_inputs(inputs: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """A copy of a caller's inputs as every journal keeps them: changing the original later changes nothing.

    Raises:
        InputError: a value is no plain JSON: NaN, NUL, half a character, a huge integer, a key that is no text.
    """
    plain: dict[str, JsonValue] = {}
    for name, value in inputs.items():
        try:
            (plain[name],) = from_json(json_of("", (value,)))
        except ValueRefused as error:
            raise InputError(name, error.reason) from None
    return plain


def check_words(lane: str, tenant: str, idempotency_key: str | None) -> None:
    """Refuse what would only be found out when the run is journaled, or would silently mean something else.

    Raises:
        PromiseError: there is no such lane, or a name cannot be kept.
    """
    if lane not in LANES:
        raise PromiseError(f"there is no lane {lane!r}", f"use one of {', '.join(LANES)}")
    for what, text in (("tenant", tenant), ("idempotency key", idempotency_key)):
        if text is None:
            continue
        if not 0 < len(text) <= NAME_CHARS_MAX or not text.isprintable():
            raise PromiseError(
                f"the {what} {text!r:.80} cannot be kept", f"use 1 to {NAME_CHARS_MAX} printable characters"
            )


def budget_over(plan: Plan, override: Budget | None) -> Budget:
    """The plan's budget with those limits exchanged that the override names."""
    if override is None:
        return plan.budget
    named = {name: getattr(override, name) for name in override.model_fields_set}
    return plan.budget.model_copy(update=named)


def request_digest(request: Request) -> Digest:
    """What an idempotency key stands for: equal requests have equal digests."""
    limits: JsonValue = request.budget.model_dump(mode="json", exclude=_unset(request.budget))
    more: dict[str, JsonValue] = {"asked": request.asked} if request.asked else {}
    return digest_of({"plan": request.plan.digest, "inputs": request.inputs, "budget": limits, **more})


def _unset(budget: Budget) -> set[str]:
    """Limits that were added to the format later: where nobody names them, a request keeps the digest it had."""
    return {name for name in ("calls", "closing") if getattr(budget, name) == Budget.model_fields[name].default}


def first_facts(request: Request, now_s: float) -> tuple[f.Fact, ...]:
    """`run.accepted`, what is taken over from another run, and the plan: in this order, appended together."""
    plan, budget = request.plan, request.budget
    accepted = f.RunAccepted(
        at_s=now_s,
        actor=request.by,
        run=request.run_id,
        plan=plan.name,
        plan_digest=plan.digest,
        request_digest=request_digest(request),
        machine=MACHINE_VERSION,
        tenant=request.tenant,
        lane=request.lane,
        idempotency_key=request.idempotency_key,
        origin=request.origin or request.run_id,
        usd=budget.usd,
        tokens=budget.tokens,
        wall_s=budget.wall,
        steps=budget.steps,
        on_limit=budget.on_limit,
        inputs=request.inputs,
        calls=budget.calls,
        closing=budget.closing,
        trace=request.trace,
    )
    return (accepted, *_pinned(request.session, now_s), *request.reuse, _frozen(plan, now_s))


def child_facts(
    parent: RunDriver, command: StartChild, inputs: dict[str, JsonValue], now_s: float
) -> tuple[f.Fact, ...]:
    """The first facts of a sub-plan, with the share of the budget that its parent set aside."""
    plan, above = command.plan, parent.accepted
    accepted = f.RunAccepted(
        at_s=now_s,
        actor=above.actor,
        run=command.child,
        plan=plan.name,
        plan_digest=plan.digest,
        request_digest=digest_of({"plan": plan.digest, "inputs": inputs}),
        machine=MACHINE_VERSION,
        tenant=above.tenant,
        lane=above.lane,
        origin=RunId(f"{above.origin}{command.child[len(parent.run_id) :]}"),
        parent=parent.run_id,
        parent_step=command.step,
        parent_branch=command.branch,
        usd=command.usd,
        tokens=command.tokens,
        wall_s=max(command.wall_s, 0.0),
        steps=command.steps,
        on_limit="degrade" if plan.budget.on_limit == "ask" else plan.budget.on_limit,
        inputs=inputs,
        calls=command.calls,
        closing=plan.budget.closing,
        trace=above.trace,
    )
    return (accepted, *_pinned(seen_by(parent.machine.state), now_s), _frozen(plan, now_s))


def seen_by(run: RunState) -> SessionView | None:
    """What a run sees of its conversation: its sub-plans and those who run it again see the same."""
    pinned = run.pinned
    if pinned is None:
        return None
    return SessionView(session=pinned.session, version=pinned.version, view=pinned.view)


def _pinned(session: SessionView | None, now_s: float) -> tuple[f.SessionPinned, ...]:
    if session is None:
        return ()
    return (f.SessionPinned(at_s=now_s, session=session.session, version=session.version, view=session.view),)


def _frozen(plan: Plan, now_s: float) -> f.PlanFrozen:
    return f.PlanFrozen(at_s=now_s, digest=plan.digest, plan=plan.data)


def child_ended(child: RunId, where: tuple[StepId, int, int], ended: f.RunEnded, now_s: float) -> f.ChildEnded:
    """What a parent is told when its sub-plan has ended; `where` names its step, branch and attempt."""
    step, branch, attempt = where
    return f.ChildEnded(
        at_s=now_s,
        step=step,
        branch=branch,
        attempt=attempt,
        child=child,
        status=ended.status,
        usd=ended.usd,
        tokens=ended.tokens,
        steps=ended.steps,
        output=ended.output,
        gaps=ended.gaps,
        reason=ended.reason,
        calls=ended.calls,
    )


def child_attempt(run_id: RunId) -> int:
    """The parent's attempt that a sub-plan's id names."""
    _, mark, number = run_id.rpartition("#")
    return int(number) if mark and number.isdigit() else 1
