"""plans/research-brief.plan.yaml over the real documents: an invented source is refused, a real one passes."""

import json

import pytest

from orchestrator import Degraded, Succeeded
from orchestrator.ids import JsonValue
from orchestrator.testing.scenario import Scenario
from orchestrator.testing.scripted import Says, ScriptedModel
from tests.ask.conftest import FIXTURES, ROOT, aimock, environment
from tests.ask.stand_in import stand_in
from tests.cli.conftest import Shell
from workers.kinds.research import research_pool
from workers.kinds.writer import writer

PLAN = ROOT / "plans" / "research-brief.plan.yaml"
QUESTIONS = ["How does it work?", "What are its limits?"]


def found(text: str, document: str) -> JsonValue:
    return {"statements": [{"text": text, "document": document}]}


def searched(words: str) -> Says:
    return Says(tools=(("search_documents", {"query": words, "limit": 3}),))


def test_with_a_scripted_model_an_invented_document_is_refused() -> None:
    brief = {
        "text": "Facts go to a fresh machine after a crash, says ARCHITECTURE.md.",
        "documents": ["ARCHITECTURE.md"],
    }
    models = ScriptedModel(
        {
            "standard": [
                searched("epoch machine outstanding"),
                found("Facts are fed to a fresh machine.", "recovery-handbook.md"),
                searched("epoch machine outstanding"),
                found("Facts are fed to a fresh machine.", "ARCHITECTURE.md"),
                brief,  # type: ignore[list-item]  # data of an answer
            ],
            "strong": [{"reasons": [], "score": 0.9}],
        }
    )
    played = Scenario(PLAN, pools=[research_pool("research", str(ROOT / "docs")), writer], models=models).play(
        {"topic": "crash recovery", "questions": ["How does it work?"]}
    )
    assert isinstance(played.result, Succeeded)
    assert played.result.output == brief
    [refused] = [line for line in played.why("findings") if "recovery-handbook.md" in line]
    assert "grounded" in refused


def test_what_cannot_be_answered_is_a_gap_that_the_brief_is_told_of() -> None:
    brief = {"text": "Only how it works is known; its limits are not answered.", "documents": ["ARCHITECTURE.md"]}
    read = {"search_documents": [{"document": "ARCHITECTURE.md"}]}
    played = (
        Scenario(PLAN)
        .on("findings", branch=0, returns=found("Facts are fed to a fresh machine.", "ARCHITECTURE.md"), tools=read)
        .wrong_answer("findings", found("It never ends.", "nowhere.md"), branch=1, times=3, tools=read)
        .on("brief", returns=brief)
        .judge("brief", score=0.9)
        .play({"topic": "crash recovery", "questions": QUESTIONS})
    )
    assert isinstance(played.result, Degraded)
    assert played.result.output == brief
    [told] = played.calls_of("brief")
    assert [gap["index"] for gap in told.args["unanswered"]] == [1]  # type: ignore[union-attr, call-overload, index]  # JSON


@pytest.mark.parametrize("server", ["own", pytest.param("aimock", marks=pytest.mark.node)])
def test_through_the_command_and_a_server_of_answers(shell: Shell, server: str, request: pytest.FixtureRequest) -> None:
    fixtures = FIXTURES / "brief.json"
    made = stand_in(fixtures) if server == "own" else aimock(request.getfixturevalue("llmock"), fixtures)
    with made as at:
        told = shell(
            "run", PLAN, "--json", "-i", "topic=crash recovery", "-i", f"questions={json.dumps(QUESTIONS)}",
            **environment(at.url),
        )  # fmt: skip
    document = told.json
    assert document["status"] == "succeeded"
    assert document["output"]["documents"] == ["ARCHITECTURE.md"]
    assert document["steps"]["findings"]["attempts"] == 2
    assert "recovery-handbook.md" in "".join(
        shell("why", document["run"], f"findings[{branch}]").out for branch in (0, 1)
    )
    assert document["usage"]["usd"] > 0
