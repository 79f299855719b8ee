"""Whatever a planner's model writes: it is refused or mended within bounds, what it cost is told, nothing else runs."""

import pytest

from orchestrator import Budget, Failed, Succeeded, Supervisor
from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history
from orchestrator.core.story import story
from orchestrator.engine.recovery import read_all
from orchestrator.ports.model import Prompt
from orchestrator.testing.scripted import Says, ScriptedModel
from tests.supervisor.bad_plans import BAD, Answer
from tests.supervisor.house import ONE, SEEN, facts, good, opened

pytestmark = pytest.mark.anyio
#: narrower than the defaults, so that each cap is met by a small plan
HOST = Supervisor(
    pools=["research", "tools", "writer"],
    tiers=("cheap", "standard"),
    steps=6,
    fan_out=4,
    depth=0,
    usd_estimate_max=0.15,
)
USD = 0.01  #: of a call
trio_only = pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)


def says(answer: Answer) -> Says:
    """An answer as the model sends it."""
    if isinstance(answer, Says):
        return answer
    return Says(text=answer) if isinstance(answer, str) else Says(data=answer)


def test_the_corpus_is_large_enough() -> None:
    assert len(BAD) >= 60


@trio_only
@pytest.mark.parametrize("wrong", BAD)
async def test_a_model_that_never_does_better_fails_within_its_tries_and_tells_the_cost(wrong: str) -> None:
    answer, told = BAD[wrong]
    models = ScriptedModel(lambda prompt: says(answer), usd=USD)
    async with opened(models=models, supervisor=HOST) as engine:
        run = await engine.submit(HOST.goal("Compare heat pumps"), budget=Budget(usd=5.0, tokens=10_000_000))
        result = await run.result()
        drafts = await facts(engine, f.PlanDrafted)
        failed = await facts(engine, f.AttemptFailed)
        records = await read_all(engine.runs.journal, run.id)
    assert isinstance(result, Failed)
    assert SEEN == []  # nothing ran
    assert [one.error for one in failed] == ["planning"]
    assert [(one.number, one.accepted) for one in drafts] == [(1, False), (2, False), (3, False)]
    assert all(one.errors for one in drafts)
    assert told in " ".join(drafts[0].errors), drafts[0].errors
    assert all(len(error) <= 300 for one in drafts for error in one.errors)
    assert 3 <= len(models.calls) <= 6  # the gateway hands what has the wrong form back once
    assert result.usage.usd == pytest.approx(len(models.calls) * USD)
    assert check_history(records) == ()
    lines = [line.text for line in story(records, "goal")]
    assert sum("of a plan by tier strong was refused: " in line for line in lines) == 3


@trio_only
@pytest.mark.parametrize("wrong", BAD)
async def test_a_model_that_does_better_when_told_is_heard(wrong: str) -> None:
    answer, _ = BAD[wrong]

    def reply(prompt: Prompt) -> Says:
        if "You judge" in prompt.messages[0].content:
            return Says(data=good())
        return says(ONE if any("was refused" in one.content for one in prompt.messages) else answer)

    # A judge of the cheap tier: the strong one is not allowed here, and nothing else may follow from that.
    models = ScriptedModel(reply, usd=USD)
    async with opened(models=models, supervisor=HOST) as engine:
        goal = HOST.goal("Compare heat pumps")
        result = await (await engine.submit(goal, budget=Budget(usd=5.0, tokens=10_000_000))).result()
    assert isinstance(result, Succeeded)
    assert [step for step, _, _ in SEEN] == ["all"]
    assert len(models.calls) <= 4
