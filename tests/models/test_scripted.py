"""The shipped scripted model: what it says, what it fails, what it charges."""

from dataclasses import replace

import pytest

from orchestrator.errors import BudgetExceeded
from orchestrator.ports.model import Message, Prompt, ToolSpec
from orchestrator.ports.model_errors import (
    ModelBadOutput,
    ModelError,
    ModelRateLimited,
    ModelTimeout,
    ModelTruncated,
    ModelUnknownTool,
)
from orchestrator.testing.purse import Purse
from orchestrator.testing.scripted import Says, ScriptedModel, UnexpectedCall

pytestmark = pytest.mark.anyio

ASK = Prompt(tier="standard", messages=(Message(role="user", content="why?"),))
DATA = replace(ASK, output_schema={"type": "object", "required": ["n"]})
TOOLS = replace(ASK, tools=(ToolSpec(name="look", description="", parameters={}),))


async def test_turns_come_in_order_and_errors_are_raised() -> None:
    async with ScriptedModel(["draft", ModelRateLimited("m", retry_after_s=30.0), {"n": 1}]) as models:
        purse = Purse()
        assert (await models.complete(ASK, purse)).text == "draft"
        with pytest.raises(ModelRateLimited):
            await models.complete(ASK, purse)
        assert (await models.complete(DATA, purse)).data == {"n": 1}

    assert [call.outcome for call in purse.calls] == ["ok", "rate_limited", "ok"]
    assert (models.prompts, purse.held) == ([ASK, ASK, DATA], {})


async def test_turns_that_nobody_asked_for_fail_the_test() -> None:
    with pytest.raises(AssertionError, match="2 turns of the script were never asked for; the next: 'b'"):
        async with ScriptedModel(["a", "b", "c"]) as models:
            await models.complete(ASK, Purse())


async def test_a_call_beyond_the_script_fails_the_test_even_where_it_is_caught() -> None:
    models = ScriptedModel(["a"])
    await models.complete(ASK, Purse())
    with pytest.raises(UnexpectedCall):
        await models.complete(ASK, Purse())

    with pytest.raises(UnexpectedCall, match="no turn left for tier standard; asked: 'why\\?'"):
        models.assert_done()


async def test_an_error_of_the_test_itself_is_not_hidden_by_the_script() -> None:
    with pytest.raises(LookupError):
        async with ScriptedModel(["never asked"]):
            raise LookupError


async def test_each_tier_has_a_script_of_its_own() -> None:
    async with ScriptedModel({"standard": ["mid"], "strong": ["high"]}) as models:
        assert (await models.complete(replace(ASK, tier="strong"), Purse())).text == "high"
        assert (await models.complete(ASK, Purse())).text == "mid"
        with pytest.raises(UnexpectedCall, match="tier cheap"):
            await models.complete(replace(ASK, tier="cheap"), Purse())
        models._unexpected.clear()


async def test_a_function_answers_every_prompt() -> None:
    async with ScriptedModel(lambda prompt: prompt.messages[-1].content.upper()) as models:
        assert [(await models.complete(ASK, Purse())).text for _ in range(3)] == ["WHY?"] * 3


async def test_data_that_does_not_fit_takes_the_next_turn() -> None:
    async with ScriptedModel(["prose", {"n": 1}]) as models:
        found = await models.complete(DATA, Purse())

    assert (found.data, [call.outcome for call in found.calls]) == ({"n": 1}, ["bad_output", "ok"])
    assert [len(prompt.messages) for prompt in models.prompts] == [1, 3]


@pytest.mark.parametrize(
    ("prompt", "turns", "error"),
    [
        (DATA, ["prose", {"m": 1}], ModelBadOutput),
        (TOOLS, [Says(tools=(("erase", {}),)), Says(tools=(("erase", {}),))], ModelUnknownTool),
        (ASK, [Says(text="half", finish="length")], ModelTruncated),
    ],
)
async def test_answers_are_judged_as_the_gateway_judges_them(
    prompt: Prompt, turns: list[str | Says], error: type[ModelError]
) -> None:
    async with ScriptedModel(turns) as models:
        with pytest.raises(error):
            await models.complete(prompt, Purse())


async def test_tools_are_called_and_pieces_stream() -> None:
    async with ScriptedModel([Says(tools=(("look", {"q": 1}),)), Says(deltas=("a", "b"))]) as models:
        purse, seen = Purse(), list[str]()
        found = await models.complete(TOOLS, purse)
        assert [(call.name, call.arguments) for call in found.tool_calls] == [("look", '{"q": 1}')]
        assert (await models.complete(ASK, purse, seen.append)).text == "ab"

    assert purse.deltas == seen == ["a", "b"]


async def test_calls_cost_what_the_script_says() -> None:
    async with ScriptedModel(["a", Says(text="b", usd=0.5, tokens_in=7, tokens_out=3)], usd=0.25) as models:
        purse = Purse(usd=1.0)
        await models.complete(ASK, purse)
        await models.complete(ASK, purse)

    assert (purse.spent_usd, purse.calls[1].tokens_in, purse.calls[1].tokens_out) == (0.75, 7, 3)


async def test_a_call_the_budget_refuses_takes_no_turn() -> None:
    async with ScriptedModel(["a"], usd=0.25) as models:
        with pytest.raises(BudgetExceeded):
            await models.complete(ASK, Purse(usd=0.1))
        assert models.left == 1
        await models.complete(ASK, Purse(usd=1.0))


async def test_a_model_that_thinks_too_long_meets_the_deadline_and_stays_charged() -> None:
    async with ScriptedModel([Says(text="late", after_s=60.0)], usd=0.25) as models:
        purse = Purse(usd=1.0)
        with pytest.raises(ModelTimeout):
            await models.complete(replace(ASK, deadline_s=0.02), purse)

    assert [(call.outcome, call.unknown, call.usd) for call in purse.calls] == [("cancelled", True, 0.25)]
