"""Models behind a cache: answers a prompt from what was kept, or asks, and offers the answer to the owner of the run.

Nothing is kept here. An answer is offered; the owner keeps it once the step's output has passed its checks, and an
answer that was served and then refused is dropped there. Whatever is wrong with the cache itself, a model is asked.
"""

import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import time
from typing import Final

import anyio
import structlog

from orchestrator.errors import OrchestratorError
from orchestrator.models.cache.calibration import serving_chance
from orchestrator.models.cache.guard import differs
from orchestrator.models.cache.keys import Keys, keys_of
from orchestrator.models.cache.policy import Policy, stale, unfit
from orchestrator.ports.cache import Answer, Cache, CacheEntry, Near, Observation, Offer, Offering
from orchestrator.ports.embeddings import Embeddings, Vector
from orchestrator.ports.model import Completion, Meter, ModelCall, Models, Prompt, Saved, Served, Tier
from orchestrator.ports.model_errors import ModelError

FLIGHTS_MAX: Final = 10_000  #: questions under way that others may wait for
ANSWER_CHARS_MAX: Final = 256 * 1024  #: a longer answer is not kept: it would travel twice
CLOCK_OFF_S: Final = 60.0  #: by which clocks of different machines may differ
BYTES_PER_TOKEN: Final = 3  #: of a text that is embedded; errs high
_SHOWN_CHARS: Final = 12  #: of a key, in words for people
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Flight:
    """A question that is being asked; equal ones wait for its answer."""

    done: anyio.Event = field(default_factory=anyio.Event)
    completion: Completion | None = None  #: None while it is open, and after it has failed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    prompt: Prompt
    keys: Keys
    meter: Meter
    on_delta: Callable[[str], None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What a look for like questions brought."""

    served: Near | None = None
    beside: Near | None = None  #: near, fit, and not served: what the model says is compared with it
    vector: Vector = ()
    why: str = ""


class CachingModels:
    """Answers the model port: from the cache where the prompt allows it, else from `models`."""

    def __init__(
        self,
        models: Models,
        cache: Cache,
        policy: Policy,
        *,
        embeddings: Embeddings | None = None,
        names: Callable[[Tier], str] = str,
        chance: random.Random | None = None,
        now_s: Callable[[], float] = time,
    ) -> None:
        """`names` says which models answer a tier: with others an answer may be another one."""
        self._models, self._cache, self._policy, self._embeddings = models, cache, policy, embeddings
        self._names, self._chance, self._now_s = names, chance or random.Random(), now_s
        self._flights: dict[str, _Flight] = {}

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None = None) -> Completion:
        """Answer a prompt; see `Models.complete`."""
        mode = self._policy.mode_of(prompt)
        use = prompt.cache
        if mode == "none" or use is None or not isinstance(meter, Offering):
            return await self._models.complete(prompt, meter, on_delta)
        why = unfit(prompt)
        if why:
            return await self._models.complete(prompt, _Telling(meter, f"not from the cache: {why}"), on_delta)
        keys = keys_of(prompt, tenant=use.tenant, models=self._names(prompt.tier), version=self._policy.version)
        question = _Question(prompt=prompt, keys=keys, meter=meter, on_delta=on_delta)
        entry = await self._kept(use.tenant, keys.exact)
        if entry is not None:
            if not self._asks_again(entry):
                return self._serve(question, entry, "exact", "")
            return await self._ask(
                question, _Looked(why="kept for long, or by a clock that was ahead, so the model is asked again"), None
            )
        looked = _Looked()
        if mode == "semantic":
            looked = await self._look(question, use.tenant)
            if looked.served is not None:
                return self._serve(question, looked.served.entry, "semantic", looked.why)
        return await self._single(question, looked)

    async def _kept(self, tenant: str, key: str) -> CacheEntry | None:
        try:
            return await self._cache.get(tenant, key)
        except OrchestratorError as error:
            log.warning("the cache cannot be asked, so a model is", error=str(error))
            return None

    def _asks_again(self, entry: CacheEntry) -> bool:
        now_s = self._now_s()
        if entry.stored_at_s > now_s + CLOCK_OFF_S:
            return True  # kept by a clock that was ahead: nobody knows how old it is, and it would be kept for as long
        return stale(self._policy, entry, now_s) and self._chance.random() < self._policy.verify

    # ---- like questions

    async def _look(self, question: _Question, tenant: str) -> _Looked:
        keys = question.keys
        if not keys.scope or self._embeddings is None:
            return _Looked(why=f"no like question is looked for: {keys.unlike or 'there is no model of embeddings'}")
        try:
            vector = await self._embedded(self._embeddings, keys.question, question.meter)
            # Vectors of different models are never compared: the scope tells them apart.
            found = await self._cache.near(tenant, f"{keys.scope}/{self._embeddings.name}", vector)
        except (ModelError, OrchestratorError) as error:
            log.warning("no like question can be looked for, so a model is asked", error=str(error))
            return _Looked(why=f"no like question could be looked for ({type(error).__name__})")
        refused = ""
        for near in found:
            if near.similarity < self._policy.similarity:
                break
            if not near.entry.question or self._asks_again(near.entry):
                continue
            against = differs(near.entry.question, keys.question)
            if against:
                refused = refused or f"a like question ({near.similarity:.3f}) differs in {against.partition(':')[0]}"
                continue
            return self._decided(near, vector)
        return _Looked(vector=vector, why=refused or "no like question is kept")

    def _decided(self, near: Near, vector: Vector) -> _Looked:
        serving = serving_chance(near.entry.seen, near.similarity, self._policy.delta)
        told = f"{near.similarity:.3f} like, {len(near.entry.seen)} answers compared, served with chance {serving:.2f}"
        if self._chance.random() < serving:
            return _Looked(served=near, vector=vector, why=told)
        return _Looked(beside=near, vector=vector, why=f"asked to learn: a like question is {told}")

    async def _embedded(self, embeddings: Embeddings, text: str, meter: Meter) -> Vector:
        """The vector of a question; what it costs is booked on the step."""
        price = embeddings.usd_per_million
        if not price:
            return (await embeddings.embed((text,))).vectors[0]
        tokens = -(-len(text.encode()) // BYTES_PER_TOKEN) + 8
        charge = await meter.reserve(price * tokens / 1_000_000, tokens)
        call = ModelCall(charge=charge, model=embeddings.name, endpoint="", outcome="ok", prices="settings")
        try:
            found = await embeddings.embed((text,))
        except BaseException:
            meter.called(
                replace(call, outcome="provider", usd=price * tokens / 1_000_000, tokens_in=tokens, unknown=True)
            )
            raise
        meter.called(replace(call, usd=found.usd, tokens_in=found.tokens))
        return found.vectors[0]

    # ---- asking

    async def _single(self, question: _Question, looked: _Looked) -> Completion:
        """Ask, unless an equal question is being asked: then its answer serves here too, and is checked here."""
        key = question.keys.exact
        while (flight := self._flights.get(key)) is not None:
            with anyio.move_on_after(question.prompt.deadline_s):
                await flight.done.wait()
            if flight.completion is not None:
                return self._share(question, flight.completion)
            if not flight.done.is_set():
                break  # it takes too long: ask for oneself
        if flight is not None or len(self._flights) >= FLIGHTS_MAX:
            return await self._ask(question, looked, None)
        flight = self._flights[key] = _Flight()
        try:
            return await self._ask(question, looked, flight)
        finally:
            del self._flights[key]
            flight.done.set()

    async def _ask(self, question: _Question, looked: _Looked, flight: _Flight | None) -> Completion:
        meter = _Telling(question.meter, looked.why) if looked.why else question.meter
        completion = await self._models.complete(question.prompt, meter, question.on_delta)
        if flight is not None:
            flight.completion = completion
        if isinstance(question.meter, Offering) and len(completion.text) <= ANSWER_CHARS_MAX:
            question.meter.offer(self._offered(question, completion, looked))
        return completion

    def _offered(self, question: _Question, said: Completion, looked: _Looked) -> Offer:
        use, keys, now_s = question.prompt.cache, question.keys, self._now_s()
        assert use is not None, "only prompts that say who asks come here"
        last = said.calls[-1] if said.calls else None
        answer = Answer(text=said.text, finish=said.finish, data=said.data, tool_calls=said.tool_calls)
        entry = CacheEntry(
            tenant=use.tenant,
            key=keys.exact,
            answer=answer,
            model=last.model if last is not None else question.prompt.tier,
            endpoint=last.endpoint if last is not None else "",
            usd=sum(call.usd for call in said.calls),
            tokens=sum(call.tokens_in + call.tokens_out for call in said.calls),
            stored_at_s=now_s,
            expires_at_s=now_s + self._policy.ttl_s,
            tags=use.tags,
            scope=f"{keys.scope}/{self._embeddings.name}" if looked.vector and self._embeddings is not None else "",
            question=keys.question if looked.vector else "",
            vector=looked.vector,
        )
        if looked.beside is None:
            return Offer(entry=entry)
        seen = Observation(similarity=looked.beside.similarity, same=same(answer, looked.beside.entry.answer))
        return Offer(entry=entry, neighbour=looked.beside.entry.key, observed=seen)

    # ---- serving

    def _serve(self, question: _Question, entry: CacheEntry, served: Served, why: str) -> Completion:
        kept = entry.answer
        age_s = max(self._now_s() - entry.stored_at_s, 0.0)
        call = ModelCall(
            charge=f"cache.{secrets.token_hex(8)}",
            model=entry.model,
            endpoint=entry.endpoint,
            outcome="ok",
            served=served,
            entry=entry.key,
            why=f"entry {entry.key[:_SHOWN_CHARS]}, kept {age_s:.0f} s ago" + (f"; {why}" if why else ""),
            saved=Saved(cache=entry.usd),
        )
        return _told(question, call, kept)

    def _share(self, question: _Question, leader: Completion) -> Completion:
        last = leader.calls[-1] if leader.calls else None
        call = ModelCall(
            charge=f"cache.{secrets.token_hex(8)}",
            model=last.model if last is not None else question.prompt.tier,
            endpoint=last.endpoint if last is not None else "",
            outcome="ok",
            served="shared",
            entry=question.keys.exact,
            why="an equal question was under way",
            saved=Saved(cache=sum(one.usd for one in leader.calls)),
        )
        kept = Answer(text=leader.text, finish=leader.finish, data=leader.data, tool_calls=leader.tool_calls)
        return _told(question, call, kept)


def _told(question: _Question, call: ModelCall, kept: Answer) -> Completion:
    question.meter.called(call)
    if kept.text:
        question.meter.delta(kept.text)
        if question.on_delta is not None:
            question.on_delta(kept.text)
    return Completion(text=kept.text, finish=kept.finish, data=kept.data, tool_calls=kept.tool_calls, calls=(call,))


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers say the same: equal as data, else equal as words. Texts in other words count as different."""
    if one.data is not None or other.data is not None:
        return one.data == other.data
    return _words(one.text) == _words(other.text) and one.tool_calls == other.tool_calls


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.casefold()).split()


class _Telling:
    """A meter that adds the cache's reason to calls of models."""

    def __init__(self, meter: Meter, why: str) -> None:
        self._meter, self._why = meter, why

    async def reserve(self, usd: float, tokens: int) -> str:
        return await self._meter.reserve(usd, tokens)

    def called(self, call: ModelCall) -> None:
        self._meter.called(replace(call, why=f"{call.why}; {self._why}" if call.why else self._why))

    def delta(self, text: str) -> None:
        self._meter.delta(text)
