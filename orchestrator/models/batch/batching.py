"""Models behind the batch lane: a prompt that may wait goes there first, and to the models themselves if it must."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from time import time
from typing import Final, Protocol, cast

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.models import usage
from orchestrator.models.batch.lane import BatchLane
from orchestrator.models.output import Answer, judge
from orchestrator.models.routes import Route
from orchestrator.plan.models import digest_of
from orchestrator.ports.batches import BatchEntry, BatchItem
from orchestrator.ports.endpoint import ChatReply, ChatRequest, Usage
from orchestrator.ports.model import Completion, Meter, ModelCall, Models, Prompt, Saved, Tier

ID_CHARS: Final = 40  #: of an item's id; services take 64
#: What may be on the bill although there is no answer: its reservation stays charged.
_MAYBE_BILLED: Final = frozenset({"late", "missing"})


class NamedMeter(Meter, Protocol):
    """A meter that reserves under a charge of the caller's: the same one again is the same money."""

    async def reserve_as(self, charge: str, usd: float, tokens: int) -> str:
        """As `Meter.reserve`; a charge that is held or settled already is granted and changes nothing."""
        ...


class BatchingModels:
    """Answers the model port. `routes` gives the models of a tier; the first with a batch service is asked."""

    def __init__(
        self,
        models: Models,
        lane: BatchLane,
        routes: Callable[[Tier], Sequence[Route]],
        lines: Sequence[str],
        *,
        discount: float,
        now_s: Callable[[], float] = time,
    ) -> None:
        """`lines` are the endpoints with a batch service; what they ask is multiplied by 1 - `discount`."""
        self._models, self._lane, self._routes, self._lines = models, lane, routes, frozenset(lines)
        self._share, self._now_s = 1.0 - discount, now_s

    def route_of(self, tier: Tier) -> Route:
        """The model that the batch lane asks for a tier.

        Raises:
            PromiseError: no model of the tier has a batch service.
        """
        for route in self._routes(tier):
            if route.line.name in self._lines and route.price() is not None:
                return route
        raise PromiseError(
            f"no model of tier {tier} has a batch service",
            "say so of its endpoint (models.endpoints.NAME.batches), or leave `batch` out",
        )

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None = None) -> Completion:
        """Answer a prompt; see `Models.complete`. One that may wait is not streamed.

        Raises:
            PromiseError: it may wait, and no model of its tier has a batch service.
        """
        use = prompt.batch
        direct = replace(prompt, batch=None)
        if use is None or use.deadline_s <= 0:
            return await self._models.complete(direct, meter, on_delta)
        route = self.route_of(prompt.tier)
        request = ChatRequest(
            model=route.model,
            messages=prompt.messages,
            tools=prompt.tools,
            output_schema=prompt.output_schema,
            tokens_max=prompt.tokens_max,
            temperature=route.temperature if prompt.temperature is None else prompt.temperature,
            seed=prompt.seed,
        )
        now_s = self._now_s()
        item = BatchItem(
            id=_id_of(use.key, route, request),
            line=route.line.name,
            request=request,
            asked_at_s=now_s,
            until_s=now_s + use.deadline_s,
        )
        estimate = usage.tokens_in_estimate(request, usage.prompt_bytes(request))
        charge = f"batch.{item.id}"
        await cast(NamedMeter, meter).reserve_as(
            charge, self._usd(route, estimate, request.tokens_max), estimate + request.tokens_max
        )
        # A sample is no asker of its own: all of a step, or of a branch, are given up together.
        entry = await self._lane.outcome(item, use.key.rpartition("/")[0])
        call = self._call(charge, route, entry, estimate)
        if entry.reply is None:
            meter.called(call)
            return await self._models.complete(direct, meter, on_delta)
        found = judge(prompt, entry.reply, route.model)
        if isinstance(found, Answer):
            meter.called(call)
            return Completion(
                text=entry.reply.text,
                finish=found.finish,
                data=found.data,
                tool_calls=entry.reply.tool_calls,
                calls=(call,),
            )
        meter.called(replace(call, outcome=found.error.kind))
        if not found.told:
            raise found.error
        return await self._models.complete(replace(direct, messages=(*prompt.messages, *found.told)), meter, on_delta)

    def _usd(self, route: Route, tokens_in: int, tokens_out: int, tokens_cached: int = 0) -> float:
        price = route.price()
        assert price is not None, "a route without a price is not taken"
        return price.usd(tokens_in, tokens_out, tokens_cached) * self._share

    def _call(self, charge: str, route: Route, entry: BatchEntry, estimate: int) -> ModelCall:
        """What an item cost, for the journal: at the service's price, and what that spared."""
        price = route.price()
        base = ModelCall(
            charge=charge,
            model=route.model,
            endpoint=route.line.name,
            outcome="ok",
            prices=price.version if price is not None else "",
            seconds=max(self._now_s() - entry.item.asked_at_s, 0.0),
        )
        if entry.reply is None:
            unknown = entry.error in _MAYBE_BILLED
            word = f"batch_{entry.error or entry.state}"
            if not unknown:
                return replace(base, outcome=word, why="asked directly: the batch service gave no answer")
            tokens_out = entry.item.request.tokens_max
            return replace(
                base,
                outcome=word,
                usd=self._usd(route, estimate, tokens_out),
                tokens_in=estimate,
                tokens_out=tokens_out,
                unknown=True,
                why="asked directly: the batch service may still bill what it did not give in time",
            )
        counted = _counted(entry.item.request, entry.reply, estimate)
        usd = self._usd(route, counted.tokens_in, counted.tokens_out, counted.tokens_cached)
        full = price.usd(counted.tokens_in, counted.tokens_out, counted.tokens_cached) if price is not None else usd
        return replace(
            base,
            usd=usd,
            tokens_in=counted.tokens_in,
            tokens_out=counted.tokens_out,
            tokens_cached=counted.tokens_cached,
            estimated=entry.reply.usage is None,
            why="answered by the batch service",
            saved=Saved(batch=full - usd),
        )


def _counted(request: ChatRequest, reply: ChatReply, estimate: int) -> Usage:
    said = reply.usage
    if said is not None and usage.is_possible(said, request, usage.prompt_bytes(request)):
        return said
    return usage.reply_estimate(request, reply, estimate)


def _id_of(key: str, route: Route, request: ChatRequest) -> str:
    """The id of a request: equal whenever the same step asks the same, in every attempt and process."""
    asked = cast(dict[str, JsonValue], {"key": key, "line": route.line.name, "request": asdict(request)})
    return digest_of(_plain(asked)).removeprefix("sha256:")[:ID_CHARS]


def _plain(value: object) -> JsonValue:
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return cast(JsonValue, value)
