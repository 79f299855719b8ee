"""The gateway: answers the model port over routes, with retries and one deadline around everything."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import TracebackType
from typing import Final, Self

import anyio

from orchestrator.models.attempt import Attempts, Tried, Try
from orchestrator.models.output import Answer
from orchestrator.models.retry import Backoff
from orchestrator.models.routes import Route, key_of, next_route
from orchestrator.plan.schemas import compile_schema
from orchestrator.ports.limiter import Limiter
from orchestrator.ports.model import Completion, Message, Meter, ModelCall, Prompt, Tier
from orchestrator.ports.model_errors import (
    ModelContextTooLong,
    ModelError,
    ModelNotConfigured,
    ModelNotFound,
    ModelRateLimited,
    ModelTimeout,
    ModelUnauthorised,
    ModelUnavailable,
    ModelUnpriced,
)

#: What another model may do better: this one is out for the rest of the question.
_DEAD_ENDS: Final = (ModelUnauthorised, ModelNotFound, ModelContextTooLong, ModelUnpriced)
_SPREAD: Final = 0.1  #: share of a Retry-After that is added by chance


class Gateway:
    """Answers prompts with the models of their tiers; `async with` closes its connections.

    `tries` counts per question, over all routes of the tier. A failed try goes on at the next route at once, and to a
    route that was tried before only after a wait with full jitter, never sooner than the endpoint asked for.
    """

    def __init__(
        self,
        routes: Mapping[Tier, tuple[Route, ...]],
        limiter: Limiter,
        *,
        tries: int,
        backoff: Backoff,
        chance: random.Random | None = None,
        closers: tuple[Callable[[], Awaitable[None]], ...] = (),
        unrouted: Tier | None = None,
    ) -> None:
        """`unrouted`: the tier of prompts that routing has sent elsewhere; what it spared is told against it."""
        self._unrouted = unrouted
        self._routes, self._tries, self._backoff = dict(routes), tries, backoff
        self._chance = chance or random.Random()
        self._attempts = Attempts(limiter, self._chance)
        self._closers = closers

    @property
    def tiers(self) -> Collection[str]:
        """The tiers that have a model."""
        return self._routes.keys()

    def routes(self, tier: Tier) -> tuple[Route, ...]:
        """The models of a tier, in their order; none for a tier without models."""
        return self._routes.get(tier, ())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections to all endpoints."""
        with anyio.CancelScope(shield=True):
            for close in self._closers:
                await close()

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None = None) -> Completion:
        """Ask the model of a tier; see `orchestrator.ports.model.Models`.

        Raises:
            PlanError: the prompt's schema is refused; nothing was sent.
        """
        routes = self._routes.get(prompt.tier, ())
        if not routes:
            raise ModelNotConfigured(
                prompt.tier, f"name a model for the tier {prompt.tier} in the settings (models.tiers)"
            )
        if prompt.output_schema is not None:
            compile_schema(prompt.output_schema)  # kept; a schema that is refused is refused before it costs anything
        deadline = anyio.current_time() + prompt.deadline_s
        watch = _Watch(meter, on_delta)
        completion: Completion | None = None
        with anyio.CancelScope(deadline=deadline):
            completion = await self._complete(_Question(prompt, meter, watch, deadline, routes))
        if completion is None:
            raise ModelTimeout(routes[0].model, f"no answer within {prompt.deadline_s:g} s")
        return completion

    def _instead(self, prompt: Prompt) -> Route | None:
        """The model that would have been asked without routing; None where that is not known, or nothing was routed."""
        if not prompt.routed or self._unrouted is None:
            return None
        return next(iter(self._routes.get(self._unrouted, ())), None)

    async def _complete(self, question: "_Question") -> Completion:
        prompt = question.prompt
        calls: list[ModelCall] = []
        messages = prompt.messages
        for last in (False, True):
            tried = await self._tried(question, messages)
            calls.append(tried.call)
            found = tried.judgement
            if isinstance(found, Answer):
                return Completion(
                    text=tried.reply.text,
                    finish=found.finish,
                    data=found.data,
                    tool_calls=tried.reply.tool_calls,
                    calls=tuple(calls),
                )
            if last or not found.told:
                raise found.error
            messages = (*messages, *found.told)
        raise AssertionError("the second pass returns or raises")

    async def _tried(self, question: "_Question", messages: tuple[Message, ...]) -> Tried:
        """A whole reply, from whichever route gives one."""
        tried: Counter[tuple[str, str]] = Counter()
        given_up: set[tuple[str, str]] = set()
        error: ModelError | None = None
        ready: dict[tuple[str, str], float] = {}
        for _ in range(self._tries):
            route = next_route(question.routes, tried, given_up)
            if route is None:
                break
            key = key_of(route)
            if not tried[key]:
                route.line.credit.earned()
            elif not await self._waited(route, tried[key], ready.get(key, 0.0), question.deadline, error):
                break
            try:
                return await self._attempts.make(
                    Try(
                        route=route,
                        prompt=question.prompt,
                        messages=messages,
                        meter=question.meter,
                        on_text=question.watch.piece,
                        deadline=question.deadline,
                        instead=self._instead(question.prompt),
                    )
                )
            except ModelError as failed:
                question.watch.raise_broken()
                error = failed
                if isinstance(failed, _DEAD_ENDS):
                    given_up.add(key)
                elif not failed.again:
                    raise
                tried[key] += 1
                ready[key] = anyio.current_time() + (failed.retry_after_s or 0.0)
        if error is not None:
            raise error
        opens_in_s = min(route.line.breaker.opens_in_s for route in question.routes)
        names = ", ".join(sorted({route.line.name for route in question.routes}))
        raise ModelUnavailable(question.routes[0].model, f"the circuits of {names} are open", opens_in_s)

    async def _waited(self, route: Route, tries: int, ready: float, deadline: float, error: ModelError | None) -> bool:
        """Wait before a route is tried again; False where that is not worth it or would be too late."""
        if not isinstance(error, ModelRateLimited) and not route.line.credit.spend():
            return False
        now = anyio.current_time()
        asked_s = max(ready - now, 0.0)
        wait_s = max(self._backoff.wait_s(tries, self._chance), asked_s * (1 + _SPREAD * self._chance.random()))
        if now + wait_s >= deadline:
            return False
        await anyio.sleep(wait_s)
        return True


class _Watch:
    """Hands pieces of the answer to whoever watches; what breaks there is the watcher's error, not the endpoint's."""

    def __init__(self, meter: Meter, on_delta: Callable[[str], None] | None) -> None:
        self._meter, self._on_delta = meter, on_delta
        self._broken: Exception | None = None

    def piece(self, text: str) -> None:
        try:
            self._meter.delta(text)
            if self._on_delta is not None:
                self._on_delta(text)
        except Exception as error:
            self._broken = error
            raise

    def raise_broken(self) -> None:
        if self._broken is not None:
            raise self._broken


class _Question:
    """What stays the same over the tries of one `complete`."""

    __slots__ = ("deadline", "meter", "prompt", "routes", "watch")

    def __init__(self, prompt: Prompt, meter: Meter, watch: _Watch, deadline: float, routes: tuple[Route, ...]) -> None:
        self.prompt, self.meter, self.watch, self.deadline, self.routes = prompt, meter, watch, deadline, routes
