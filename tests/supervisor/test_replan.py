"""A step that fails for good is replaced by a patch; what is finished stays; the story says what happened and why."""

import pytest

from orchestrator import Budget, Degraded, Failed, Succeeded, Supervisor
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
FIX: Data = {"op": "replace", "id": "bad", "step": task("bad", "analyst", "do it another way")}


def patch(*ops: JsonValue, reason: str = "that source is gone; the analyst can work it out") -> Data:
    """A patch as a model writes it."""
    return {"reason": reason, "ops": list(ops)}


def failing_plan(scope: str = "downstream") -> FrozenPlan:
    """A step between two others that can never be done."""
    step: Data = {
        "pool": "research",
        "task": "impossible",
        "needs": ["first"],
        "on_fail": [{"retry": 1}, {"replan": scope}],
    }
    return FrozenPlan.model_validate(
        {
            "name": "failing",
            "steps": {
                "first": {"pool": "research", "task": "find it"},
                "bad": step,
                "last": {"pool": "writer", "task": "write it up", "with": {"bad": "${{ steps.bad.output }}"}},
            },
            "result": "${{ steps.last.output }}",
        }
    )


async def test_the_failed_step_is_replaced_finished_ones_stay_and_the_story_reads_well() -> None:
    async with ScriptedModel([patch(FIX)], usd=0.02) as models, opened(models=models) as engine:
        run = await engine.submit(failing_plan())
        result = await run.result()
        passed = [fact.step for fact in await facts(engine, f.StepPassed)]
        (patched,) = await facts(engine, f.PlanPatched)
        (drafted,) = await facts(engine, f.PlanDrafted)
        records = await read_all(engine.runs.journal, run.id)
        told = [line.text for line in story(records, "bad")]
        outline = [line.text for line in story(records)]
    assert isinstance(result, Succeeded)
    assert result.usage.usd == pytest.approx(0.02)
    assert passed == ["first", "bad", "last"]
    assert [step for step, _, _ in SEEN] == ["first", "bad", "bad", "bad", "last"]  # two tries, then the new one
    assert (patched.author, patched.asked_by) == ("supervisor", "bad")
    assert (drafted.purpose, drafted.accepted) == ("patch", True)
    assert check_history(records) == ()
    kept = [line for line in told if not line.startswith(("check", "set aside", "model", "a worker", "an output"))]
    assert [line.split(";")[0] for line in kept[kept.index("the planner is asked for a new plan from here on") :]] == [
        "the planner is asked for a new plan from here on",
        "draft 1 of a patch by tier strong is in order",
        "the plan was changed by supervisor, asked for by bad: that source is gone",
        "attempt 3 sent to pool analyst",
        kept[-2],
        kept[-1],
    ]
    assert (
        "the plan was changed by supervisor, asked for by bad: that source is gone; the analyst can work it out"
        in outline
    )


MANY: list[JsonValue] = [{"op": "add", "id": f"n{at}", "step": task(f"n{at}")} for at in range(90)]
REFUSED: dict[str, tuple[Data, str]] = {
    "the same again": (patch({"op": "retry", "id": "bad"}), "nothing changes for bad"),
    "the same in other words": (
        patch({"op": "add", "id": "new", "step": task("new")}),
        "nothing changes for bad",
    ),
    "a step that has passed": (patch({"op": "drop", "id": "first"}, FIX), "neither bad nor after it"),
    "a cycle": (
        patch(FIX, {"op": "replace", "id": "bad", "step": task("bad", uses=[use("x", "steps.last")])}),
        "wait for each other",
    ),
    "a drop that leaves a reader behind": (patch({"op": "drop", "id": "bad"}), "bad"),
    "an unknown pool": (patch({"op": "replace", "id": "bad", "step": task("bad", "root")}), "not allowed"),
    "an effect": (
        patch(
            {
                "op": "replace",
                "id": "bad",
                "step": {"id": "bad", "pool": "tools", "call": "publish", "values": [{"name": "text", "value": "x"}]},
            }
        ),
        "effects outside",
    ),
    "a step of another name": (patch({"op": "replace", "id": "bad", "step": task("other")}), "its step is called"),
    "an operation without its step": (patch({"op": "replace", "id": "bad"}), "it needs a step"),
    "90 new steps": (
        patch(*MANY, FIX, reason="more"),
        "at most",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_patch_that_changes_nothing_or_too_much_is_refused_and_told_so(what: str) -> None:
    wrong, why = REFUSED[what]
    async with ScriptedModel([wrong, patch(FIX)]) as models, opened(models=models) as engine:
        assert isinstance(await (await engine.submit(failing_plan())).result(), Succeeded)
        first, second = await facts(engine, f.PlanDrafted)
    assert why in " ".join(first.errors)
    assert second.accepted


async def test_a_model_that_never_does_better_is_asked_no_more_than_its_tries() -> None:
    async with ScriptedModel([REFUSED["the same again"][0]] * 3, usd=0.01) as models, opened(models=models) as engine:
        result = await (await engine.submit(failing_plan())).result()
        (refused,) = await facts(engine, f.ReplanRefused)
    assert isinstance(result, Failed)
    assert result.usage.usd == pytest.approx(0.03)
    assert refused.reason.startswith("no plan in order after 3 drafts")


async def test_giving_up_is_an_answer_and_the_next_rung_follows() -> None:
    async with ScriptedModel([patch(reason="nothing helps")]) as models, opened(models=models) as engine:
        assert isinstance(await (await engine.submit(failing_plan())).result(), Failed)
        (refused,) = await facts(engine, f.ReplanRefused)
    assert refused.reason == "the planner has none"


async def test_with_the_scope_of_a_step_nothing_else_may_change() -> None:
    other: Data = {"op": "replace", "id": "last", "step": task("last", "writer", uses=[use("x", "steps.first")])}
    async with ScriptedModel([patch(FIX, other), patch(FIX)]) as models, opened(models=models) as engine:
        assert isinstance(await (await engine.submit(failing_plan("step"))).result(), Succeeded)
        first, _ = await facts(engine, f.PlanDrafted)
    assert first.errors == ("replace last: only bad may change",)


async def test_replans_of_one_run_are_bounded() -> None:
    still: list[Data] = [
        patch({"op": "replace", "id": "bad", "step": task("bad", text=f"impossible, way {at}")}) for at in range(3)
    ]
    async with ScriptedModel(still) as models, opened(models=models) as engine:
        result = await (await engine.submit(failing_plan())).result()
        patched = await facts(engine, f.PlanPatched)
    assert isinstance(result, Failed)
    assert len(patched) == 3  # REPLANS_MAX


async def test_a_step_in_the_place_of_another_keeps_its_checks_and_its_form() -> None:
    data = failing_plan().canonical()
    steps = data["steps"]
    assert isinstance(steps, dict)
    bad = steps["bad"]
    assert isinstance(bad, dict)
    bad["checks"] = [{"rule": "len(output.text) > 3"}, {"judge": {"rubric": "It is careful"}}]
    bad["output"] = {"type": "object", "required": ["text"]}
    plan = FrozenPlan.model_validate(data)
    async with ScriptedModel([patch(FIX), good()]) as models, opened(models=models) as engine:
        assert isinstance(await (await engine.submit(plan)).result(), Succeeded)
        verdicts = [(one.name, one.verdict) for one in await facts(engine, f.CheckVerdict) if one.step == "bad"]
    assert verdicts == [("schema", "pass"), ("rule", "pass"), ("judge", "pass")]


async def test_a_supervised_plan_is_replanned_within_the_rules_of_its_goal() -> None:
    planned = draft(task("a"), task("b", text="impossible"))
    strange = patch({"op": "replace", "id": "b", "step": task("b", "analyst")})
    mended = patch({"op": "replace", "id": "b", "step": task("b", "research", "possible")})

    def answer(prompt: Prompt) -> Data:
        if "You judge" in prompt.messages[0].content:
            return good()
        if "You plan" in prompt.messages[0].content:
            return planned
        return mended if any("was refused" in message.content for message in prompt.messages) else strange

    goal = Supervisor(pools=["research", "writer"]).goal("g")
    async with opened(models=ScriptedModel(answer)) as engine:
        result = await (await engine.submit(goal)).result()
        drafts = [one for one in await facts(engine, f.PlanDrafted) if one.purpose == "patch"]
    assert isinstance(result, Succeeded)
    assert drafts[0].errors == ("step b: pool analyst is not allowed; allowed: research, writer",)
    assert drafts[1].accepted


async def test_a_budget_that_has_no_room_for_a_patch_ends_the_run_as_its_policy_says() -> None:
    async with ScriptedModel([], usd=0.5) as models, opened(models=models) as engine:
        models._turns.append(patch(FIX))
        result = await (await engine.submit(failing_plan(), budget=Budget(usd=0.1))).result()
        (refused,) = await facts(engine, f.ReplanRefused)
        models._turns.clear()
    assert not isinstance(result, Succeeded | Degraded)
    assert refused.reason == "budget usd: asked for 0.5, 0.1 left"
