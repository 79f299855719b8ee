"""Models behind a cache: likeness, single flight, re-asking what is old, and a cache that is broken."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import anyio
import pytest

from orchestrator.adapters.memory.cache import MemoryCache
from orchestrator.errors import CacheError
from orchestrator.ids import JsonValue
from orchestrator.models.cache.caching import ANSWER_CHARS_MAX, CachingModels
from orchestrator.models.cache.keys import keys_of
from orchestrator.models.cache.policy import Policy, unfit
from orchestrator.ports.cache import CacheEntry, Observation, Offer
from orchestrator.ports.embeddings import Embedded
from orchestrator.ports.model import CacheUse, Completion, Message, Prompt, ToolSpec
from orchestrator.ports.model_errors import ModelUnavailable
from orchestrator.testing import Purse, Says, ScriptedModel
from orchestrator.testing.cache_contract import Clock, unit
from workers.prompting import asked_of

pytestmark = pytest.mark.anyio
VECTORS = {
    "How do I reset my password?": unit(1),
    "How can I reset my password?": unit(1, 0.1),
    "How do I reset my username?": unit(1, 0.05),
    "What is the fee?": unit(0, 1),
}


@dataclass(slots=True, kw_only=True)
class Payer(Purse):
    """A purse of a step whose answers are kept at once."""

    offers: list[Offer] = field(default_factory=list)

    def offer(self, offer: Offer) -> None:
        self.offers.append(offer)


class Likeness:
    name = "likeness"
    usd_per_million = 0.0

    async def embed(self, texts: Sequence[str]) -> Embedded:
        return Embedded(vectors=tuple(VECTORS[text] for text in texts))

    async def aclose(self) -> None: ...


def asked(text: str, mode: str = "exact", **changes: object) -> Prompt:
    use = CacheUse(tenant="t", mode=mode)  # type: ignore[arg-type]  # one of the words
    messages = (Message(role="system", content="You answer."), Message(role="user", content=text))
    return replace(Prompt(tier="cheap", messages=messages, cache=use), **changes)  # type: ignore[arg-type]  # fields


async def kept(cache: MemoryCache, payer: Payer) -> None:
    for offer in payer.offers:
        await cache.put(offer.entry)
        if offer.observed is not None:
            await cache.observe("t", offer.neighbour, offer.observed)
    payer.offers.clear()


def caching(models: ScriptedModel, cache: MemoryCache, **policy: object) -> CachingModels:
    return CachingModels(
        models, cache, Policy(**policy), embeddings=Likeness(), chance=random.Random(3), now_s=Clock()  # type: ignore[arg-type]  # fields
    )  # fmt: skip


def test_a_key_holds_everything_that_an_answer_depends_on() -> None:
    base = asked("q")
    tool = ToolSpec(name="t", description="d", parameters={})
    others = [
        asked("q2"),
        replace(base, messages=(Message(role="system", content="Else."), base.messages[1])),
        replace(base, tools=(tool,)),
        replace(base, output_schema={"type": "string"}),
        replace(base, tokens_max=5),
        replace(base, temperature=0.5),
        replace(base, seed=1),
    ]
    keys = [keys_of(one, tenant="t", models="m", version="").exact for one in (base, *others)]
    plain = {"tenant": "t", "models": "m", "version": ""}
    keys += [keys_of(base, **(plain | more)).exact for more in ({"tenant": "u"}, {"models": "n"}, {"version": "2"})]
    assert len(set(keys)) == len(keys)
    assert keys_of(replace(base, deadline_s=9.0), tenant="t", models="m", version="").exact == keys[0]


def test_a_like_question_is_looked_for_in_the_same_conversation_alone() -> None:
    def scope(*texts: str) -> str:
        said = [Message(role="assistant" if at % 2 else "user", content=text) for at, text in enumerate(texts)]
        prompt = replace(asked(""), messages=tuple(said))
        return keys_of(prompt, tenant="t", models="m", version="").scope

    assert scope("a", "b", "cancel it") == scope("a", "b", "Cancel it!") != ""
    assert scope("a", "b", "cancel it") != scope("a", "c", "cancel it")
    assert scope("a", "b") == ""
    assert scope("x" * 481) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("What is the fee?", ""),
        ("What is the fee right now?", "the answer depends on the time (right now)"),
        ("Show last week's errors", "the answer depends on the time (last week)"),
        ("Call +44 20 7946 0958 back", "the question is about one person"),
        ("Is DE89 3704 0044 0532 0130 00 valid?", "the question is about one person"),
    ],
)
def test_what_may_never_be_kept(text: str, why: str) -> None:
    assert unfit(asked(text)) == why


@pytest.mark.parametrize(("last", "why"), [("And now?", "the answer depends on the time (now)"), ("And then?", "")])
def test_the_last_turn_of_a_long_conversation_is_asked_for_the_time(last: str, why: str) -> None:
    turns: list[JsonValue] = [{"role": "user", "text": f"turn {n}, which is about pallets"} for n in range(40)]
    asked = asked_of("Answer the last turn", {"turns": [*turns, {"role": "user", "text": last}], "memo": "now " * 200})
    prompt = Prompt(
        tier="cheap",
        messages=(Message(role="user", content="-"),),
        cache=CacheUse(tenant="default", mode="exact", tags=(), instruction=asked),
    )
    assert unfit(prompt) == why
    assert len(asked) < 600


async def test_a_like_question_is_served_once_enough_was_learnt_and_a_trap_never() -> None:
    cache, payer = MemoryCache(now_s=Clock()), Payer()
    async with ScriptedModel(
        lambda prompt: "by mail" if "password" in prompt.messages[1].content else "you cannot", usd=0.01
    ) as models:
        behind = caching(models, cache, delta=0.5)
        await behind.complete(asked("How do I reset my password?", "semantic"), payer)
        await kept(cache, payer)
        # Asked in other words: a model answers until enough answers were the same. Each asking is kept apart, so that
        # it is looked up by likeness again.
        for _ in range(8):
            await behind.complete(asked("How can I reset my password?", "semantic"), payer)
            for offer in payer.offers:
                assert offer.observed == Observation(similarity=pytest.approx(0.995, abs=0.001), same=True)  # type: ignore[arg-type]  # about
                await cache.observe("t", offer.neighbour, offer.observed)
            payer.offers.clear()
        served = [call.served for call in payer.calls]
        trap = await behind.complete(asked("How do I reset my username?", "semantic"), payer)

    assert served[:7] == [""] * 7
    assert "semantic" in served[7:]
    hit = next(call for call in payer.calls if call.served == "semantic")
    assert (hit.usd, hit.saved.cache) == (0.0, 0.01)
    assert "0.995 like, 6 answers compared, served with chance" in hit.why
    assert trap.text == "you cannot"
    assert payer.calls[-1].why == "a like question (0.999) differs in words"


async def test_equal_questions_at_the_same_time_ask_once() -> None:
    cache, payer = MemoryCache(now_s=Clock()), Payer()
    found: list[Completion] = []
    async with ScriptedModel([Says(text="5", after_s=0.01)], usd=0.01) as models:
        behind = caching(models, cache)
        async with anyio.create_task_group() as group:
            for _ in range(5):

                async def one() -> None:
                    found.append(await behind.complete(asked("What is the fee?"), payer))

                group.start_soon(one)
    assert [one.text for one in found] == ["5"] * 5
    assert sorted(call.served for call in payer.calls) == ["", "shared", "shared", "shared", "shared"]
    assert payer.spent_usd == 0.01
    assert len(payer.offers) == 1


async def test_who_waited_for_a_question_that_failed_asks_anew() -> None:
    cache, payer = MemoryCache(now_s=Clock()), Payer()
    texts: list[str] = []

    async with ScriptedModel([ModelUnavailable("m", "gone"), "5"]) as models:
        behind = caching(models, cache)

        async def one() -> None:
            try:
                texts.append((await behind.complete(asked("What is the fee?"), payer)).text)
            except ModelUnavailable:
                texts.append("failed")

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            group.start_soon(one)
    assert sorted(texts) == ["5", "failed"]


async def test_an_old_answer_is_asked_again_on_a_sample_and_replaced() -> None:
    clock, payer = Clock(), Payer()
    cache = MemoryCache(now_s=clock)
    async with ScriptedModel(["old", "new"]) as models:
        behind = CachingModels(models, cache, Policy(stale_s=100, verify=1.0), now_s=clock)
        await behind.complete(asked("What is the fee?"), payer)
        await kept(cache, payer)
        assert (await behind.complete(asked("What is the fee?"), payer)).text == "old"
        clock.now_s += 101
        assert (await behind.complete(asked("What is the fee?"), payer)).text == "new"
        await kept(cache, payer)
        assert (await behind.complete(asked("What is the fee?"), payer)).text == "new"
    assert [call.served for call in payer.calls] == ["", "exact", "", "exact"]


async def test_an_answer_that_was_kept_while_the_clock_was_ahead_is_asked_again() -> None:
    clock, payer = Clock(), Payer()
    cache = MemoryCache(now_s=clock)
    async with ScriptedModel(["early", "right"]) as models:
        behind = CachingModels(models, cache, Policy(verify=0.0), now_s=clock)
        clock.now_s += 1e8
        await behind.complete(asked("What is the fee?"), payer)
        await kept(cache, payer)
        clock.now_s -= 1e8
        assert (await behind.complete(asked("What is the fee?"), payer)).text == "right"
        await kept(cache, payer)
        assert (await behind.complete(asked("What is the fee?"), payer)).text == "right"
    assert [call.served for call in payer.calls] == ["", "", "exact"]


async def test_an_answer_that_is_too_long_is_not_kept() -> None:
    payer = Payer()
    async with ScriptedModel(["x" * ANSWER_CHARS_MAX, "x" * (ANSWER_CHARS_MAX + 1)]) as models:
        behind = caching(models, MemoryCache())
        await behind.complete(asked("a"), payer)
        await behind.complete(asked("b"), payer)
    assert [len(offer.entry.answer.text) for offer in payer.offers] == [ANSWER_CHARS_MAX]


async def test_judges_and_planners_are_never_answered_from_the_cache() -> None:
    purse = Purse()
    async with ScriptedModel(["a", "b"]) as models:
        behind = caching(models, MemoryCache())
        assert [(await behind.complete(asked("q"), purse)).text for _ in range(2)] == ["a", "b"]


class Broken(MemoryCache):
    async def get(self, tenant: str, key: str) -> CacheEntry | None:
        raise CacheError("here", "it is gone")


async def test_a_cache_that_does_not_answer_costs_nobody_an_answer() -> None:
    payer = Payer()
    async with ScriptedModel(["5", "5"]) as models:
        behind = caching(models, Broken())
        assert [(await behind.complete(asked("What is the fee?"), payer)).text for _ in range(2)] == ["5", "5"]
