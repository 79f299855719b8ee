"""What a run is told once at its start: the conversation it belongs to, and the tier that a step leaves open."""

from dataclasses import replace

import pytest

from orchestrator.core import facts as f
from orchestrator.core.route import RouteAnswer, RouteQuestion
from orchestrator.core.story import story
from orchestrator.errors import IllegalTransition
from orchestrator.ids import StepId
from tests.core.bench import Bench, plan_of

TALK = f.SessionPinned(at_s=0.0, session="anna", version=3, view={"summary": "before", "turns": []})
SAYS = plan_of({"a": {"with": {"x": "${{ session.summary }}"}}})


def test_a_run_sees_its_conversation_as_it_stood_when_it_was_accepted() -> None:
    bench = Bench(SAYS, start=False)
    bench.tell(bench.accepted)
    assert bench.tell(TALK) == ["session.pinned"]
    assert bench.tell(replace(TALK, version=4)) == []  # once and for all
    bench.tell(bench.frozen)
    assert [one.args for one in bench.dispatches()] == [{"x": "before"}]
    assert bench.tell(replace(TALK, version=5)) == []

    told = [line.text for line in story(bench.all)]
    assert "it belongs to session anna, which it sees as of version 3" in told


def test_nobody_has_a_conversation_before_the_run_exists() -> None:
    bench = Bench(SAYS, start=False)

    with pytest.raises(IllegalTransition):
        bench.machine.handle(TALK)


def routed(answer: RouteAnswer | None, asked: list[RouteQuestion]) -> Bench:
    bench = Bench(plan_of({"a": {"task": "Do it", "with": {"x": 1}, "model": {"tier": "auto"}}}), start=False)

    def route(question: RouteQuestion) -> RouteAnswer | None:
        asked.append(question)
        return answer

    bench.machine.route_by(route)
    bench.tell(bench.accepted)
    bench.tell(bench.frozen)
    return bench


def test_the_tier_that_a_step_leaves_open_is_chosen_once_and_kept() -> None:
    asked: list[RouteQuestion] = []
    bench = routed(RouteAnswer(tier="cheap", advised="cheap", by="rule", reason="it is short"), asked)

    assert [question.text for question in asked] == ['Do it\n{"x":1}']
    assert [one.tier for one in bench.dispatches()] == ["cheap"]
    bench.fail("a", "lost")
    assert len(asked) == 1
    assert RouteQuestion(asked=None, pool="w", kind="task", instruction="Do it").text == "Do it"


def test_where_routing_has_no_word_the_step_runs_as_the_plan_says() -> None:
    asked: list[RouteQuestion] = []

    assert len(routed(None, asked).dispatches()) == 1
    assert len(asked) == 1


def test_an_open_tier_without_routing_fails_the_step() -> None:
    bench = Bench(plan_of({"a": {"model": {"tier": "auto"}}}))

    assert bench.ended.status == "failed"


def test_an_answer_that_was_kept_is_told_as_such() -> None:
    bench = Bench(plan_of({"a": {}}))
    bench.tell(
        f.ModelCalled(
            at_s=0.0, step=StepId("a"), attempt=1, model="m", outcome="ok", usd=0.0, tokens_in=0, tokens_out=0,
            charge="c", served="exact", entry="e",
        )
    )  # fmt: skip

    assert any("a kept answer of model m" in line.text for line in story(bench.all, "a"))
