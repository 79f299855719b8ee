"""Planners and judges: applied, refused, broken, silent, and dropped when nobody waits any more."""

from collections.abc import Callable

import anyio
import pytest

from orchestrator import Degraded, Failed, FrozenPlan, Plan, Succeeded, checks, ladder
from orchestrator.core import facts as f
from orchestrator.ids import JsonValue
from orchestrator.plan.patch import Patch
from orchestrator.ports.checker import Judgement, JudgeRequest
from orchestrator.ports.planner import ReplanRequest
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import facts_of, kinds_of, pool_of, until, virtual
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio
SEEN: list[str] = []


async def grow(ctx: WorkContext, x: int) -> int:
    """One more; 13 brings bad luck."""
    SEEN.append(str(ctx.step_id) if ctx.branch is None else f"{ctx.step_id}[{ctx.branch}]")
    if x == 13:
        raise ValueError("bad luck")
    return x + 1


@pytest.fixture
def pool() -> Pool:
    """Built first: plans name its functions."""
    SEEN.clear()
    return pool_of(grow)


def patch_of(plan: FrozenPlan, *ops: dict[str, JsonValue]) -> Patch:
    """A patch on a plan."""
    return Patch.model_validate({"patch": 1, "base": plan.digest, "author": "anna", "reason": "better", "ops": ops})


def call(x: JsonValue, **more: JsonValue) -> dict[str, JsonValue]:
    """A step that grows x."""
    return {"pool": "p", "call": "grow", "with": {"x": x}, **more}


# ---- planners


class Planner:
    """Answers by a script."""

    def __init__(self, *answers: Callable[[ReplanRequest], Patch | None]) -> None:
        self.answers = list(answers)
        self.asked: list[ReplanRequest] = []

    async def replan(self, request: ReplanRequest) -> Patch | None:
        """The next answer."""
        self.asked.append(request)
        return self.answers.pop(0)(request)


def replanning() -> FrozenPlan:
    """A step whose ladder asks the planner, and then is content with a gap."""
    with Plan("replanning") as p:
        first = p.step(grow, id="first", x=1)
        bad = p.step(grow, id="bad", x=13, needs=[first], on_fail=[ladder.replan("step"), ladder.gap()])
        p.step(grow, id="after", x=1, needs=[bad])
        p.result(first)
    return p.freeze()


def mended(request: ReplanRequest) -> Patch:
    """A patch that helps."""
    return patch_of(request.plan, {"replace": {"id": "bad", "step": call(12, needs=["first"])}})


def raising(request: ReplanRequest) -> Patch:
    """A planner that breaks."""
    raise RuntimeError("no idea")


async def test_a_patch_of_the_planner_is_applied_and_journaled(open_engine: OpenEngine, pool: Pool) -> None:
    planner = Planner(mended)
    async with open_engine(pool, planner=planner) as engine:
        run = await engine.submit(replanning())
        result = await run.result()
        passed = [fact.step for fact in await facts_of(run, f.StepPassed)]
        patched = await facts_of(run, f.PlanPatched)
    assert result == Succeeded(run_id=run.id, output=2, usage=result.usage)
    assert passed == ["first", "bad", "after"]
    assert [(fact.asked_by, fact.author) for fact in patched] == [("bad", "anna")]
    (request,) = planner.asked
    assert (request.step, request.scope, request.locked) == ("bad", "step", frozenset({"first"}))
    assert request.statuses == {"first": "passed", "bad": "running", "after": "pending"}
    assert request.reasons[0].startswith("worker: ValueError: bad luck")


REFUSALS = {
    "the planner has none": lambda request: None,
    "RuntimeError: no idea": raising,
    "step 'first' has passed or is running, and cannot change": lambda request: patch_of(
        request.plan, {"drop": {"id": "first"}}
    ),
    "there is no pool `strangers`": lambda request: patch_of(
        request.plan, {"replace": {"id": "bad", "step": {**call(12), "pool": "strangers"}}}
    ),
    "step bad has a judge check": lambda request: patch_of(
        request.plan, {"replace": {"id": "bad", "step": call(12, checks=[{"judge": {"rubric": "good"}}])}}
    ),
}


@pytest.mark.parametrize("why", REFUSALS)
async def test_a_patch_that_is_not_there_or_not_valid_is_a_refusal_and_the_next_rung_follows(
    open_engine: OpenEngine, pool: Pool, why: str
) -> None:
    async with open_engine(pool, planner=Planner(REFUSALS[why])) as engine:
        run = await engine.submit(replanning())
        result = await run.result()
        refused = await facts_of(run, f.ReplanRefused)
        kinds = await kinds_of(run)
    assert isinstance(result, Degraded)
    assert (result.output, [gap.step for gap in result.gaps]) == (2, ["bad"])
    assert len(refused) == 1
    assert "plan.patched" not in kinds
    assert why in refused[0].reason


@virtual
async def test_a_planner_that_never_answers_is_a_refusal_after_the_time_of_an_attempt(
    open_engine: OpenEngine, pool: Pool
) -> None:
    class Silent:
        async def replan(self, request: ReplanRequest) -> Patch | None:
            await anyio.sleep_forever()
            return None

    async with open_engine(pool, planner=Silent()) as engine:
        run = await engine.submit(replanning())
        assert isinstance(await run.result_or_waiting(), Degraded)  # asking a planner is not waiting for a person
        assert [fact.reason for fact in await facts_of(run, f.ReplanRefused)] == ["the planner did not answer in time"]


# ---- judges


class Judge:
    """Answers by a script; None: never."""

    def __init__(self, *answers: Judgement | Exception | None) -> None:
        self.answers = list(answers)
        self.asked: list[JudgeRequest] = []

    async def judge(self, request: JudgeRequest) -> Judgement:
        """The next answer."""
        self.asked.append(request)
        answer = self.answers.pop(0)
        if answer is None:
            await anyio.sleep_forever()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer


def judged() -> FrozenPlan:
    """One judged step."""
    with Plan("judged", constraints=["Be brief"]) as p:
        p.result(
            p.step(grow, id="a", x=1, checks=[checks.judge("Is it good?", pass_at=0.5)], on_fail=[ladder.retry(1)])
        )
    return p.freeze()


PASS = Judgement(verdict="pass", score=0.9, usd=0.01, tokens=7)
BROKEN = [None, RuntimeError("no model"), Judgement(verdict="check_broken", reasons=("no model",))]


async def test_a_judge_sees_task_inputs_constraints_and_output_and_is_paid(open_engine: OpenEngine, pool: Pool) -> None:
    judge = Judge(PASS)
    async with open_engine(pool, checker=judge) as engine:
        run = await engine.submit(judged())
        result = await run.result()
        verdict = (await facts_of(run, f.CheckVerdict))[-1]
    assert result == Succeeded(run_id=run.id, output=2, usage=result.usage)
    assert (result.usage.usd, result.usage.tokens) == (0.01, 7)
    assert (verdict.name, verdict.verdict, verdict.score) == ("judge", "pass", 0.9)
    (request,) = judge.asked
    assert (request.args, request.constraints, request.output, request.rubric, request.pass_at) == (
        {"x": 1},
        ("Be brief",),
        2,
        "Is it good?",
        0.5,
    )


@virtual
@pytest.mark.parametrize("verdict", ["fix", "reject"])
async def test_what_a_judge_refuses_is_not_read(open_engine: OpenEngine, pool: Pool, verdict: str) -> None:
    no = Judgement(verdict=verdict, reasons=("too dull",))  # type: ignore[arg-type]  # a verdict
    async with open_engine(pool, checker=Judge(no, no)) as engine:
        result = await (await engine.submit(judged())).result()
    assert isinstance(result, Failed)
    assert result.cause == "a: too dull"
    assert (["a", "a"] if verdict == "fix" else ["a"]) == SEEN


@virtual
@pytest.mark.parametrize("answer", BROKEN, ids=["silent", "raises", "broken"])
async def test_a_judge_that_breaks_is_asked_again_and_never_passes_anything(
    open_engine: OpenEngine, pool: Pool, answer: Judgement | Exception | None
) -> None:
    async with open_engine(pool, checker=Judge(answer, PASS)) as engine:
        assert isinstance(await (await engine.submit(judged())).result(), Succeeded)
    judge = Judge(*[answer] * 6)
    async with open_engine(pool, checker=judge) as engine:
        result = await (await engine.submit(judged())).result()
    assert isinstance(result, Failed)
    assert result.cause.endswith("the judge check broke 3 times")
    assert len(judge.asked) == (3 if answer is None else 6)  # silence uses up the step's time


@virtual
async def test_cancelling_drops_the_question_to_a_judge(open_engine: OpenEngine, pool: Pool) -> None:
    async with open_engine(pool, checker=Judge(None)) as engine:
        run = await engine.submit(judged())
        await until(run, f.StepProduced)
        await anyio.sleep(1.0)
        (driver,) = engine.runs.drivers()
        assert len(driver.asking) == 1
        await run.cancel()
        await run.result()
        assert not driver.asking
