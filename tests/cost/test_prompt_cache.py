"""Providers keep beginnings of prompts: what never changes stands first, and what was read from there costs less."""

import pytest

from orchestrator import Engine, Plan
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.prices import GenaiPrices
from orchestrator.core.results import Succeeded
from orchestrator.ports.model import Message, Prompt, ToolSpec
from orchestrator.settings import Settings
from orchestrator.testing import Says, ScriptedModel
from workers import Pool, tool


@tool
async def look(term: str) -> str:
    """What is known of a term."""
    return "much"


def common(one: tuple[Message, ...], other: tuple[Message, ...]) -> str:
    """The beginning that two prompts share."""
    texts = ["".join(f"{message.role}:{message.content}\n" for message in messages) for messages in (one, other)]
    length = next((at for at, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    return texts[0][:length]


@pytest.mark.anyio
async def test_what_is_equal_over_tasks_and_turns_stands_before_what_is_not() -> None:
    prompts: list[Prompt] = []

    def said(prompt: Prompt) -> Says | str:
        prompts.append(prompt)
        turn = sum(message.role == "tool" for message in prompt.messages)
        return Says(tools=(("look", {"term": "x"}),)) if not turn else "done"

    pool = Pool("p")
    pool.agent("writer", "You write briefly.", tools=[look])
    with Plan("two", constraints=["Every figure has a year"]) as p:
        first = p.task("p", "Write a line.", id="a", with_={"data": "one"})
        second = p.task("p", "Write a line.", id="b", with_={"data": "two"}, needs=[first])
        p.result(second)
    async with (
        ScriptedModel(said) as models,
        Engine(Settings(store="memory:"), pools=[pool], models=models, journal=MemoryJournal()) as engine,
    ):
        assert isinstance(await (await engine.submit(p.freeze())).result(), Succeeded)

    one, turn, two, _ = prompts
    shared = common(one.messages, two.messages)
    assert "You write briefly." in shared
    assert "Every figure has a year" in shared
    assert shared.index("Every figure has a year") < shared.index("TASK\nWrite a line.")
    assert "<<<DATA" in shared.splitlines()[-1]  # the first thing that differs is the fence of the first value
    assert one.messages == turn.messages[: len(one.messages)]  # a turn adds, and changes nothing that was said
    assert [spec.name for spec in one.tools] == [spec.name for spec in two.tools] == ["look"]
    assert isinstance(one.tools[0], ToolSpec)


@pytest.mark.parametrize("model", ["gpt-5-mini", "gpt-4o"])
def test_what_was_read_from_the_providers_cache_has_its_own_price(model: str) -> None:
    price = GenaiPrices().price_of(model, "openai", None)
    assert price is not None
    fresh, cached = price.usd(1_000_000, 0, 0), price.usd(1_000_000, 0, 1_000_000)
    assert 0 < cached <= fresh / 2
    assert price.usd(1_000_000, 1_000, 400_000) == pytest.approx(
        0.6 * fresh + 0.4 * cached + price.usd(0, 1_000, 0), rel=1e-9
    )
