"""One try: its place in the limiter's order, its reservation, the request under a deadline, and its record."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import anyio

from orchestrator.errors import OrchestratorError
from orchestrator.models import usage
from orchestrator.models.output import Answer, Judgement, judge
from orchestrator.models.routes import Route
from orchestrator.ports.endpoint import ChatReply, ChatRequest, Usage
from orchestrator.ports.limiter import Limiter, Slot
from orchestrator.ports.model import Message, Meter, ModelCall, Prompt, Saved
from orchestrator.ports.model_errors import (
    ModelBadReply,
    ModelError,
    ModelInterrupted,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
    ModelUnpriced,
)
from orchestrator.ports.prices import ModelPrice

SETTLE_S: Final = 0.5  #: longest that giving back to the limiter may hold up a call that is over
SPREAD: Final = 0.1  #: share of a wait that is added by chance, so that those who waited do not all come at once
COOL_DOWN_S: Final = 1.0  #: after a rate limit that does not say for how long
_OF_THE_ENDPOINT: Final = (ModelUnavailable, ModelTimeout, ModelInterrupted, ModelBadReply)  #: what its breaker counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """What one try needs to know."""

    route: Route
    prompt: Prompt
    messages: tuple[Message, ...]
    meter: Meter
    on_text: Callable[[str], None]
    deadline: float  #: on the loop's clock
    instead: Route | None = None  #: that would have been asked without routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What one try brought."""

    reply: ChatReply
    judgement: Judgement
    call: ModelCall


@dataclass(slots=True, kw_only=True)
class _Account:
    """What a try holds, and what it turned out to use."""

    price: ModelPrice
    size_bytes: int
    tokens_in: int  #: estimate
    tokens_max: int
    charge: str = ""
    began: float = 0.0
    first: float = 0.0  #: when the first piece of the answer came
    sent: bool = False
    used: int = 0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_max

    @property
    def usd(self) -> float:
        return self.price.usd(self.tokens_in, self.tokens_max)

    @property
    def first_s(self) -> float:
        return self.first - self.began if self.first else 0.0

    def hearing(self, on_text: Callable[[str], None]) -> Callable[[str], None]:
        """What a streamed answer is told to: it notes when the first piece came."""

        def heard(text: str) -> None:
            self.first = self.first or anyio.current_time()
            on_text(text)

        return heard


class Attempts:
    """Makes tries against endpoints; keeps nothing between them."""

    def __init__(self, limiter: Limiter, chance: random.Random) -> None:
        self._limiter, self._chance = limiter, chance

    async def make(self, one: Try) -> Tried:
        """Try once.

        Raises:
            ModelError: no usable reply; recorded with the meter where anything was sent.
            BudgetExceeded: the reservation was refused; nothing was sent.
        """
        route, prompt = one.route, one.prompt
        price = route.price()
        if price is None:
            raise ModelUnpriced(route.model, "give it a price, or say `free: true` in the settings of its tier")
        request = ChatRequest(
            model=route.model,
            messages=one.messages,
            tools=prompt.tools,
            output_schema=prompt.output_schema,
            tokens_max=prompt.tokens_max,
            temperature=route.temperature if prompt.temperature is None else prompt.temperature,
            seed=prompt.seed,
        )
        size_bytes = usage.prompt_bytes(request)
        account = _Account(
            price=price,
            size_bytes=size_bytes,
            tokens_in=usage.tokens_in_estimate(request, size_bytes),
            tokens_max=prompt.tokens_max,
        )
        with _limits_of(route):
            slot = await self._limiter.reserve(route.line.name, account.tokens)
        try:
            await self._turn(one, slot)
            try:
                return await self._send(one, request, account)
            finally:
                route.line.permits.release()
        finally:
            # What is not given back comes back with time; an answer that was paid for is not lost over it.
            with anyio.move_on_after(SETTLE_S, shield=True), suppress(OrchestratorError):
                await self._limiter.settle(slot, account.used, sent=account.sent)

    async def _turn(self, one: Try, slot: Slot) -> None:
        """Wait for the slot and for one of the endpoint's permits; holds the permit on return."""
        permits = one.route.line.permits
        while True:
            if slot.wait_s > 0:
                if anyio.current_time() + slot.wait_s >= one.deadline:
                    reason = f"its turn under the rates of {one.route.line.name} comes after the deadline"
                    raise ModelRateLimited(one.route.model, reason, slot.wait_s)
                await anyio.sleep(slot.wait_s)
            await permits.acquire()
            try:
                with _limits_of(one.route):
                    slot = await self._limiter.start(slot)
            except BaseException:
                permits.release()
                raise
            if slot.wait_s <= 0:
                return
            permits.release()
            slot = Slot(ticket=slot.ticket, wait_s=slot.wait_s * (1 + SPREAD * self._chance.random()))

    async def _send(self, one: Try, request: ChatRequest, account: _Account) -> Tried:
        line, model = one.route.line, one.route.model
        entered = line.breaker.enter()
        if entered is None:
            raise ModelUnavailable(model, f"the circuit of {line.name} is open", line.breaker.opens_in_s)
        try:
            account.charge = await one.meter.reserve(account.usd, account.tokens)
        except BaseException:
            line.breaker.left(entered)
            raise
        account.began, account.sent = anyio.current_time(), True
        until = one.deadline if line.attempt_s is None else min(one.deadline, account.began + line.attempt_s)
        try:
            reply = await _asked(one, request, until, account.hearing(one.on_text))
        except ModelError as error:
            if isinstance(error, _OF_THE_ENDPOINT):
                line.breaker.failed(entered)
            else:
                line.breaker.succeeded()
            self._record(one, account, error.kind, unknown=error.may_be_billed)
            await self._heed(one.route, error)
            raise
        except BaseException:
            # Cancelled from outside, or a watcher broke. Whatever was generated until now may be on the bill.
            late = anyio.current_time() >= one.deadline
            line.breaker.failed(entered) if late else line.breaker.left(entered)
            self._record(one, account, ModelTimeout.kind if late else "cancelled", unknown=True)
            raise
        line.breaker.succeeded()
        try:
            judgement = judge(one.prompt, reply, model)
        except Exception:
            self._settle(one, account, request, reply, "broken")  # our bug, and the provider's bill all the same
            raise
        outcome = "ok" if isinstance(judgement, Answer) else judgement.error.kind
        return Tried(reply=reply, judgement=judgement, call=self._settle(one, account, request, reply, outcome))

    def _settle(self, one: Try, account: _Account, request: ChatRequest, reply: ChatReply, outcome: str) -> ModelCall:
        said = reply.usage
        if said is not None and not usage.is_possible(said, request, account.size_bytes):
            return self._record(one, account, outcome, unknown=True)
        counted = said or usage.reply_estimate(request, reply, account.tokens_in)
        account.used = counted.tokens_in + counted.tokens_out
        usd = account.price.usd(counted.tokens_in, counted.tokens_out, counted.tokens_cached)
        call = ModelCall(
            charge=account.charge,
            model=one.route.model,
            endpoint=one.route.line.name,
            outcome=outcome,
            usd=usd,
            tokens_in=counted.tokens_in,
            tokens_out=counted.tokens_out,
            tokens_cached=counted.tokens_cached,
            estimated=said is None,
            prices=account.price.version,
            seconds=anyio.current_time() - account.began,
            first_s=account.first_s,
            saved=_saved(one, account.price, counted, usd),
        )
        one.meter.called(call)
        return call

    def _record(self, one: Try, account: _Account, outcome: str, *, unknown: bool) -> ModelCall:
        """Record a try whose cost is nothing, or all that was reserved because nobody can say."""
        account.used = account.tokens if unknown else 0
        call = ModelCall(
            charge=account.charge,
            model=one.route.model,
            endpoint=one.route.line.name,
            outcome=outcome,
            usd=account.usd if unknown else 0.0,
            tokens_in=account.tokens_in if unknown else 0,
            tokens_out=account.tokens_max if unknown else 0,
            unknown=unknown,
            prices=account.price.version,
            seconds=anyio.current_time() - account.began,
            first_s=account.first_s,
        )
        one.meter.called(call)
        return call

    async def _heed(self, route: Route, error: ModelError) -> None:
        """Let everyone who shares the endpoint wait as long as it asked for."""
        seconds = error.retry_after_s
        if isinstance(error, ModelRateLimited) and seconds is None:
            seconds = COOL_DOWN_S
        if seconds:
            with suppress(OrchestratorError):  # the error of the endpoint says more, and it is on its way
                await self._limiter.cool_down(route.line.name, seconds)


def _saved(one: Try, price: ModelPrice, counted: Usage, usd: float) -> Saved:
    """What routing and compression have spared this call; less than nothing where they made it dearer.

    The whole conversation would have been longer, but all that stood in the question before would have come at the
    price of the provider's prompt cache, which shortening breaks.
    """
    other = one.instead.price() if one.instead is not None and one.instead.model != one.route.model else None
    routing = other.usd(counted.tokens_in, counted.tokens_out, counted.tokens_cached) - usd if other else 0.0
    cut, compression = one.prompt.shortened, 0.0
    if cut is not None and cut.spared and cut.size:
        scale = counted.tokens_in / cut.size  # the agent's estimate, in the server's tokens
        whole = counted.tokens_in + round(cut.spared * scale)
        without = price.usd(whole, 0, min(round(cut.repeated * scale), whole))
        compression = without - price.usd(counted.tokens_in, 0, counted.tokens_cached)
    return Saved(routing=routing, compression=compression)


@contextmanager
def _limits_of(route: Route) -> Iterator[None]:
    """A limiter that cannot be asked is an endpoint that must not be: its limits hold for everyone."""
    try:
        yield
    except OrchestratorError as error:
        reason = f"the limits of {route.line.name} cannot be asked for ({type(error).__name__})"
        raise ModelUnavailable(route.model, reason) from error


async def _asked(one: Try, request: ChatRequest, until: float, on_text: Callable[[str], None]) -> ChatReply:
    reply: ChatReply | None = None
    with anyio.CancelScope(deadline=until):
        reply = await one.route.line.endpoint.ask(request, on_text)
    if reply is None:
        what = "the deadline of the call" if until >= one.deadline else "attempt_s"
        raise ModelTimeout(one.route.model, f"{what} passed before the answer was whole", may_be_billed=True)
    return reply
