"""What people do to runs: answer, quarantine, patch, retry, fork."""

from contextlib import suppress

import anyio
import pytest

from orchestrator import Degraded, Failed, FrozenPlan, Plan, Succeeded, checks, ladder
from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core import facts as f
from orchestrator.core.inputs import Input
from orchestrator.engine.doubts import LATE
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.handle import Run
from orchestrator.engine.operations import Operations
from orchestrator.engine.submission import Request
from orchestrator.errors import InputError, PlanError, PromiseError, RunNotFound, WrongState
from orchestrator.ids import JsonValue, RunId
from orchestrator.plan.patch import Patch
from orchestrator.ports.journal import RunQuery
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import facts_of, pool_of, virtual
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio
SEEN: list[str] = []


async def grow(ctx: WorkContext, x: int) -> int:
    """One more; 13 brings bad luck."""
    SEEN.append(str(ctx.step_id) if ctx.branch is None else f"{ctx.step_id}[{ctx.branch}]")
    if x == 13:
        raise ValueError("bad luck")
    return x + 1


async def total(ctx: WorkContext, xs: list[int]) -> int:
    """The sum."""
    SEEN.append(str(ctx.step_id))
    return sum(xs)


async def wait(ctx: WorkContext, x: int) -> int:
    """Take a minute."""
    SEEN.append(str(ctx.step_id))
    await anyio.sleep(60.0)
    return x


@pytest.fixture
def pool() -> Pool:
    """Built first: plans name its functions."""
    SEEN.clear()
    return pool_of(grow, total, wait)


def patch_of(plan: FrozenPlan, *ops: dict[str, JsonValue]) -> Patch:
    """A patch on a plan."""
    return Patch.model_validate({"patch": 1, "base": plan.digest, "author": "anna", "reason": "better", "ops": ops})


def call(x: JsonValue, **more: JsonValue) -> dict[str, JsonValue]:
    """A step that grows x."""
    return {"pool": "p", "call": "grow", "with": {"x": x}, **more}


# ---- answers


async def test_only_what_is_asked_can_be_answered_and_the_error_says_what_is(
    open_engine: OpenEngine, pool: Pool
) -> None:
    with Plan("asking") as p:
        said = p.human("said", ask="Publish?", choices=["publish", "hold"])
        p.human("many", ask="And you?", choices=["yes"], over=["a", "b"])
        p.result(said.output)
    async with open_engine(pool) as engine:
        run, operations = await engine.submit(p.freeze()), Operations(engine.runs)
        assert await run.result_or_waiting() is None
        assert [(q.step, q.subject, q.ask) for q in await operations.approvals()] == [
            ("said", "step", "Publish?"),
            ("many[0]", "step", "And you?"),
            ("many[1]", "step", "And you?"),
        ]
        for step, choice, message in (
            ("sayd", "publish", "open questions: said, many[0], many[1]"),
            ("many", "yes", "open questions: said, many[0], many[1]"),
            ("many[2]", "yes", "no question is open there"),
            ("said", "burn", "choose one of publish, hold"),
        ):
            with pytest.raises(WrongState) as caught:
                await operations.approve(run.id, step, choice)
            assert message in str(caught.value)
        for step, choice in (("many[1]", "yes"), ("many[0]", "yes"), ("said", "hold")):
            await operations.approve(run.id, step, choice, by="anna", reason="because")
        result = await run.result()
        with pytest.raises(WrongState, match="not open here"):
            await operations.approve(run.id, "said", "hold")
    assert result == Succeeded(
        run_id=run.id, output={"choice": "hold", "reason": "because", "by": "anna"}, usage=result.usage
    )


async def test_two_people_at_once_the_first_counts(open_engine: OpenEngine, pool: Pool) -> None:
    refused: list[str] = []
    with Plan("asking") as p:
        p.result(p.human("said", ask="Publish?", choices=["yes", "no"]).output["choice"])
    async with open_engine(pool) as engine:
        run, operations = await engine.submit(p.freeze()), Operations(engine.runs)
        assert await run.result_or_waiting() is None

        async def answer(choice: str) -> None:
            try:
                await operations.approve(run.id, "said", choice, by=choice)
            except WrongState:
                refused.append(choice)

        async with anyio.create_task_group() as group:
            for choice in ("yes", "no"):
                group.start_soon(answer, choice)
        result = await run.result()
        answers = [(fact.choice, fact.actor) for fact in await facts_of(run, f.ApprovalAnswered)]
    assert isinstance(result, Succeeded)
    assert len(answers) == 1
    assert answers[0][0] == result.output
    assert refused == [{"yes": "no", "no": "yes"}[answers[0][0]]]  # nobody is told that an answer counts that does not


class Behind:
    """A clock that is an hour behind another one."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock

    def now_s(self) -> float:
        return self._clock.now_s() - 3_600.0


async def test_an_owner_whose_clock_is_behind_takes_answers_to_what_another_asked(
    open_engine: OpenEngine, pool: Pool
) -> None:
    journal, clock = MemoryJournal(), SystemClock()
    with Plan("asking") as p:
        p.result(p.human("said", ask="Publish?", choices=["yes", "no"]).output["choice"])
    async with open_engine(pool, journal=journal, clock=clock) as engine:
        run = await engine.submit(p.freeze())
        assert await run.result_or_waiting() is None
    async with open_engine(pool, journal=journal, clock=Behind(clock)) as engine:
        await Operations(engine.runs).approve(run.id, "said", "yes")
        result = await Run(engine.runs, run.id).result()
    assert isinstance(result, Succeeded)
    assert result.output == "yes"


async def test_an_answer_to_a_question_that_closes_at_that_moment_is_refused(
    open_engine: OpenEngine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Plan("asking") as p:
        p.result(p.human("said", ask="Publish?", choices=["yes", "no"]).output["choice"])
    async with open_engine(pool) as engine:
        run, operations = await engine.submit(p.freeze()), Operations(engine.runs)
        assert await run.result_or_waiting() is None
        tell = engine.runs.tell

        async def late(driver: RunDriver, item: Input) -> None:
            if isinstance(item, f.ApprovalAnswered):
                await tell(driver, f.CancelRequested(at_s=item.at_s, reason="enough"))
            await tell(driver, item)

        monkeypatch.setattr(engine.runs, "tell", late)
        with pytest.raises(WrongState, match="closed meanwhile"):
            await operations.approve(run.id, "said", "yes")


async def test_a_person_accepts_what_a_rule_refused(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("accepting") as p:
        odd = p.step(grow, id="odd", x=1, checks=[checks.rule("output > 5")], on_fail=[ladder.ask()])
        p.result(p.step(grow, id="after", x=odd))
    async with open_engine(pool) as engine:
        run, operations = await engine.submit(p.freeze()), Operations(engine.runs)
        assert await run.result_or_waiting() is None
        await operations.approve(run.id, "odd", "accept", by="anna")
        assert await run.result() == Succeeded(run_id=run.id, output=3, usage=(await run.result()).usage)


# ---- quarantine


@virtual
async def test_quarantine_takes_back_what_was_built_on_it_and_stops_what_builds_on_it(
    open_engine: OpenEngine, pool: Pool
) -> None:
    with Plan("building") as p:
        a = p.step(grow, id="a", x=0)
        b = p.step(grow, id="b", x=a)
        p.step(wait, id="c", x=b)
        p.result(p.step(wait, id="other", x=7))
    async with open_engine(pool) as engine:
        run, operations = await engine.submit(p.freeze()), Operations(engine.runs)
        await anyio.sleep(1.0)
        for step, message in (("c", "only a passed result"), ("nobody", "steps: a, b, c, other")):
            with pytest.raises(WrongState, match=message):
                await operations.quarantine(run.id, step, reason="wrong")
        assert await operations.quarantine(run.id, "a", reason="wrong", by="anna") == ("b", "c")
        backlog = await engine.runs.transport.backlog()
        result = await run.result()
        assert [b.running for b in backlog] == [1]
        with pytest.raises(RunNotFound):
            await operations.quarantine(RunId("nobody"), "a", reason="wrong")
    assert isinstance(result, Degraded)
    assert (result.output, next((gap.step, gap.reason) for gap in result.gaps)) == (7, ("a", "quarantined: wrong"))


# ---- patches


@virtual
async def test_a_patch_changes_what_has_not_begun_and_nothing_else(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("patched") as p:
        a = p.step(grow, id="a", x=0)
        b = p.step(wait, id="b", x=a)
        p.result(p.step(grow, id="c", x=b))
    plan = p.freeze()
    async with open_engine(pool) as engine:
        run, operations = await engine.submit(plan), Operations(engine.runs)
        await anyio.sleep(1.0)
        for ops, error in (
            ({"replace": {"id": "a", "step": call(5)}}, PlanError),
            ({"drop": {"id": "b"}}, PlanError),
            ({"add": {"id": "d", "step": {**call(1), "pool": "strangers"}}}, PlanError),
            ({"add": {"id": "d", "step": call(1, checks=[{"judge": {"rubric": "good"}}])}}, PromiseError),
        ):
            with pytest.raises(error):
                await operations.patch(run.id, patch_of(plan, ops))
        better = patch_of(plan, {"replace": {"id": "c", "step": call(41, needs=["b"])}})
        digest = await operations.patch(run.id, better, by="anna")
        with pytest.raises(PlanError):
            await operations.patch(run.id, better)  # its base is no longer the plan
        result = await run.result()
        patched = [(fact.base, fact.digest, fact.actor) for fact in await facts_of(run, f.PlanPatched)]
        with pytest.raises(WrongState):
            await operations.patch(run.id, better)
    assert result == Succeeded(run_id=run.id, output=42, usage=result.usage)
    assert patched == [(plan.digest, digest, "anna")]
    assert SEEN == ["a", "b", "c"]


# ---- retry and fork


def tree() -> FrozenPlan:
    """Two inputs, a map of which one branch may fail, a sum, and a step beside."""
    with Plan("tree", inputs={"xs": {"type": "array"}, "y": {"type": "integer"}}) as p:
        beside = p.step(grow, id="beside", x=p.inputs.y)
        grown = p.map(grow, id="grown", over=p.inputs.xs, on_fail=[ladder.gap()])
        sums = p.step(total, id="sums", xs=grown.passed)
        p.result([p.step(grow, id="last", x=sums), beside])
    return p.freeze()


async def test_retry_takes_over_what_passed_and_runs_the_rest(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("half") as p:
        a = p.step(grow, id="a", x=1)
        bad = p.step(grow, id="bad", x=13, needs=[a])
        p.result(p.step(grow, id="after", x=bad))
    async with open_engine(pool) as engine:
        operations = Operations(engine.runs)
        run = await engine.submit(p.freeze())
        await run.result()
        SEEN.clear()
        again = await operations.retry(run.id)
        third = await operations.retry(again.id) if await again.result() else again
        assert isinstance(await third.result(), Failed)
        reused = [(fact.step, fact.source) for fact in await facts_of(again, f.StepReused)]
        origins = [(await facts_of(one, f.RunAccepted))[0].origin for one in (run, again, third)]
    assert SEEN == ["bad", "bad"]
    assert reused == [("a", run.id)]
    assert origins == [run.id] * 3


async def test_retry_from_a_step_runs_it_and_everything_below_it_again(open_engine: OpenEngine, pool: Pool) -> None:
    async with open_engine(pool) as engine:
        operations = Operations(engine.runs)
        run = await engine.submit(tree(), {"xs": [1, 2, 3], "y": 9})
        first = await run.result()
        with pytest.raises(WrongState, match="everything in it has passed"):
            await operations.retry(run.id)
        with pytest.raises(WrongState, match="not in this plan"):
            await operations.retry(run.id, step="nobody")
        SEEN.clear()
        again = await operations.retry(run.id, step="sums")
        result = await again.result()
    assert result == Succeeded(run_id=again.id, output=[10, 10], usage=result.usage)
    assert first.output == result.output  # type: ignore[union-attr]  # Succeeded
    assert SEEN == ["sums", "last"]


async def test_retry_runs_a_gap_again_and_keeps_its_sisters(open_engine: OpenEngine, pool: Pool) -> None:
    async with open_engine(pool) as engine:
        run = await engine.submit(tree(), {"xs": [1, 13, 3], "y": 9})
        assert isinstance(await run.result(), Degraded)
        SEEN.clear()
        again = await Operations(engine.runs).retry(run.id, step="sums")
        result = await again.result()
    assert isinstance(result, Degraded)
    assert result.output == [7, 10]
    assert set(SEEN) == {"grown[1]", "sums", "last"}


async def test_what_was_quarantined_is_never_taken_over(open_engine: OpenEngine, pool: Pool) -> None:
    async with open_engine(pool) as engine:
        operations = Operations(engine.runs)
        run = await engine.submit(tree(), {"xs": [1, 2], "y": 9})
        await run.result()
        assert await operations.quarantine(run.id, "sums", reason="wrong", by="anna") == ("last",)
        SEEN.clear()
        again = await operations.retry(run.id)
        assert isinstance(await again.result(), Succeeded)
    assert SEEN == ["sums", "last"]


async def test_nor_where_it_was_found_wrong_in_the_run_that_it_came_from(open_engine: OpenEngine, pool: Pool) -> None:
    async with open_engine(pool) as engine:
        operations = Operations(engine.runs)
        first = await engine.submit(tree(), {"xs": [1, 2], "y": 9})
        await first.result()
        second = await operations.retry(first.id, step="last")
        await second.result()
        await operations.quarantine(first.id, "sums", reason="wrong", by="anna")
        SEEN.clear()
        third = await operations.retry(second.id, step="last")
        assert isinstance(await third.result(), Succeeded)
    assert SEEN == ["sums", "last"]


async def test_what_is_found_wrong_at_the_moment_it_is_taken_over_is_taken_back(
    open_engine: OpenEngine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_engine(pool) as engine:
        operations = Operations(engine.runs)
        run = await engine.submit(tree(), {"xs": [1, 2], "y": 9})
        await run.result()
        accept = engine.runs.accept

        async def late(request: Request) -> Run:
            await operations.quarantine(run.id, "sums", reason="wrong", by="anna")
            return await accept(request)

        monkeypatch.setattr(engine.runs, "accept", late)
        again = await operations.retry(run.id, step="last")
        await again.result()
        taken = [(fact.step, fact.affected) for fact in await facts_of(again, f.StepQuarantined)]
    assert taken == [("sums", ("last",))]


@virtual
async def test_what_was_found_wrong_as_it_was_taken_over_is_taken_back_by_the_next_owner(
    open_engine: OpenEngine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dead(Exception):
        """Of the process that began the new run, before it could look again."""

    with Plan("slow") as p:
        p.result(p.step(wait, id="slow", x=p.step(grow, id="first", x=1)))
    journal = MemoryJournal()
    with suppress(Dead):
        async with open_engine(pool, journal=journal) as engine:
            operations = Operations(engine.runs)
            run = await engine.submit(p.freeze())
            await run.result()
            accept = engine.runs.accept

            async def late(request: Request) -> Run:
                await operations.quarantine(run.id, "first", reason="wrong", by="anna")
                await accept(request)
                raise Dead

            monkeypatch.setattr(engine.runs, "accept", late)
            await operations.retry(run.id, step="slow")
    (again,) = [row for row in await journal.runs(RunQuery(origin=run.id)) if row.run_id != run.id]
    assert again.status == "open"
    SEEN.clear()
    async with open_engine(pool, journal=journal) as engine:
        adopted = Run(engine.runs, again.run_id)
        result = await adopted.result()
        taken = [(one.step, one.affected, one.reason) for one in await facts_of(adopted, f.StepQuarantined)]
    assert isinstance(result, Failed)
    assert taken == [("first", ("slow",), LATE)]


async def test_nor_the_result_of_a_sub_plan_in_which_it_was_found_wrong(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("inner", inputs={"x": {"type": "integer"}}) as inner:
        inner.step(grow, id="beside", x=inner.inputs.x)
        low = inner.step(grow, id="low", x=inner.inputs.x)
        inner.result(inner.step(grow, id="high", x=low))
    with Plan("outer") as p:
        below = p.plan(inner, id="below", x=1)
        after = p.step(grow, id="after", x=below)
        p.result(p.step(grow, id="last", x=after, needs=[p.step(grow, id="bad", x=13)]))
    async with open_engine(pool) as engine:
        operations = Operations(engine.runs)
        run = await engine.submit(p.freeze())
        await run.result()
        child = next(fact.child for fact in await facts_of(run, f.ChildEnded))
        await operations.quarantine(child, "beside", reason="wrong", by="anna")
        SEEN.clear()
        await (await operations.retry(run.id)).result()
        assert SEEN == ["bad"], "nothing was made of it"

        await operations.quarantine(child, "low", reason="wrong", by="anna")
        SEEN.clear()
        await (await operations.retry(run.id)).result()
        assert sorted(SEEN) == ["after", "bad", "beside", "high", "low"]

        await engine.runs.journal.forget([child], payloads_only=True)  # what it was made of, nobody can tell any more
        SEEN.clear()
        await (await operations.retry(run.id)).result()
        assert sorted(SEEN) == ["after", "bad", "beside", "high", "low"]


async def test_fork_changes_inputs_and_keeps_what_does_not_hang_on_the_step(
    open_engine: OpenEngine, pool: Pool
) -> None:
    async with open_engine(pool) as engine:
        operations = Operations(engine.runs)
        run = await engine.submit(tree(), {"xs": [1, 2], "y": 9})
        await run.result()
        SEEN.clear()
        forked = await operations.fork(run.id, step="grown", inputs={"xs": [5, 6, 7]})
        result = await forked.result()
        with pytest.raises(InputError):
            await operations.fork(run.id, step="grown", inputs={"y": "nine"})
    assert result == Succeeded(run_id=forked.id, output=[22, 10], usage=result.usage)
    assert SEEN == ["grown[0]", "grown[1]", "grown[2]", "sums", "last"]


@virtual
async def test_an_open_run_is_neither_retried_nor_forked(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("open") as p:
        p.step(wait, id="w", x=1)
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        for again in (Operations(engine.runs).retry(run.id), Operations(engine.runs).fork(run.id, step="w", inputs={})):
            with pytest.raises(WrongState, match="cancel it, or wait for its end"):
                await again
        with pytest.raises(RunNotFound):
            await Operations(engine.runs).retry(RunId("nobody"))


async def test_a_retry_takes_over_what_stands_beside_skips_and_does_again_what_was_built_on_a_gap(
    open_engine: OpenEngine,
) -> None:
    ran: list[str] = []
    healed: list[bool] = []

    async def note(ctx: WorkContext, x: int) -> int:
        ran.append(f"{ctx.step_id}[{ctx.branch}]" if ctx.branch is not None else str(ctx.step_id))
        if x == 2 and not healed:
            raise ValueError("not today")
        return x

    async def total_of(ctx: WorkContext, xs: list[int]) -> int:
        ran.append(str(ctx.step_id))
        return sum(xs)

    pool = pool_of(note, total_of)
    with Plan("again") as p:
        # Written so that the order of the file is not the order of the edges.
        first = p.step(note, id="first", x=1)
        never = p.step(note, id="never", x=first, when=first > 5)
        beside = p.step(note, id="beside", x=first, needs=[never])
        mapped = p.map(note, id="mapped", over=[1, 2, 3], on_fail=[ladder.gap()])
        followed = p.map(note, id="followed", each=mapped)
        p.result(p.step(total_of, id="sum", xs=followed.passed, needs=[beside]))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        assert isinstance(await run.result(), Degraded)
        ran.clear()
        healed.append(True)
        again = await Operations(engine.runs).retry(run.id)
        result = await again.result()
    assert isinstance(result, Succeeded)
    assert result.output == 6
    assert sorted(ran) == ["followed[1]", "mapped[1]", "sum"]
