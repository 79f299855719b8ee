"""The judge: blind, three-way, by median, and broken rather than generous."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import pytest

from orchestrator import Plan, Succeeded, checks, ladder
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core import facts as f
from orchestrator.core.story import story
from orchestrator.engine.recovery import read_all
from orchestrator.errors import BudgetExceeded, JournalConflict
from orchestrator.ids import JsonValue, RunId, StepId
from orchestrator.ports.checker import Judgement, JudgeRequest, Vote
from orchestrator.ports.model import Completion, Prompt
from orchestrator.ports.model_errors import ModelUnavailable
from orchestrator.supervisor.judging import JUDGED_CHARS_MAX, ModelJudge
from orchestrator.testing.purse import Purse
from orchestrator.testing.scripted import Says, ScriptedModel
from tests.supervisor.house import Data, facts, good, opened

pytestmark = pytest.mark.anyio


@dataclass(slots=True)
class Case:
    """A question to a judge, and who pays."""

    votes: int = 1
    output: JsonValue = "the output"
    purse: Purse = field(default_factory=Purse)

    def request(self) -> JudgeRequest:
        """The question."""
        return JudgeRequest(
            run_id=RunId("R"),
            step=StepId("s"),
            task="Sum up",
            args={"text": "long"},
            constraints=("Be brief",),
            output=self.output,
            rubric="It is short",
            tier="cheap",
            pass_at=0.8,
            votes=self.votes,
            meter=self.purse,
        )


async def said(*turns: object, votes: int = 1) -> Judgement:
    """What a judge makes of these votes."""
    async with ScriptedModel(list(turns)) as models:  # type: ignore[arg-type]  # turns
        return await ModelJudge(models).judge(Case(votes=votes).request())


THREE_WAYS = {1.0: "pass", 0.8: "pass", 0.79: "fix", 0.2: "fix", 0.19: "reject", 0.0: "reject"}


@pytest.mark.parametrize("score", THREE_WAYS)
async def test_a_score_is_one_of_three_verdicts_by_named_thresholds(score: float) -> None:
    told = await said({"reasons": ["a reason"], "score": score})
    assert (told.verdict, told.score, told.reasons) == (THREE_WAYS[score], score, ("a reason",))


async def test_the_judge_sees_task_inputs_constraints_rubric_and_output_and_nothing_else() -> None:
    async with ScriptedModel([good()]) as models:
        await ModelJudge(models).judge(Case().request())
        (prompt,) = models.prompts
    assert prompt.tier == "cheap"
    assert json.loads(prompt.messages[1].content) == {
        "task": "Sum up",
        "inputs": {"text": "long"},
        "constraints": ["Be brief"],
        "rubric": "It is short",
        "output": "the output",
    }


MEDIANS: dict[tuple[float, ...], tuple[str, float]] = {
    (0.1, 0.9, 0.95): ("pass", 0.9),
    (0.9, 0.3, 0.1): ("fix", 0.3),
    (0.0, 0.1, 1.0, 0.1, 0.9): ("reject", 0.1),
}


@pytest.mark.parametrize("scores", MEDIANS)
async def test_the_median_of_the_votes_counts(scores: tuple[float, ...]) -> None:
    told = await said(*[{"reasons": ["x"], "score": score} for score in scores], votes=len(scores))
    assert (told.verdict, told.score) == MEDIANS[scores]


async def test_a_vote_that_breaks_does_not_count_and_of_two_the_lower_one_does() -> None:
    down = ModelUnavailable("m")
    told = await said(down, good(0.95), {"reasons": ["y"], "score": 0.4}, votes=3)
    assert (told.verdict, told.score, told.reasons) == ("fix", 0.4, ("y",))


NONSENSE: dict[str, object] = {
    "prose": "Looks great, 10/10, would pass again!",
    "a score of 7": {"reasons": [], "score": 7},
    "a score in words": {"reasons": [], "score": "high"},
    "true": {"reasons": [], "score": True},
    "no score": {"reasons": ["fine"]},
    "a verdict of its own": {"verdict": "pass", "reasons": [], "score": 1},
    "a refusal": Says(text="no", finish="refusal"),
    "a cut answer": Says(text='{"score": 1', finish="length"),
    "an outage": ModelUnavailable("m"),
}


@pytest.mark.parametrize("what", NONSENSE)
async def test_a_judge_that_fails_or_talks_nonsense_is_broken_and_never_passes(what: str) -> None:
    models = ScriptedModel(lambda prompt: NONSENSE[what])  # type: ignore[arg-type,return-value]  # turns
    told = await ModelJudge(models).judge(Case().request())
    assert told.verdict == "check_broken"
    assert told.reasons


async def test_an_output_that_is_too_long_to_be_judged_is_not_judged_in_part() -> None:
    async with ScriptedModel([]) as models:
        told = await ModelJudge(models).judge(Case(output="x" * JUDGED_CHARS_MAX).request())
    assert told.verdict == "check_broken"


async def test_votes_are_paid_one_by_one_and_without_room_for_most_of_them_nothing_is_decided() -> None:
    models = ScriptedModel(lambda prompt: good(), usd=0.01)
    rich, poor = Case(votes=3), Case(votes=3, purse=Purse(usd=0.015))
    assert (await ModelJudge(models).judge(rich.request())).verdict == "pass"
    assert len(rich.purse.calls) == 3
    assert rich.purse.spent_usd == pytest.approx(0.03)
    with pytest.raises(BudgetExceeded):
        await ModelJudge(models).judge(poor.request())


async def test_reasons_reach_the_next_attempt_and_no_text_of_a_judge_can_stop_a_run() -> None:
    with Plan("judged") as p:
        step = p.task("research", "do it", id="a", checks=[checks.judge("Is it good?")], on_fail=[ladder.retry(1)])
        p.result(step)
    no: Data = {"reasons": ["NUL \x00 and half a character \ud800"], "score": 0.5}
    async with ScriptedModel([no, no]) as models, opened(models=models) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        verdicts = [one for one in await facts(engine, f.CheckVerdict) if one.name == "judge"]
    assert not isinstance(result, Succeeded)  # the same output again: nothing was mended
    assert [one.reasons for one in verdicts] == [("NUL \ufffd and half a character ?",)] * 2


async def test_votes_that_were_cast_before_a_crash_are_not_asked_for_again_and_new_ones_are_told() -> None:
    told: list[Vote] = []

    async def voted(vote: Vote) -> None:
        told.append(vote)

    cast = (Vote(number=2, score=0.1, reasons=("thin",)), Vote(number=9, score=1.0))
    request = replace(Case(votes=3).request(), cast=cast, voted=voted)
    async with ScriptedModel([good(0.3), good(0.9)]) as models:
        said = await ModelJudge(models).judge(request)
        seeds = [prompt.seed for prompt in models.prompts]
    assert sorted(seed for seed in seeds if seed is not None) == [0, 2], "the second vote is there"
    assert sorted(vote.number for vote in told) == [1, 3]
    assert sorted(vote.score for vote in told) == [0.3, 0.9], "in whichever order they came"
    assert (said.verdict, said.score) == ("fix", 0.3)


async def test_a_judge_whose_run_has_gone_to_another_owner_says_nothing() -> None:
    async def voted(_vote: Vote) -> None:
        raise JournalConflict("R", "taken")

    models = ScriptedModel(lambda _prompt: good())
    with pytest.raises(JournalConflict):
        await ModelJudge(models).judge(replace(Case(votes=3).request(), voted=voted))


async def test_a_kill_in_the_middle_of_a_vote_pays_for_no_vote_twice() -> None:
    journal, asked = MemoryJournal(), anyio.Event()

    class Stalling(ScriptedModel):
        """Answers the first and the second vote; the third never comes."""

        async def complete(self, prompt: Prompt, *rest: Any) -> Completion:
            if prompt.seed == 2:
                asked.set()
                await anyio.sleep_forever()
            return await super().complete(prompt, *rest)

    judge = checks.judge("It is short", votes=3)
    with Plan("p") as plan:
        plan.result(plan.task("research", "find it", id="a", checks=[judge]))
    async with opened(journal, models=Stalling([good(0.9), good(0.1)])) as engine:
        run_id = (await engine.submit(plan.freeze())).id
        await asked.wait()
        while len(await facts(engine, f.JudgeVoted)) < 2:  # noqa: ASYNC110  # a journal tells nobody
            await anyio.sleep(0.001)
    async with ScriptedModel([good(0.85)]) as models, opened(journal, models=models, recover=False) as engine:
        (run,) = await engine.runs.recover(run_id)
        assert isinstance(await run.result(), Succeeded)
        (verdict,) = [one for one in await facts(engine, f.CheckVerdict) if one.name == "judge"]
        assert [prompt.seed for prompt in models.prompts] == [2]
        told = [line.text for line in story(await read_all(journal, run_id), "a")]
    assert (verdict.verdict, verdict.score) == ("pass", 0.85)
    assert sorted(line.partition("score ")[2] for line in told if line.startswith("vote ")) == ["0.1", "0.85", "0.9"]
