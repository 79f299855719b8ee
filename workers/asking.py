"""How a worker asks a model: the step that asks pays, and whoever watches the run sees the answer grow."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Protocol

from orchestrator.errors import BudgetExceeded
from orchestrator.ports.cache import Offer
from orchestrator.ports.model import CacheUse, Completion, Meter, ModelCall, Prompt
from orchestrator.ports.tasks import (
    OwnerReply,
    OwnerRequest,
    SpendRequest,
    TaskCalled,
    TaskDelta,
    TaskKey,
    TaskMessage,
    TaskOffered,
)

OnDelta = Callable[[str], None]


class Streamed(Protocol):
    """Looks at a model's words before watchers see them."""

    def piece(self, text: str) -> str:
        """What may be shown after this piece."""
        ...

    def rest(self) -> str:
        """What was held back, at the end of an answer."""
        ...

    def another(self) -> "Streamed":
        """The same for one more answer, which may stream at the same time."""
        ...


STREAMED: ContextVar[Streamed | None] = ContextVar("workers.streamed", default=None)


class Line(Protocol):
    """How a worker reaches the owner of its run and the models of its process, from wherever it runs."""

    worker: str  #: who is speaking

    def post(self, message: TaskMessage) -> None:
        """Send a message."""
        ...

    def ask(self, request: OwnerRequest) -> Awaitable[OwnerReply]:
        """Reserve, or announce an effect, from code that can await."""
        ...

    def ask_blocking(self, request: OwnerRequest) -> OwnerReply:
        """Reserve, or announce an effect, from code that cannot await."""
        ...

    def complete(self, prompt: Prompt, meter: Meter, on_delta: OnDelta | None) -> Awaitable[Completion]:
        """Ask a model, from code that can await."""
        ...

    def complete_blocking(self, prompt: Prompt, meter: "StepMeter") -> Completion:
        """Ask a model, from code that cannot await."""
        ...


class StepMeter:
    """The budget of the run, as a `Meter`: what a model costs is booked on the step that asked."""

    __slots__ = ("_charge", "_key", "_line", "_unwanted")

    def __init__(self, key: TaskKey, line: Line, charge: Callable[[], str], unwanted: Callable[[], bool]) -> None:
        self._key, self._line, self._charge, self._unwanted = key, line, charge, unwanted

    def on(self, line: Line) -> "StepMeter":
        """The same budget, reached another way."""
        return StepMeter(self._key, line, self._charge, self._unwanted)

    async def reserve(self, usd: float, tokens: int) -> str:
        """Set an amount aside; see `Meter.reserve`.

        Raises:
            BudgetExceeded: the run has not this much left, or nobody wants the attempt any more (limit `run`).
        """
        return await self.reserve_as(self._charge(), usd, tokens)

    async def reserve_as(self, charge: str, usd: float, tokens: int) -> str:
        """Set an amount aside under a charge of the caller's; one that is held or settled already changes nothing.

        Raises:
            BudgetExceeded: as for `reserve`.
        """
        reply = await self._line.ask(SpendRequest(key=self._key, charge=charge, usd=usd, tokens=tokens))
        if not reply.granted:
            asked = float(tokens) if reply.limit == "tokens" else usd
            raise BudgetExceeded(reply.limit or "usd", asked, reply.left)
        return charge

    def called(self, call: ModelCall) -> None:
        """Record an attempt at an endpoint; also of a task that nobody wants any more, for it was paid."""
        self._line.post(TaskCalled(key=self._key, worker=self._line.worker, call=call))

    def offer(self, offer: Offer) -> None:
        """Hand an answer to the owner of the run, who keeps it once the step has passed."""
        if not self._unwanted():
            self._line.post(TaskOffered(key=self._key, worker=self._line.worker, offer=offer))

    def delta(self, text: str) -> None:
        """Show a piece of the answer to whoever watches."""
        guarding = STREAMED.get()
        self._show(text if guarding is None else guarding.piece(text))

    @contextmanager
    def answer(self) -> Iterator[None]:
        """Around one answer: guards look at its pieces by themselves, and show the rest at its end."""
        guarding = STREAMED.get()
        if guarding is None:
            yield
            return
        own = guarding.another()
        token = STREAMED.set(own)
        try:
            yield
        finally:
            STREAMED.reset(token)
            self._show(own.rest())

    def _show(self, text: str) -> None:
        if text and not self._unwanted():
            self._line.post(TaskDelta(key=self._key, worker=self._line.worker, text=text))


class WorkerModels:
    """The models of the engine, for one task: `await ctx.models.complete(prompt)`.

    Plain functions in a thread or a child process write `ctx.models.complete_blocking(prompt)`. Both raise what
    `Models.complete` raises, and PromiseError where the engine has no models.
    """

    __slots__ = ("_cache", "_line", "_meter", "_routed")

    def __init__(self, line: Line, meter: StepMeter, cache: CacheUse | None = None, *, routed: bool = False) -> None:
        self._line, self._meter, self._cache, self._routed = line, meter, cache, routed

    async def complete(self, prompt: Prompt, meter: Meter | None = None, on_delta: OnDelta | None = None) -> Completion:
        """Ask the model of a tier; the step pays unless another `meter` is given.

        Raises:
            ModelError: no usable answer; left alone it becomes the failure of the attempt that fits it.
            BudgetExceeded: the run has not enough left for the call; nothing was sent.
            PromiseError: the engine has no models.
        """
        with self._meter.answer():
            return await self._line.complete(self._asked(prompt), meter or self._meter, on_delta)

    def complete_blocking(self, prompt: Prompt) -> Completion:
        """As `complete`, from code that cannot await."""
        return self._line.complete_blocking(self._asked(prompt), self._meter)

    def _asked(self, prompt: Prompt) -> Prompt:
        """The prompt with what the step says of cache and routing, where it does not say so itself."""
        return replace(prompt, cache=prompt.cache or self._cache, routed=prompt.routed or self._routed)
