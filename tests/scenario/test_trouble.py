"""Lost and doubled messages and a slow store in a scenario: the run ends as without them, and each is seen."""

import pytest

from orchestrator import Plan, Succeeded, checks, expr
from orchestrator.core import facts as f
from orchestrator.core.results import Failed
from orchestrator.testing.scenario import Scenario, ScenarioFailed
from workers import Pool

BACKENDS = ("asyncio", "trio")
with Plan("chain", budget={"wall": "2h"}) as CHAIN:
    got = CHAIN.step("net.get", id="get", checks=[checks.rule("output > 0")])
    CHAIN.result(CHAIN.step("net.put", id="put", n=got))


def effect(on_unknown: str = "ask") -> Scenario:
    """A step that changes the world."""
    with Plan("paying", budget={"wall": "9d"}) as p:
        p.result(p.step("bank.pay", id="pay", effect={"key": "one", "on_unknown": on_unknown}))
    return Scenario(p)


def told(scenario: Scenario, backend: str = "asyncio") -> tuple[object, list[tuple[str, float]], int]:
    """Output, calls with their time, attempts that were lost."""
    played = scenario.play(backend=backend)  # type: ignore[arg-type]  # one of two words
    assert isinstance(played.result, Succeeded)
    calls = [(str(call), call.at_s) for call in played.calls]
    return played.result.output, calls, len(played.facts(f.LeaseLost))


def lines() -> Scenario:
    return Scenario(CHAIN).on("get", returns=7).on("put", returns=lambda call: [call.args["n"]])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_lost_task_is_sent_again_and_no_attempt_is_counted(backend: str) -> None:
    scenario = lines().lose_messages(at="get", what="task", times=2)
    assert told(scenario, backend) == ([7], [("get, attempt 1", 6.0), ("put, attempt 1", 6.0)], 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_lost_answer_is_worked_out_again_by_another_worker(backend: str) -> None:
    scenario = lines().lose_messages(at="get").slow("get", "5s")
    assert told(scenario, backend) == (
        [7],
        [("get, attempt 1", 0.0), ("get, attempt 1", 15.0), ("put, attempt 1", 20.0)],
        0,
    )


def test_losses_end_where_the_attempt_has_no_more_time() -> None:
    with Plan("short", budget={"wall": "2h"}) as p:
        p.result(p.step("net.get", id="get", timeout={"attempt": "25s", "total": "1h"}, retry={"attempts": 2}))
    played = Scenario(p).on("get", returns=1, times=2).lose_messages(at="get", times=9).play
    with pytest.raises(ScenarioFailed, match=r"lose_messages\(at='get', what='answer'\) \(3 of 9 left\) was never"):
        played()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("after", [0, "1m"])
def test_the_second_of_two_answers_changes_nothing(backend: str, after: str | float) -> None:
    seen: list[int] = []

    def count(call: object) -> int:
        seen.append(1)
        return len(seen)

    scenario = (
        Scenario(CHAIN)
        .on("get", returns=count, usd=0.25)
        .duplicate(at="get", after=after)
        .on("put", returns=lambda call: call.args["n"], after="2m")
    )
    played = scenario.play(backend=backend)  # type: ignore[arg-type]  # one of two words
    assert isinstance(played.result, Succeeded)
    assert (played.result.output, len(seen)) == (1, 2)
    assert played.result.usage.usd == 0.5  # both workers were paid
    assert [str(call) for call in played.calls_of("get")] == ["get, attempt 1"] * 2
    assert len(played.facts(f.StepProduced, "get")) == 1


def test_one_branch_may_be_doubled_and_another_lost() -> None:
    with Plan("wide", budget={"wall": "2h"}) as p:
        p.result(p.map("net.get", id="get", over=[1, 2, 3], as_="n", n=expr("n")).output)
    scenario = (
        Scenario(p)
        .on("get", returns=lambda call: call.args["n"], times=3)
        .duplicate(at="get", branch=1)
        .lose_messages(at="get", branch=2)
    )
    played = scenario.play()
    assert isinstance(played.result, Succeeded)
    assert played.result.output == [1, 2, 3]
    assert sorted(call.branch or 0 for call in played.calls) == [0, 1, 1, 2, 2]


def test_an_effect_is_begun_once_however_often_it_is_delivered() -> None:
    played = effect().on("pay", returns="paid").duplicate(at="pay", after="1s").play()
    assert isinstance(played.result, Succeeded)
    assert [call.effect_key for call in played.calls] == ["one"]


def test_of_an_effect_whose_answer_is_lost_on_unknown_decides() -> None:
    ended = effect("fail").on("pay", returns="paid").lose_messages(at="pay").play()
    assert isinstance(ended.result, Failed)
    assert len(ended.calls) == 1

    again = effect("retry").on("pay", returns="paid", times=2).lose_messages(at="pay").play()
    assert isinstance(again.result, Succeeded)
    assert [(call.attempt, call.effect_key) for call in again.calls] == [(1, "one"), (2, "one")]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_slow_store_makes_the_run_late_and_nothing_else(backend: str) -> None:
    output, calls, lost = told(lines().slow_store("10s"), backend)
    assert (output, lost) == ([7], 0)
    assert [call for call, _ in calls] == ["get, attempt 1", "put, attempt 1"]
    assert [at_s % 10 for _, at_s in calls] == [0, 0]
    assert 10 <= calls[0][1] < calls[1][1]


def test_what_the_store_had_not_committed_when_the_process_died_is_asked_for_again() -> None:
    with Plan("pair", budget={"wall": "2h"}) as p:
        one, two = p.step("net.get", id="one"), p.step("net.get", id="two")
        p.result([one, two])
    played = Scenario(p).slow_store("10s").on("one", returns=1, times=2).kill_worker(at="two").on("two", returns=2)
    result = played.play()
    assert isinstance(result.result, Succeeded)
    assert result.result.output == [1, 2]
    assert [str(call) for call in result.calls_of("one")] == ["one, attempt 1", "one, attempt 2"]


def test_a_disaster_that_never_came_fails() -> None:
    with pytest.raises(ScenarioFailed, match=r"duplicate\(at='put'\) \(1 of 2 left\) was never asked for"):
        lines().duplicate(at="put", times=2).play()
    with pytest.raises(ScenarioFailed, match=r"slow_store\('1s'\) \(\d+ of 99 left\) was never asked for"):
        lines().slow_store("1s", times=99).play()


def test_a_real_pool_that_has_no_lines_is_left_alone_and_that_is_told() -> None:
    pool = Pool("net")

    @pool.worker
    async def get() -> int:
        return 1

    @pool.worker
    async def put(n: int) -> int:
        return n

    with pytest.raises(ScenarioFailed, match=r"lose_messages\(at='get', what='task'\) was never asked for"):
        Scenario(CHAIN, pools=[pool]).lose_messages(at="get", what="task").play()


@pytest.mark.parametrize("word", ["lose_messages", "duplicate"])
def test_a_word_for_no_step_or_no_call_is_refused_where_it_is_written(word: str) -> None:
    with pytest.raises(ValueError, match="did you mean 'get'"):
        getattr(Scenario(CHAIN), word)(at="gte")
    with pytest.raises(ValueError, match="at least 1"):
        getattr(Scenario(CHAIN), word)(at="get", times=0)
    with pytest.raises(ValueError, match="at least 1"):
        Scenario(CHAIN).slow_store(1, times=0)
