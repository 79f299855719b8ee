"""Agents, judges and supervisors of a scenario answer from a script, and a model that nobody scripted fails it."""

import json

import pytest

from orchestrator import Plan, Succeeded, checks, ladder
from orchestrator.core import facts as f
from orchestrator.supervisor.rules import Supervisor
from orchestrator.testing.scenario import Scenario, ScenarioFailed
from orchestrator.testing.scripted import Says, ScriptedModel, UnexpectedCall
from workers import Pool

writer = Pool("writer")
writer.agent("write", "You write.")

with Plan("brief", inputs={"topic": {"type": "string"}}) as BRIEF:
    sources = BRIEF.step("library.find", id="sources", topic=BRIEF.inputs.topic)
    draft = BRIEF.task(
        "writer",
        "Write one sentence on ${{ inputs.topic }}.",
        id="draft",
        with_={"sources": sources},
        checks=[checks.judge("It names a source.", pass_at=0.8)],
        on_fail=[ladder.retry(1)],
    )
    BRIEF.result(draft)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_agent_and_its_judge_answer_from_a_script(backend: str) -> None:
    models = ScriptedModel(
        {
            "standard": ["Heat pumps exist.", Says(text="Heat pumps exist [1].", after_s=60, usd=0.5)],
            "strong": [{"reasons": ["no source"], "score": 0.3}, {"reasons": [], "score": 0.9}],
        }
    )
    played = (
        Scenario(BRIEF, pools=[writer], models=models)
        .on("sources", returns=["[1] a report"])
        .play({"topic": "heat pumps"}, backend=backend)  # type: ignore[arg-type]  # one of two words
    )
    assert isinstance(played.result, Succeeded)
    assert played.result.output == "Heat pumps exist [1]."
    assert played.result.usage.usd == 0.5
    assert played.seconds == pytest.approx(60)
    assert "no source" in models.prompts[2].messages[-1].content
    assert [type(fact) for fact in played.facts(f.StepRejected, "draft")] == [f.StepRejected]


def test_what_the_script_did_not_say_fails() -> None:
    scenario = Scenario(BRIEF, pools=[writer], models=ScriptedModel(["only one"])).on("sources", returns=[])
    with pytest.raises(UnexpectedCall):
        scenario.play({"topic": "x"})


def test_what_the_script_said_in_vain_fails() -> None:
    models = ScriptedModel(["text", {"reasons": [], "score": 1}, "never asked for"])
    with pytest.raises(AssertionError, match="1 turns of the script were never asked for"):
        Scenario(BRIEF, pools=[writer], models=models).on("sources", returns=[]).play({"topic": "x"})


def test_without_a_script_a_model_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")  # as on a developer's machine
    with pytest.raises(ScenarioFailed, match="no line answers a question to a model"):
        Scenario(BRIEF, pools=[writer]).on("sources", returns=[]).play({"topic": "x"})


def test_lines_answer_in_place_of_an_agent() -> None:
    played = (
        Scenario(BRIEF, pools=[writer])
        .on("sources", returns=[])
        .wrong_answer("draft", "dull")
        .judge("draft", score=0.1, reasons=["no source"])
        .on("draft", returns="better [1]")
        .judge("draft", score=1)
        .play({"topic": "x"})
    )
    assert isinstance(played.result, Succeeded)


def test_a_goal_is_planned_from_a_script_and_its_steps_are_played() -> None:
    draft = {
        "assessment": {"parts": 1, "sequential": True, "one_agent": 0.9},
        "steps": [{"id": "write", "pool": "writer", "task": "Write it."}],
    }
    goal = Supervisor(judge=None).goal("Write something.")
    models = ScriptedModel([json.dumps(draft), "It is written.", {"reasons": [], "score": 0.9}])
    played = Scenario(goal, pools=[writer], models=models).play()
    assert isinstance(played.result, Succeeded)
    assert played.result.output == "It is written."
    assert len(played.sub_plans) == 1
