"""The rolling summary by a model: accepted where it kept every fact, refused with its reason where it did not."""

import json
from dataclasses import replace

import anyio
import pytest

from orchestrator.app import Engine
from orchestrator.ids import JsonValue
from orchestrator.plan.facts_kept import fact_of
from orchestrator.ports.model import ModelCall, Prompt
from orchestrator.ports.model_errors import ModelRateLimited
from orchestrator.ports.sessions import Summary
from orchestrator.sessions.summary import Account, Fold, ModelSummariser, refusal
from orchestrator.settings import SessionSettings
from orchestrator.testing.scripted import Says, ScriptedModel, Turn
from tests.sessions.house import ECHO, Shared
from tests.sessions.test_window import head_of, turns_of

pytestmark = pytest.mark.anyio
SETTINGS = SessionSettings(window_turns=5)
FACTS = (fact_of("Ann pays 40 EUR"), fact_of("never on a Sunday"))
KEPT = "They spoke of tea.\nAnn pays 40 EUR\nnever on a Sunday"


def shown_to(prompt: Prompt) -> dict[str, JsonValue]:
    """The data of a prompt."""
    found: dict[str, JsonValue] = json.loads(prompt.messages[1].content)
    return found


async def summary_of(*script: object, usd: float = 0.0, settings: SessionSettings = SETTINGS) -> Summary:
    """What becomes of a summary of turns 1 to 2, after one of version 1 that reached turn 0."""
    before = {"text": "Before.", "version": 1, "usd": 0.5, "tokens": 10}
    head = replace(head_of(4, **before), facts=FACTS)
    async with ScriptedModel(script, usd=usd) as models:  # type: ignore[arg-type]  # turns
        fold = Fold(turns=tuple(turns_of("a", "")), upto=2, missed=0)
        found = await ModelSummariser(models).summarise(head, fold, settings, 7.0)
        (prompt,) = models.prompts[:1]
    assert prompt.tier == "cheap"
    assert shown_to(prompt) == {
        "earlier": "Before.",
        "facts": ["Ann pays 40 EUR", "never on a Sunday"],
        "turns": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "(no answer: said)"}],
    }
    return found


async def test_a_summary_that_kept_every_fact_takes_the_place_of_the_one_before() -> None:
    found = await summary_of(Says(data={"summary": f" {KEPT}\n"}, usd=0.001, tokens_in=30, tokens_out=5))
    assert found == Summary(text=KEPT, version=2, upto=2, tried_upto=2, at_s=7.0, usd=0.501, tokens=45)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("They spoke of tea.", "the summary lost pinned facts: 'Ann pays 40 EUR': it lost Ann, 40, EUR; 'never on a"),
        (KEPT.replace("40", "14"), "the summary lost pinned facts: 'Ann pays 40 EUR': it lost 40"),
        (KEPT.replace("never on", "on"), "'never on a Sunday': its denial is gone"),
        ("", "the summary is empty"),
        (KEPT + "x" * 3_000, "the summary has 3052 characters, and 3000 are allowed"),
    ],
)
async def test_a_summary_that_lost_a_fact_is_refused_and_the_one_before_stays(said: str, reason: str) -> None:
    found = await summary_of(Says(data={"summary": said}, usd=0.001, tokens_in=30, tokens_out=5))
    assert reason in found.refused
    assert replace(found, refused="") == Summary(
        text="Before.", version=1, upto=0, tried_upto=2, at_s=7.0, usd=0.501, tokens=45
    )


async def test_a_model_that_does_not_answer_is_a_reason_too() -> None:
    found = await summary_of(ModelRateLimited("m", retry_after_s=30.0))
    assert (found.text, found.upto, found.tried_upto) == ("Before.", 0, 2)
    assert found.refused.startswith("no summary came: ")


async def test_a_summary_costs_no_more_than_it_may() -> None:
    dear = ScriptedModel([{"summary": KEPT}], usd=0.03)
    fold = Fold(turns=tuple(turns_of("a", "b")), upto=2, missed=0)
    found = await ModelSummariser(dear).summarise(head_of(4, text="Before."), fold, SETTINGS, 7.0)
    assert (found.text, found.refused) == ("Before.", "no summary came: budget usd: asked for 0.03, 0.02 left")
    assert (found.usd, found.tokens, dear.calls) == (0.0, 0, [])


async def test_an_account_books_what_was_held_where_nobody_knows_the_price() -> None:
    account = Account(1.0, 100)
    charge = await account.reserve(0.25, 40)
    account.called(ModelCall(charge=charge, model="m", endpoint="e", outcome="timeout", unknown=True))
    assert (account.usd, account.tokens) == (0.25, 40)


def test_what_can_be_a_summary() -> None:
    head = replace(head_of(2), facts=FACTS)
    assert refusal(KEPT, head, SETTINGS) == ""
    assert refusal("x", head_of(2), SETTINGS) == ""


async def test_a_conversation_is_condensed_as_it_grows_and_runs_read_the_summary() -> None:
    def said(prompt: Prompt) -> dict[str, JsonValue]:
        data = shown_to(prompt)
        turns = data["turns"]
        assert isinstance(turns, list)
        return {"summary": f"{data['earlier']}+{len(turns)}\nAnn pays 40"}

    shared = Shared(window_turns=5)
    async with ScriptedModel(said) as models, shared.engine(models=models) as engine:
        session = engine.session("s")
        await session.pin("Ann pays 40")
        answers = [(await session.ask(ECHO, f"n{number}")).text for number in range(6)]
        await session.tidy()
        head = await session.head()

    plain = "Facts, word for word:\n- Ann pays 40"
    assert answers == [
        f"n0 [1|{plain}]",
        f"n1 [3|{plain}]",
        f"n2 [5|{plain}]",
        "n3 [1|+6\nAnn pays 40]",
        "n4 [3|+6\nAnn pays 40]",
        "n5 [5|+6\nAnn pays 40]",
    ]
    assert (head.summary.version, head.summary.upto, head.turns) == (2, 12, 12)
    assert head.summary.text == "+6\nAnn pays 40+6\nAnn pays 40"
    assert len(models.prompts) == 2


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)  # where time jumps
async def test_an_answer_does_not_wait_for_the_summary_and_the_next_turn_does() -> None:
    shared = Shared(window_turns=5)
    slow = Says(data={"summary": "They spoke."}, after_s=7.0)
    async with ScriptedModel([slow]) as models, shared.engine(models=models) as engine:
        session, took_s, said = engine.session("s"), list[float](), list[str]()
        for number in range(4):
            began_s = anyio.current_time()
            said.append((await session.ask(ECHO, f"n{number}")).text)
            took_s.append(round(anyio.current_time() - began_s, 1))

    assert (took_s, said[-1]) == ([0.0, 0.0, 0.0, 7.0], "n3 [1|They spoke.]")


async def test_a_refused_summary_is_told_to_runs_and_not_asked_for_at_every_turn() -> None:
    shared = Shared(window_turns=5)
    script: list[Turn] = [{"summary": "They spoke."}, {"summary": "They spoke. Ann pays 40"}]
    async with ScriptedModel(script) as models, shared.engine(models=models) as engine:
        session = engine.session("s")
        await session.pin("Ann pays 40")
        answers = [(await session.ask(ECHO, f"n{number}")).text for number in range(8)]
        await session.tidy()
        head = await session.head()

    reason = "the summary lost pinned facts: 'Ann pays 40': it lost Ann, 40"
    plain = "Facts, word for word:\n- Ann pays 40"
    assert answers[3:6] == [
        f"n3 [5|{plain}\n\n2 earlier turns are neither shown nor summarised: {reason}]",
        f"n4 [5|{plain}\n\n4 earlier turns are neither shown nor summarised: {reason}]",
        f"n5 [5|{plain}\n\n6 earlier turns are neither shown nor summarised: {reason}]",
    ]
    assert answers[6] == "n6 [1|They spoke. Ann pays 40]"
    assert (head.summary.version, head.summary.refused, head.summary.missed) == (1, "", 0)


@pytest.mark.parametrize("off", [True, False])
async def test_without_a_model_turns_that_fall_out_are_counted_and_said(off: bool) -> None:
    shared = Shared(window_turns=3, summarise=not off)
    models = ScriptedModel() if off else None
    async with shared.engine(models=models) as engine:
        session = engine.session("s")
        answers = [(await session.ask(ECHO, f"n{number}")).text for number in range(3)]
        view = await session.view()

    told = "neither shown nor summarised: no model summarised them"
    assert answers == ["n0 [1|]", "n1 [3|]", f"n2 [3|2 earlier turns are {told}]"]
    assert (view.dropped, view.summary) == (4, f"4 earlier turns are {told}")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_engine_says_whether_it_can_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    async with Shared().engine() as engine:
        assert not engine.can_ask("cheap")
    async with ScriptedModel() as models, Engine(store="memory:", pools=[], models=models) as engine:
        assert engine.can_ask("cheap")
