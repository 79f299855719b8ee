"""Time limits, met exactly, in virtual time: attempt, total, idle, back-off, questions, wall."""

import itertools

import anyio
import pytest

from orchestrator import Budget, Degraded, Failed, Gap, Plan, Stopped, Succeeded, checks, ladder
from orchestrator.core import facts as f
from orchestrator.core.policy import backoff_s
from orchestrator.engine.handle import Run
from orchestrator.engine.operations import Operations
from orchestrator.plan.parts import Backoff
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import double, facts_of, hang, pool_of, sleep_for, total, virtual
from workers import Pool, RetryableError, WorkContext

pytestmark = [pytest.mark.anyio, virtual]


async def times_of(run: Run, kind: type[f.Fact]) -> list[float]:
    """When facts of a kind were journaled, from the run's start."""
    start_s = (await facts_of(run, f.RunAccepted))[0].at_s
    return [round(fact.at_s - start_s, 6) for fact in await facts_of(run, kind)]


async def test_an_attempt_that_never_answers_is_tried_by_policy_and_then_climbs_the_ladder(
    open_engine: OpenEngine,
) -> None:
    tiers: list[str | None] = []

    async def stuck(ctx: WorkContext) -> int:
        tiers.append(ctx.tier)
        if ctx.tier != "strong":
            await anyio.sleep_forever()
        return 7

    pool = pool_of(stuck)
    with Plan("stuck") as p:
        step = p.step(
            stuck,
            id="stuck",
            timeout={"attempt": 10.0, "total": 600.0},
            retry={"attempts": 2, "backoff": Backoff(first=4.0, most=4.0)},
            on_fail=[ladder.escalate(tier="strong")],
        )
        p.result(step)
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        assert isinstance(await run.result(), Succeeded)
        failed = await facts_of(run, f.AttemptFailed)
        waits = await facts_of(run, f.StepBackoff)
        times = await times_of(run, f.StepDispatched)
    wait_s = waits[0].until_s - waits[0].at_s
    assert [(fact.error, fact.message) for fact in failed] == [("timeout", "no answer within 10 s")] * 2
    assert tiers == [None, None, "strong"]
    assert times == [0.0, round(10.0 + wait_s, 6), round(20.0 + wait_s, 6)]


async def test_back_off_is_exactly_the_one_the_policy_draws(open_engine: OpenEngine) -> None:
    async def flaky(ctx: WorkContext) -> int:
        if ctx.attempt < 5:
            raise RetryableError("busy", kind="provider")
        return 1

    pool = pool_of(flaky)
    with Plan("flaky") as p:
        p.result(p.step(flaky, id="flaky", retry={"attempts": 5, "backoff": Backoff(first=1.0, most=3600.0)}))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        assert isinstance(await run.result(), Succeeded)
        at = [fact.at_s for fact in await facts_of(run, f.StepDispatched)]
    policy = Backoff(first=1.0, most=3600.0)
    drawn = [backoff_s(policy, tries, f"{run.id}/flaky/-1/{tries}") for tries in range(1, 5)]
    assert [b - a for a, b in itertools.pairwise(at)] == pytest.approx(drawn, abs=1e-5)


async def test_a_provider_that_names_a_time_is_waited_for_that_long(open_engine: OpenEngine) -> None:
    async def limited(ctx: WorkContext) -> int:
        if ctx.attempt == 1:
            raise RetryableError("slow down", kind="rate_limit", retry_after_s=300.0)
        return 1

    pool = pool_of(limited)
    with Plan("limited") as p:
        p.result(p.step(limited, id="limited"))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        assert isinstance(await run.result(), Succeeded)
        assert await times_of(run, f.StepDispatched) == [0.0, 300.0]


async def test_the_total_timeout_cuts_the_last_attempt_and_leaves_only_rungs_that_take_no_time(
    open_engine: OpenEngine,
) -> None:
    pool = pool_of(hang, double)
    with Plan("total") as p:
        p.step(
            hang,
            id="h",
            timeout={"attempt": 40.0, "total": 100.0},
            retry={"attempts": 20, "backoff": Backoff(first=0.001, most=0.001)},
            on_fail=[ladder.retry(5), ladder.escalate(tier="strong"), ladder.gap()],
        )
        p.result(p.step(double, id="d", x=1))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        ended = await times_of(run, f.RunEnded)
        sent = [fact for fact in await facts_of(run, f.StepDispatched) if fact.step == "h"]
    assert isinstance(result, Degraded)
    assert result.gaps == (Gap(step="h", branch=None, reason=result.gaps[0].reason),)
    assert ended == [pytest.approx(100.0, abs=0.01)]
    assert len(sent) == 3


async def test_a_silent_worker_is_given_up_and_one_that_shows_life_is_not(open_engine: OpenEngine) -> None:
    async def alive(ctx: WorkContext, by: str) -> str:
        for _ in range(10):
            await anyio.sleep(4.0)
            ctx.heartbeat() if by == "heartbeat" else ctx.progress(0.5)
        return by

    async def silent(ctx: WorkContext) -> int:
        await anyio.sleep(40.0)
        return 0

    limits = {"idle": 5.0}
    pool = pool_of(alive, silent)
    with Plan("idle") as p:
        steps = [p.step(alive, id=by, by=by, timeout=limits) for by in ("heartbeat", "progress")]
        p.step(silent, id="silent", timeout=limits, retry={"attempts": 1}, on_fail=[ladder.gap()])
        p.result(steps)
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        failed = await facts_of(run, f.AttemptFailed)
        gap = await times_of(run, f.StepGap)
    assert isinstance(result, Degraded)
    assert result.output == ["heartbeat", "progress"]
    assert [(fact.step, fact.error, fact.message) for fact in failed] == [
        ("silent", "timeout", "no sign of life for 5 s")
    ]
    assert gap == [5.0]


async def test_a_task_that_waits_for_a_free_worker_is_not_called_silent(open_engine: OpenEngine) -> None:
    async def steady(ctx: WorkContext, x: int) -> int:
        for _ in range(4):
            await anyio.sleep(3.0)
            ctx.heartbeat()
        return x

    pool = pool_of(steady, concurrency=1)
    with Plan("queued") as p:
        p.result(p.map(steady, id="m", over=[1, 2, 3], timeout={"idle": 5.0}, retry={"attempts": 1}))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        assert await run.result() == Succeeded(run_id=run.id, output=[1, 2, 3], usage=(await run.result()).usage)
        assert await times_of(run, f.RunEnded) == [36.0]


async def test_a_check_by_call_that_never_answers_breaks_three_times_and_never_passes(open_engine: OpenEngine) -> None:
    asked: list[float] = []

    async def mute(ctx: WorkContext, output: int) -> bool:
        asked.append(anyio.current_time())
        await anyio.sleep_forever()
        return True

    pool = pool_of(double, mute)
    with Plan("mute") as p:
        p.result(
            p.step(double, id="d", x=1, timeout={"attempt": 10.0}, checks=[checks.call(mute)], on_fail=[ladder.fail()])
        )
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        verdicts = [(v.name, v.verdict, v.reasons) for v in await facts_of(run, f.CheckVerdict)]
        assert [(b.waiting, b.running) for b in await engine.runs.transport.backlog()] == [(0, 0)]
    assert isinstance(result, Failed)
    assert result.cause == "d: the call check broke 3 times"
    assert verdicts[1:] == [("call", "check_broken", ("the check did not answer in time",))] * 3
    assert [round(b - a, 3) for a, b in itertools.pairwise(asked)] == [10.0, 10.0]


async def test_a_check_that_breaks_at_once_breaks_three_times(open_engine: OpenEngine) -> None:
    async def broken(ctx: WorkContext, output: int) -> bool:
        raise ValueError("no idea")

    pool = pool_of(double, broken)
    with Plan("broken") as p:
        p.result(p.step(double, id="d", x=1, checks=[checks.call(broken)], on_fail=[ladder.fail()]))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        assert await times_of(run, f.RunEnded) == [0.0]
    assert isinstance(result, Failed)
    assert result.cause == "d: the call check broke 3 times"


async def test_a_question_expires_and_its_default_is_taken(open_engine: OpenEngine) -> None:
    pool = pool_of(double)
    with Plan("expiry") as p:
        kept = p.human("kept", ask="Publish?", choices=["publish", "hold"], expires="24h", then="hold")
        p.human("lost", ask="Really?", choices=["yes"], expires="1h")
        p.result(kept.output["choice"])
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        assert await run.result_or_waiting() is None
        result = await run.result()
        expired = [(fact.step, fact.choice) for fact in await facts_of(run, f.ApprovalExpired)]
        assert await times_of(run, f.ApprovalExpired) == [3600.0, 86400.0]
    assert isinstance(result, Degraded)
    assert result.output == "hold"
    assert expired == [("lost", None), ("kept", "hold")]
    assert result.gaps == (Gap(step="lost", branch=None, reason="nobody answered in time"),)


@pytest.mark.parametrize("on_limit", ["degrade", "stop"])
async def test_the_wall_limit_ends_the_run_at_that_second(open_engine: OpenEngine, on_limit: str) -> None:
    pool = pool_of(sleep_for)
    with Plan("wall", budget=Budget(wall=30.0, on_limit=on_limit)) as p:  # type: ignore[arg-type]  # one of the words
        fast = p.step(sleep_for, id="fast", seconds=5.0)
        p.step(sleep_for, id="slow", seconds=500.0)
        p.result(fast)
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        assert await times_of(run, f.RunEnded) == [30.0]
    if on_limit == "degrade":
        assert isinstance(result, Degraded)
        assert (result.output, result.gaps) == (5.0, (Gap(step="slow", branch=None, reason="budget.wall"),))
    else:
        assert isinstance(result, Stopped)
        assert (result.partial, result.reason) == ({"fast": 5.0}, "budget.wall")


async def test_the_wall_clock_stands_still_while_everything_waits_for_a_person(open_engine: OpenEngine) -> None:
    pool = pool_of(sleep_for)
    with Plan("paused", budget=Budget(wall=30.0)) as p:
        first = p.step(sleep_for, id="first", seconds=10.0)
        said = p.human("said", ask="Go on?", show=first, choices=["yes"], expires="24h")
        p.result(p.step(sleep_for, id="second", seconds=10.0, needs=[said]))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        assert await run.result_or_waiting() is None
        await anyio.sleep(7200.0)
        await Operations(engine.runs).approve(run.id, "said", "yes")
        assert isinstance(await run.result(), Succeeded)
        assert await times_of(run, f.RunEnded) == [7220.0]


async def test_the_wall_clock_goes_on_while_anything_else_works(open_engine: OpenEngine) -> None:
    pool = pool_of(sleep_for)
    with Plan("working", budget=Budget(wall=30.0)) as p:
        p.human("said", ask="Go on?", choices=["yes"], expires="24h")
        p.step(sleep_for, id="long", seconds=1000.0)
        p.result(p.step(sleep_for, id="short", seconds=1.0))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        assert await times_of(run, f.RunEnded) == [30.0]
    assert isinstance(result, Degraded)
    assert [(gap.step, gap.reason) for gap in result.gaps] == [("said", "budget.wall"), ("long", "budget.wall")]


async def test_ended_runs_leave_no_timers_behind(open_engine: OpenEngine) -> None:
    pool = pool_of(double, hang, total)
    with Plan("many", budget=Budget(wall=86400.0)) as p:
        p.result(p.step(double, id="d", x=1))
    frozen = p.freeze()
    with Plan("long") as long:
        long.step(hang, id="h", timeout={"attempt": 600.0})
    async with open_engine(pool) as engine:
        await engine.submit(long.freeze())  # its attempt stands at the front of the queue all the time
        for _ in range(2000):
            await (await engine.submit(frozen)).result()
        assert len(engine.runs._alarms.timers) <= 2 * 256 + 8


async def test_a_pool_of_threads_has_the_same_limits(open_engine: OpenEngine) -> None:
    pool = Pool("p", concurrency=2)
    pool.worker(hang)
    with Plan("short") as p:
        p.result(p.step(hang, id="h", timeout={"attempt": 0.01}, retry={"attempts": 1}))
    async with open_engine(pool) as engine:
        result = await (await engine.submit(p.freeze())).result()
    assert isinstance(result, Failed)
    assert result.cause == "h: timeout: no answer within 0.01 s"


async def test_time_in_the_queue_of_a_busy_pool_is_not_time_at_work(open_engine: OpenEngine) -> None:
    pool = pool_of(sleep_for, concurrency=1)
    limits = {"attempt": 10.0, "total": 600.0}
    with Plan("busy") as p:
        both = [p.step(sleep_for, id=f"s{number}", seconds=8.0, timeout=limits) for number in range(2)]
        p.result(both)
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        times = await times_of(run, f.StepProduced)
    assert isinstance(result, Succeeded)
    assert times == [8.0, 16.0]


async def test_an_attempt_that_had_to_wait_is_cut_when_it_has_run_for_its_time(open_engine: OpenEngine) -> None:
    pool = pool_of(sleep_for, concurrency=1)
    with Plan("busy") as p:
        p.step(sleep_for, id="first", seconds=8.0, timeout={"attempt": 10.0, "total": 600.0})
        p.step(
            sleep_for,
            id="second",
            seconds=30.0,
            timeout={"attempt": 10.0, "total": 600.0},
            retry={"attempts": 1},
            on_fail=[ladder.gap()],
        )
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        assert isinstance(await run.result(), Degraded)
        times = await times_of(run, f.AttemptFailed)
    assert times == [18.0]


async def test_an_attempt_that_finds_no_worker_in_its_time_is_cut(open_engine: OpenEngine) -> None:
    pool = pool_of(sleep_for, concurrency=1)
    with Plan("busy") as p:
        p.step(sleep_for, id="first", seconds=60.0)
        p.step(
            sleep_for,
            id="second",
            seconds=1.0,
            timeout={"attempt": 10.0, "total": 600.0},
            retry={"attempts": 1},
            on_fail=[ladder.gap()],
        )
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        assert isinstance(await run.result(), Degraded)
        times = await times_of(run, f.AttemptFailed)
    assert times == [10.0]
