"""An agent with a context: its conversation stays short, keeps its facts, says what was cut, and can ask for it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from orchestrator.errors import PromiseError
from orchestrator.ports.model import Completion, Message, Prompt
from orchestrator.ports.model_errors import ModelUnavailable
from orchestrator.ports.tasks import TaskProgress
from tests.agents.saying import Saying, calls, says
from tests.workers.conftest import Bench, start
from workers import Context, Pool, tool
from workers.compression.turns import size_of

__all__ = ["start"]
pytestmark = pytest.mark.anyio
Start = Callable[..., AbstractAsyncContextManager[Bench]]
PIN = "Never ship to Oslo before permit P-4411 is signed."
TASK: dict[str, object] = {"instruction": "Compare the prices of heat pumps."}
BUDGET = 1_000


@pytest.fixture
def anyio_backend() -> str:
    """Tools run in threads."""
    return "asyncio"


@tool
def page(number: int) -> str:
    """A page of the handbook."""
    filler = " ".join(f"The {number}th chapter names harbour {n} of the coast and leaves it there." for n in range(30))
    facts = {1: PIN, 2: f"Heat pump H-{number} costs 2950 euros."}
    return f"{facts.get(number, '')} {filler}"


def pool_with(**context: object) -> Pool:
    pool = Pool("p")
    context = {"tokens": BUDGET, "pinned": (PIN,), **context}
    pool.agent("writer", "You compare.", tools=[page], context=Context(**context))  # type: ignore[arg-type]  # by name
    return pool


def pages(*numbers: int) -> list[Completion]:
    return [calls(("page", {"number": n})) for n in numbers]


def told(bench: Bench) -> list[str]:
    return [one.message for one in bench.messages if isinstance(one, TaskProgress) and one.journal]


async def test_old_turns_are_taken_together_and_the_pinned_fact_stays(start: Start) -> None:
    models = Saying([*pages(1, 2, 3, 4), says("done")])
    async with start(pool_with(), models) as bench:
        assert await bench.output(None, **TASK) == "done"
        reports = told(bench)
    last = models.prompts[-1].messages
    assert [one.role for one in last] == ["system", "user", "user", "assistant", "tool"]
    earlier = last[2].content
    assert PIN in earlier
    assert "Heat pump H-2 costs 2950 euros." in earlier
    assert earlier.endswith("[results r1 to r4 as they were: recall]\nDATA " + earlier.rsplit(" ", 1)[1])
    assert [size_of(prompt.messages) <= BUDGET for prompt in models.prompts[2:]] == [True, True, True]
    assert len(reports) == 3
    assert reports[-1].startswith("conversation shortened from ")
    assert "1 facts kept" in reports[-1]
    assert "r1" in reports[0]


async def test_what_was_cut_is_fetched_back_in_whole_or_in_part(start: Start) -> None:
    recalls = [calls(("recall", {"result": "r3", "find": "harbour 17"})), calls(("recall", {"result": "r9"}))]
    models = Saying([*pages(3, 2, 1), *recalls, says("done")])
    async with start(pool_with(), models) as bench:
        assert await bench.output(None, **TASK) == "done"
    answers = [one.content for one in models.prompts[4].messages if one.role == "tool"]
    assert PIN in answers[-1]
    assert "harbour 17" in answers[-1]
    assert "error: there is no result 'r9'" not in answers[-1]
    assert {one.name for one in models.prompts[0].tools} == {"page", "recall"}


async def test_a_result_that_comes_again_is_named_and_not_repeated(start: Start) -> None:
    models = Saying([*pages(3, 3), says("done")])
    async with start(pool_with(tokens=5_000), models) as bench:
        assert await bench.output(None, **TASK) == "done"
    first, second = [one.content for one in models.prompts[-1].messages if one.role == "tool"]
    assert "the 3th chapter" in first.lower()
    assert "[the same text as result r1; recall gives it back]" in second
    assert len(second) < 200


async def test_a_summary_that_keeps_the_facts_stands_for_the_turns(start: Start) -> None:
    def summary(prompt: Prompt) -> Completion:
        assert prompt.tier == "cheap"
        assert prompt.tools == ()
        assert f"- {PIN}" in prompt.messages[1].content
        return says(f"{PIN} The handbook names harbours.")

    models = Saying([*pages(1, 2), summary, says("done")])
    async with start(pool_with(summary="cheap"), models) as bench:
        assert await bench.output(None, **TASK) == "done"
        assert "refused" not in told(bench)[0]
    assert f"[summary of r1] {PIN} The handbook names harbours." in models.prompts[-1].messages[2].content


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (says("Nothing may be shipped to Oslo before a permit is signed."), "it lost P-4411"),
        (says("Harbour Oslo will never lose P-4411."), "are said of something else"),
        (says(""), "there was none"),
        (ModelUnavailable("m", "down", 1.0), "there was none"),
        (says(f"{PIN} " + "Harbours. " * 2_000), "it is too long"),
    ],
)
async def test_a_summary_that_lost_a_fact_is_refused_and_passages_are_cut_instead(
    start: Start, said: Completion | Exception, why: str
) -> None:
    models = Saying([*pages(1, 2), said, says("done")])
    async with start(pool_with(summary="cheap"), models) as bench:
        assert await bench.output(None, **TASK) == "done"
        (report,) = told(bench)
    assert "a summary was refused: " in report
    assert why in report
    assert PIN in models.prompts[-1].messages[2].content


async def test_constraints_of_the_plan_are_pinned_too(start: Start) -> None:
    said = "Every offer above 9,000 euros names Ms. Hale."

    @tool
    def note() -> str:
        """A note."""
        return said + " " + "Nothing else. " * 200

    pool = Pool("p")
    pool.agent("writer", "You compare.", tools=[page, note], context=Context(tokens=BUDGET))
    models = Saying([calls(("note", {})), *pages(4, 3), says("done")])
    async with start(pool, models) as bench:
        assert await bench.output(None, **TASK, constraints=(said,)) == "done"
    assert said in models.prompts[-1].messages[2].content


async def test_without_a_context_nothing_is_shortened_and_nothing_can_be_recalled(start: Start) -> None:
    pool = Pool("p")
    pool.agent("writer", "You compare.", tools=[page])
    models = Saying([*pages(1, 2, 3, 4), says("done")])
    async with start(pool, models) as bench:
        assert await bench.output(None, **TASK) == "done"
    last: tuple[Message, ...] = models.prompts[-1].messages
    assert [one.role for one in last] == ["system", "user", *(["assistant", "tool"] * 4)]
    assert {one.name for one in models.prompts[0].tools} == {"page"}


def test_a_tool_of_the_same_name_is_refused() -> None:
    @tool
    def recall(x: str) -> str:
        """Mine."""
        return x

    with pytest.raises(PromiseError, match="a tool named 'recall' and a context"):
        Pool("p").agent("writer", "You compare.", tools=[recall], context=Context(tokens=1_000))
