"""An output that is news: the supervisor may change what has not begun, before anything reads it."""

import pytest

from orchestrator import Budget, Stopped, Succeeded, Supervisor
from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history
from orchestrator.core.story import story
from orchestrator.engine.recovery import read_all
from orchestrator.ids import JsonValue
from orchestrator.plan.models import Plan as FrozenPlan
from orchestrator.ports.model import Prompt
from orchestrator.testing.scripted import ScriptedModel
from tests.supervisor.house import SEEN, Data, draft, facts, good, opened, task, use

pytestmark = pytest.mark.anyio
OTHER: Data = {
    "op": "replace",
    "id": "last",
    "step": task("last", "analyst", "count it again", uses=[use("first", "steps.first")]),
}


def patch(*ops: JsonValue, reason: str = "the market is not what we thought") -> Data:
    return {"reason": reason, "ops": list(ops)}


def plan(replan_if: str = "len(output.text) > 0") -> FrozenPlan:
    return FrozenPlan.model_validate(
        {
            "name": "news",
            "steps": {
                "first": {"pool": "research", "task": "find it", "replan_if": replan_if},
                "last": {"pool": "writer", "task": "write it", "with": {"first": "${{ steps.first.output }}"}},
            },
            "result": "${{ steps.last.output }}",
        }
    )


async def test_what_has_not_begun_changes_before_the_news_is_read() -> None:
    asked: list[Prompt] = []

    def answer(prompt: Prompt) -> Data:
        asked.append(prompt)
        return patch(OTHER)

    async with opened(models=ScriptedModel(answer)) as engine:
        run = await engine.submit(plan())
        result = await run.result()
        (patched,) = await facts(engine, f.PlanPatched)
        records = await read_all(engine.runs.journal, run.id)
        told = [line.text for line in story(records, "first")]
    assert isinstance(result, Succeeded)
    assert [(step, told) for step, told, _ in SEEN] == [("first", "find it"), ("last", "count it again")]
    assert (patched.author, patched.asked_by) == ("supervisor", "first")
    assert check_history(records) == ()
    kinds = [record.fact.KIND for record in records]
    assert kinds.index("plan.patched") < kinds.index("step.passed")
    assert "its output is news: the planner is asked whether what comes after should change" in told
    (prompt,) = asked
    assert '"step_with_news": "first"' in prompt.messages[1].content
    assert "data_news" in prompt.messages[1].content


async def test_a_plan_that_is_still_right_goes_on() -> None:
    async with ScriptedModel([patch(reason="it is still right")]) as models, opened(models=models) as engine:
        assert isinstance(await (await engine.submit(plan())).result(), Succeeded)
        (refused,) = await facts(engine, f.ReplanRefused)
        assert await facts(engine, f.PlanPatched) == []
    assert refused.reason == "the planner has none"
    assert [step for step, _, _ in SEEN] == ["first", "last"]


async def test_no_news_asks_nobody() -> None:
    async with ScriptedModel([]) as models, opened(models=models) as engine:
        assert isinstance(await (await engine.submit(plan("len(output.text) > 9000"))).result(), Succeeded)
        assert await facts(engine, f.ReplanAsked) == []


@pytest.mark.parametrize(
    ("op", "why"),
    [
        ({"op": "replace", "id": "first", "step": task("first")}, "replace first: it is not after it"),
        ({"op": "retry", "id": "last"}, "nothing changes: give no operations where the plan is still right"),
        ({"op": "replace", "id": "last", "step": task("last", "root")}, "not allowed"),
    ],
)
async def test_the_step_stays_and_a_patch_must_change_what_comes_after(op: Data, why: str) -> None:
    async with ScriptedModel([patch(op), patch(OTHER)]) as models, opened(models=models) as engine:
        assert isinstance(await (await engine.submit(plan())).result(), Succeeded)
        first, second = await facts(engine, f.PlanDrafted)
    assert why in " ".join(first.errors)
    assert second.accepted


async def test_a_budget_without_room_for_the_question_ends_the_run_and_keeps_the_output() -> None:
    async with ScriptedModel([], usd=0.5) as models, opened(models=models) as engine:
        models._turns.append(patch(OTHER))
        result = await (await engine.submit(plan(), budget=Budget(usd=0.1))).result()
        assert isinstance(result, Stopped)
        assert result.partial == {"first": {"text": "done: find it"}}
        (refused,) = await facts(engine, f.ReplanRefused)
        models._turns.clear()
    assert refused.reason == "budget usd: asked for 0.5, 0.1 left"


async def test_a_planner_may_ask_to_be_asked_again() -> None:
    """The plan of a goal names what would be news; the patch stays within the rules of the goal."""
    planned = draft(task("a", news="len(output.text) > 0"), task("b", after=["a"]))
    mended = patch({"op": "replace", "id": "b", "step": task("b", "research", "look at it again", after=["a"])})
    asked: list[str] = []

    def answer(prompt: Prompt) -> Data:
        system = prompt.messages[0].content
        asked.append("judge" if "You judge" in system else "plan" if "You plan" in system else "news")
        return {"judge": good(), "plan": planned, "news": mended}[asked[-1]]

    async with opened(models=ScriptedModel(answer)) as engine:
        result = await (
            await engine.submit(Supervisor(pools=["research", "writer"], pattern="chain").goal("g"))
        ).result()
        told = [fact.scope for fact in await facts(engine, f.ReplanAsked)]
    assert isinstance(result, Succeeded)
    assert told == ["news"]
    assert "look at it again" in [text for _, text, _ in SEEN]
