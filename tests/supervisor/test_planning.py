"""A goal becomes a checked plan: its pattern, its constraints, its bounds, and everything in the journal."""

import pytest
from pydantic import BaseModel

from orchestrator import Budget, Failed, Judging, Plan, Succeeded, Supervisor, ladder
from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history
from orchestrator.core.story import story
from orchestrator.core.summary import summary
from orchestrator.engine.recovery import read_all
from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.model import Prompt
from orchestrator.supervisor.patterns import Measured
from orchestrator.testing.scripted import ScriptedModel
from tests.supervisor.house import (
    CONSTRAINTS,
    FAN_OUT,
    ONE,
    SEEN,
    Data,
    draft,
    facts,
    good,
    opened,
    plans,
    steps_of,
    task,
    use,
)

pytestmark = pytest.mark.anyio
CHAIN = draft(task("find"), task("sum", "analyst", uses=[use("found", "steps.find")]), sequential=True)


class Brief(BaseModel):
    """The form of an answer."""

    title: str


async def test_a_goal_is_planned_split_up_done_judged_and_answered_with_citations() -> None:
    async with ScriptedModel([FAN_OUT, good()], usd=0.01) as models, opened(models=models) as engine:
        run = await engine.submit(Supervisor(planner="strong").goal("Compare heat pumps"), budget=Budget(usd=2.0))
        result = await run.result()
        (chosen,) = await facts(engine, f.PatternChosen)
        (planned,) = await facts(engine, f.GoalPlanned)
        (drafted,) = await facts(engine, f.PlanDrafted)
        called = await facts(engine, f.ModelCalled)
        for one in (run.id, RunId(f"{run.id}.goal")):
            assert check_history(await read_all(engine.runs.journal, one)) == ()
        records = await read_all(engine.runs.journal, run.id)
        told = [line.text for line in story(records, "goal")]
        usage = summary(records)["usage"]
    assert isinstance(result, Succeeded)
    assert result.output == {
        "answer": "from eu, us, jp",
        "citations": {"eu": "what it says", "us": "what it says", "jp": "what it says"},
    }
    assert result.usage.usd == pytest.approx(0.02)
    assert usage == {"usd": pytest.approx(0.02), "tokens": result.usage.tokens, "calls": 2}
    assert (chosen.pattern, chosen.row) == ("fan_out", "independent_parts")
    assert (planned.steps, planned.tries, planned.usd_estimate) == (4, 1, 0.04)
    assert (drafted.number, drafted.accepted, drafted.errors) == (1, True, ())
    assert [(call.actor, call.step) for call in called] == [("planner", "goal"), ("judge", "answer")]
    assert (
        "the goal is worked on by agents beside each other: parts do not need each other (row independent_parts)"
        in (told[4].split(" [")[0])
    )
    assert told[6].startswith("the goal is planned after 1 draft: 4 steps")


async def test_constraints_reach_every_task_and_every_judge_and_the_planner() -> None:
    nested = draft(task("part"))
    outer = draft({"id": "deep", "goal": "the deep part"}, task("flat"))
    script = [outer, nested, good(), good()]
    async with ScriptedModel(script) as models:
        async with opened(models=models) as engine:
            goal = Supervisor().goal("Two parts", constraints=["Every figure carries a year"])
            assert isinstance(await (await engine.submit(goal)).result(), Succeeded)
            made = await plans(engine)
        prompts = models.prompts
    assert [plan["constraints"] for plan in made] == [["Every figure carries a year"]] * 2
    assert set(CONSTRAINTS) == {("Every figure carries a year",)}
    assert len(SEEN) == 3
    assert all("Every figure carries a year" in prompt.messages[1].content for prompt in prompts)


PATTERN_CASES = {
    "one_step": (ONE, "one_agent"),
    "sequential": (CHAIN, "chain"),
    "independent_parts": (FAN_OUT, "fan_out"),
    "deep": (draft({"id": "deep", "goal": "a part"}, task("flat")), "supervisors"),
}


@pytest.mark.parametrize("row", PATTERN_CASES)
async def test_the_form_of_the_work_decides_and_the_reason_is_journaled(row: str) -> None:
    plan, pattern = PATTERN_CASES[row]

    def answer(prompt: Prompt) -> Data:
        if "You judge" in prompt.messages[0].content:
            return good()
        return ONE if '"a part"' in prompt.messages[1].content else plan

    async with opened(models=ScriptedModel(answer)) as engine:
        assert isinstance(await (await engine.submit(Supervisor().goal("g"))).result(), Succeeded)
        chosen = (await facts(engine, f.PatternChosen))[0]
    assert (chosen.row, chosen.pattern) == (row, pattern)
    assert chosen.reason


SPLIT_FOR_NOTHING = {
    "sequential_one_pool": draft(task("a"), task("b", uses=[use("a", "steps.a")]), sequential=True),
    "strong_suffices": draft(task("a"), task("b"), one_agent=0.9),
}


@pytest.mark.parametrize("row", SPLIT_FOR_NOTHING)
async def test_work_that_one_agent_does_better_is_not_split_up(row: str) -> None:
    async with ScriptedModel([SPLIT_FOR_NOTHING[row], ONE, good()]) as models, opened(models=models) as engine:
        assert isinstance(await (await engine.submit(Supervisor().goal("g"))).result(), Succeeded)
        chosen = await facts(engine, f.PatternChosen)
        first, second = await facts(engine, f.PlanDrafted)
        (plan,) = await plans(engine)
    assert [(one.pattern, one.row) for one in chosen] == [("one_agent", row)]
    assert first.errors[0].startswith("the pattern is one_agent, because ")
    assert second.accepted
    assert list(steps_of(plan)) == ["all"]


async def test_what_a_host_has_measured_or_names_goes_before_the_table() -> None:
    measured = Measured(best={"parallel": "one_agent"}, source="own tasks, 2026-11")
    for host, row in ((Supervisor(measured=measured), "measured"), (Supervisor(pattern="one_agent"), "named")):
        async with (
            ScriptedModel([FAN_OUT, ONE, good()]) as models,
            opened(models=models, supervisor=host) as engine,
        ):
            assert isinstance(await (await engine.submit(host.goal("g"))).result(), Succeeded)
            (chosen,) = await facts(engine, f.PatternChosen)
        assert (chosen.pattern, chosen.row) == ("one_agent", row)


async def test_errors_go_back_to_the_planner_and_the_last_draft_counts() -> None:
    bad = draft(task("a", "nowhere"), task("b", uses=[use("x", "steps.c")]))
    async with ScriptedModel([bad, FAN_OUT, good()]) as models:
        async with opened(models=models) as engine:
            assert isinstance(await (await engine.submit(Supervisor().goal("g"))).result(), Succeeded)
            first, second = await facts(engine, f.PlanDrafted)
        handed_back = models.prompts[1].messages[-1].content
    assert first.errors == ("step a: pool nowhere is not allowed; allowed: analyst, research, tools, writer",)
    assert (second.number, second.accepted) == (2, True)
    assert "pool nowhere is not allowed" in handed_back


async def test_after_the_last_try_the_failure_tells_them_all_with_their_cost() -> None:
    async with (
        ScriptedModel([draft(task(f"x{at}", "nowhere")) for at in range(3)], usd=0.01) as models,
        opened(models=models) as engine,
    ):
        result = await (await engine.submit(Supervisor().goal("g"))).result()
        (failed,) = await facts(engine, f.AttemptFailed)
    assert isinstance(result, Failed)
    assert result.usage.usd == pytest.approx(0.03)
    assert failed.error == "planning"
    assert [f"step x{at}: pool nowhere is not allowed" in failed.message for at in range(3)] == [True] * 3


async def test_the_answer_has_the_form_that_the_goal_asks_for() -> None:
    def answer(prompt: Prompt) -> Data:
        return good() if "You judge" in prompt.messages[0].content else ONE

    async with opened(models=ScriptedModel(answer)) as engine:
        result = await (await engine.submit(Supervisor().goal("g", output=Brief))).result()
        (plan,) = await plans(engine)
    assert isinstance(result, Failed)  # this agent gives another form, and the gate does not let it through
    schema = steps_of(plan)["all"]["output"]
    assert isinstance(schema, dict)
    assert schema["required"] == ["title"]


REFUSED: dict[str, tuple[Supervisor, Supervisor]] = {
    "the host allows no pool tools": (Supervisor(pools=["research"]), Supervisor(pools=["tools"])),
    "the host allows no effect of tools.publish": (Supervisor(), Supervisor(effects=("tools.publish",))),
    "the host does not let plans ask people": (Supervisor(), Supervisor(people=True)),
}


@pytest.mark.parametrize("why", REFUSED)
async def test_a_goal_that_asks_for_more_than_the_host_allows_is_refused_at_its_start(why: str) -> None:
    host, asked = REFUSED[why]
    async with opened(models=ScriptedModel(), supervisor=host) as engine:
        with pytest.raises(PromiseError, match=why):
            await engine.submit(asked.goal("g"))


async def test_without_a_model_a_goal_is_refused_at_its_start() -> None:
    async with opened() as engine:
        with pytest.raises(PromiseError, match="step goal is a goal, and"):
            await engine.submit(Supervisor().goal("g"))


async def test_effects_and_people_are_planned_where_the_host_allows_them() -> None:
    host = Supervisor(effects=("tools.publish",), people=True)
    publish: Data = {
        "id": "out",
        "pool": "tools",
        "call": "publish",
        "uses": [use("text", "steps.write.text")],
        "effect": "brief",
    }
    plan = draft(task("write", fields=[{"name": "text", "type": "text"}]), publish, sequential=True)
    async with ScriptedModel([plan, good()]) as models, opened(models=models, supervisor=host) as engine:
        run = await engine.submit(host.goal("g"))
        assert isinstance(await run.result(), Succeeded)
    published = [args for _, what, args in SEEN if what == "publish"]
    assert published == [{"text": "done: do write", "key": f"{run.id}.goal/brief"}]


async def test_goals_inside_goals_share_the_budget_and_end_at_the_depth_allowed() -> None:
    deep: Data = {"id": "deep", "goal": "the part below"}

    def answer(prompt: Prompt) -> Data:
        if "You judge" in prompt.messages[0].content:
            return good()
        below = '"goal": "the part below"' in prompt.messages[1].content
        refused = any("no goal is allowed at this depth" in message.content for message in prompt.messages)
        return ONE if below and refused else draft(deep, task("flat"))

    async with opened(models=ScriptedModel(answer)) as engine:
        run = await engine.submit(Supervisor().goal("g"), budget=Budget(usd=1.0, tokens=200_000))
        assert isinstance(await run.result(), Succeeded)
        started = await facts(engine, f.ChildStarted)
        errors = [one.errors for one in await facts(engine, f.PlanDrafted)]
    assert [one.child for one in started] == [f"{run.id}.goal", f"{run.id}.goal.deep"]
    assert started[1].usd < started[0].usd
    assert [bool(one) for one in errors] == [False, True, False]
    assert errors[1] == ("step deep: no goal is allowed at this depth; write the steps",)


async def test_a_goal_step_in_a_written_plan_gets_data_and_a_share() -> None:
    with Plan("mixed") as p:
        first = p.task("research", "find it", id="first")
        sub = p.goal("Make sense of it", id="sense", with_={"found": first.output}, budget=Budget(usd=0.25))
        p.result(sub)
    plan = draft(task("read", uses=[use("found", "inputs.found")]))
    async with ScriptedModel([plan, good()]) as models:
        async with opened(models=models) as engine:
            result = await (await engine.submit(p.freeze())).result()
            (started,) = await facts(engine, f.ChildStarted)
        shown = models.prompts[0].messages[1].content
    assert isinstance(result, Succeeded)
    assert started.usd == 0.25
    assert SEEN[-1] == ("read", "do read", {"found": {"text": "done: find it"}})
    assert "done: find it" not in shown  # the planner learns the form of data, never what it says
    assert '"found": {\n   "text": "text of 13 characters"' in shown


async def test_without_a_judge_nothing_is_judged() -> None:
    host = Supervisor(judge=None)
    async with ScriptedModel([FAN_OUT]) as models, opened(models=models, supervisor=host) as engine:
        assert isinstance(await (await engine.submit(host.goal("g"))).result(), Succeeded)


async def test_judging_of_a_supervised_plan_is_the_hosts() -> None:
    host = Supervisor(judge=Judging(tier="cheap", pass_at=0.5, votes=3))
    async with (
        ScriptedModel({"strong": [FAN_OUT], "cheap": [good(0.4), good(0.6), good(0.9)]}) as models,
        opened(models=models, supervisor=host) as engine,
    ):
        assert isinstance(await (await engine.submit(host.goal("g"))).result(), Succeeded)
        verdicts = [one for one in await facts(engine, f.CheckVerdict) if one.name == "judge"]
    assert [(one.verdict, one.score) for one in verdicts] == [("pass", 0.6)]


CITATIONS: dict[str, tuple[JsonValue, str]] = {
    "a step that is not there": ({"answer": "x", "citations": {"mars": "y"}}, "Additional properties"),
    "no citation": ({"answer": "x", "citations": {}}, "{}"),
    "a step of which nothing passed": ({"answer": "x", "citations": {"us": "y"}}, "of which nothing has passed"),
}


@pytest.mark.parametrize("what", CITATIONS)
async def test_an_answer_that_cites_what_did_not_pass_is_refused_and_climbs(what: str) -> None:
    from workers import Pool, WorkContext

    output, why = CITATIONS[what]
    writer = Pool("author")
    tries: list[tuple[str, ...]] = []

    @writer.handler
    async def write(ctx: WorkContext, instruction: str, args: dict[str, JsonValue]) -> JsonValue:
        tries.append(ctx.reasons)
        return output if len(tries) == 1 else {"answer": "x", "citations": {"eu": "y"}}

    from tests.supervisor.house import pools

    plan = draft(task("eu"), task("us", text="impossible", optional=True), closing={"pool": "author", "task": "write"})
    give_up: Data = {"reason": "there is no other way", "ops": []}
    async with (
        ScriptedModel([plan, give_up, good()]) as models,
        opened(models=models, pools=[*pools(), writer]) as engine,
    ):
        result = await (await engine.submit(Supervisor().goal("g"))).result()
    assert result.output == {"answer": "x", "citations": {"eu": "y"}}  # type: ignore[union-attr]  # degraded
    assert len(tries) == 2
    assert why in " ".join(tries[1])


async def test_each_branch_of_a_mapped_goal_gets_a_plan_and_a_share_of_its_own() -> None:
    with Plan("mapped") as p:
        p.result(p.goal("Look at the region", id="look", with_={"region": p.item}, over=["eu", "us", "jp"]))

    def answer(prompt: Prompt) -> Data:
        return draft(task("read", uses=[use("region", "inputs.region")]))

    host = Supervisor(judge=None)
    async with opened(models=ScriptedModel(answer), supervisor=host) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        started = await facts(engine, f.ChildStarted)
        assert check_history(await read_all(engine.runs.journal, run.id)) == ()
    assert isinstance(result, Succeeded)
    assert result.output == [{"text": "done: do read"}] * 3
    assert sorted(one.child for one in started) == [f"{run.id}.look[{at}]" for at in range(3)]
    assert started[0].usd == pytest.approx(1 / 3), "whichever had its plan first"
    # One whose plan comes when others have ended, and given back what they did not use, has a part of that too.
    assert all(one.usd in (pytest.approx(1 / 3), pytest.approx(1 / 2), pytest.approx(1.0)) for one in started)
    assert sorted(str(args) for _, _, args in SEEN) == sorted(str({"region": name}) for name in ("eu", "us", "jp"))


async def test_a_goal_whose_plan_came_to_nothing_is_planned_anew_and_told_why() -> None:
    with Plan("again") as p:
        goal = p.goal("Reach it", id="reach", on_fail=[ladder.retry(1)])
        p.result(goal)
    poor, rich = draft(task("a", text="impossible")), draft(task("b"))
    give_up: Data = {"reason": "no other way", "ops": []}
    host = Supervisor(judge=None)
    async with ScriptedModel([poor, give_up, rich]) as models, opened(models=models, supervisor=host) as engine:
        run = await engine.submit(p.freeze())
        assert isinstance(await run.result(), Succeeded)
        planned = await facts(engine, f.GoalPlanned)
        shown = models.prompts[-1].messages[1].content
        assert check_history(await read_all(engine.runs.journal, run.id)) == ()
    assert [one.attempt for one in planned] == [1, 2]
    assert "data_why_the_plan_before_failed" in shown
    assert "it cannot be done" in shown
