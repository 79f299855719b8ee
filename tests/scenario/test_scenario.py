"""A scenario plays a user's plan without its pools, on either loop, and fails for what it does not say."""

import time
from pathlib import Path

import pytest

from orchestrator import Plan, Succeeded, at_least, checks, expr, ladder
from orchestrator.core import facts as f
from orchestrator.core.results import Degraded, Failed
from orchestrator.testing.jumping import JumpingLoop
from orchestrator.testing.scenario import Scenario, ScenarioFailed
from orchestrator.testing.script import Call
from workers import Pool

BRIEF = Path(__file__).with_name("brief.plan.yaml")
HOUR_S = 3600.0
BACKENDS = ("asyncio", "trio")


def whole(plan: object = BRIEF) -> Scenario:
    """The brief, with a story in every step."""
    return (
        Scenario(plan)  # type: ignore[arg-type]  # a path
        .on("sources", branch=0, returns=["a"], after="1h")
        .wrong_answer("sources", [], branch=1)
        .fails("sources", kind="rate_limit", retry_after="3h", branch=1)
        .on("sources", branch=1, returns=["b"])
        .wrong_answer("sizing", {"low": 3, "high": 1})
        .kill_worker(at="sizing")
        .on("sizing", returns=lambda call: {"low": len(call.args["tables"]), "high": 9}, usd=0.25)  # type: ignore[arg-type]  # a list
        .on("sizing", check=2, returns=True)
        .on("draft", returns="first")
        .judge("draft", score=0.5, reasons=["dull"])
        .on("draft", returns=lambda call: f"second, less {call.reasons[0]}")
        .judge("draft", score=0.9)
        .slow("draft", by="90m", times=None)
        .person("approve", "publish", reason="read it", after="2h")
        .on("publish", returns={"ok": True})
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_story_of_hours_is_played_in_a_moment(backend: str) -> None:
    began = time.monotonic()
    played = whole().play({"topic": "heat pumps"}, backend=backend)  # type: ignore[arg-type]  # one of two words

    assert isinstance(played.result, Succeeded)
    assert played.result.output == "second, less dull"
    assert played.result.usage.usd == 0.25
    assert played.seconds == pytest.approx(3 * HOUR_S + 2 * 1.5 * HOUR_S + 2 * HOUR_S)
    assert time.monotonic() - began < 60  # eight hours otherwise
    assert [(str(call), call.at_s / HOUR_S) for call in played.calls] == [
        ("sources[0], attempt 1", 0),
        ("sources[1], attempt 1", 0),
        ("sources[1], attempt 2", 0),
        ("sources[1], attempt 3", pytest.approx(3)),
        ("sizing, attempt 1", pytest.approx(3)),
        ("sizing, attempt 2", pytest.approx(3)),  # the process dies while it holds this one
        ("sizing, attempt 3", pytest.approx(3)),
        ("check 2 of sizing, attempt 3", pytest.approx(3)),
        ("draft, attempt 1", pytest.approx(3)),
        ("draft, attempt 2", pytest.approx(4.5)),
        ("publish, attempt 1", pytest.approx(8)),
    ]
    assert [type(fact) for fact in played.facts(f.LeaseLost)] == [f.LeaseLost]
    assert [fact.verdict for fact in played.facts(f.CheckVerdict, "draft") if isinstance(fact, f.CheckVerdict)] == [
        "pass",
        "fix",
        "pass",
        "pass",
    ]
    [answered] = played.facts(f.ApprovalAnswered)
    assert (answered.actor, getattr(answered, "reason", None)) == ("scenario", "read it")
    assert "the worker of attempt 2 was lost: restart" in played.why("sizing")
    publish = played.calls_of("publish")[0]
    assert (publish.effect_key, publish.args) == (played.run_id, {"body": "second, less dull"})
    assert played.calls_of("sources")[0].instruction == "Primary sources on heat pumps in EU"


def test_a_scenario_may_be_played_again_and_tells_the_same() -> None:
    scenario = whole()
    first, second = scenario.play({"topic": "x"}), scenario.play({"topic": "x"})
    assert first.calls[:-1] == second.calls[:-1]  # the last one is handed the id of its run
    assert first.seconds == second.seconds


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [("asyncio", {"loop_factory": JumpingLoop})])
async def test_a_scenario_can_be_awaited_where_a_loop_runs_already() -> None:
    played = await whole().run({"topic": "x"})
    assert isinstance(played.result, Succeeded)


with Plan("chain") as CHAIN:
    first = CHAIN.task("writer", "Say something.", id="first", checks=[checks.rule("len(output) > 2", reason="short")])
    CHAIN.result(CHAIN.step("tools.shout", id="second", text=first.output))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_call_that_no_line_answers_fails(backend: str) -> None:
    with pytest.raises(
        ScenarioFailed, match=r"^no line answers second, attempt 1; a line for it is \.on\('second', …\)$"
    ):
        Scenario(CHAIN).on("first", returns="hello").play(backend=backend)  # type: ignore[arg-type]  # one of two words


def test_a_line_that_no_call_asks_for_fails() -> None:
    scenario = Scenario(CHAIN).on("first", returns="hello", times=3).on("second", returns="HELLO")
    with pytest.raises(
        ScenarioFailed, match=r"^on\('first', returns='hello'\) \(2 of 3 left\) was never asked for; the"
    ):
        scenario.play()


def test_a_delay_and_an_answer_of_a_person_that_nobody_needs_fail() -> None:
    def scenario() -> Scenario:
        return Scenario(CHAIN).on("first", returns="hello").on("second", returns="HELLO")

    with pytest.raises(ScenarioFailed, match=r"slow\('first', '1m'\) \(1 of 2 left\) was never asked for"):
        scenario().slow("first", "1m", times=2).play()
    with pytest.raises(ScenarioFailed, match=r"person\('second', 'yes'\) was never asked for"):
        scenario().person("second", "yes").play()


def test_a_wrong_answer_that_passes_is_found() -> None:
    scenario = Scenario(CHAIN).wrong_answer("first", "not so wrong").on("second", returns="X")
    with pytest.raises(ScenarioFailed, match=r"wrong_answer\('first', 'not so wrong'\) passed: no check refused it"):
        scenario.play()


def test_a_wrong_answer_that_is_refused_ends_the_run_as_the_plan_says() -> None:
    played = Scenario(CHAIN).wrong_answer("first", "no").play()
    assert isinstance(played.result, Failed)
    assert played.result.cause == "first: short"
    assert played.calls_of("second") == []


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda s: s.on("frist", returns=1), "did you mean 'first'?"),
        (lambda s: s.on("nothing-like-it", returns=1), "first, second"),
        (lambda s: s.on("first", returns=1, times=0), "at least 1"),
        (lambda s: s.on("first", returns=1, times=None).on("first", returns=2), "can never be reached"),
        (lambda s: s.on("first", returns=float("nan")), "JSON"),
        (lambda s: s.fails("first", kind="lost"), "the engine's own word"),
        (lambda s: s.judge("first"), "either a score or a verdict"),
        (lambda s: s.judge("first", score=1, verdict="pass"), "either a score or a verdict"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_where_it_is_written(write: object, told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("?", r"\?")):
        write(Scenario(CHAIN))  # type: ignore[operator]  # a function


def test_what_a_function_of_the_scenario_raises_comes_out_as_it_is() -> None:
    def answer(call: Call) -> str:
        raise KeyError(call.step)

    with pytest.raises(KeyError, match="first"):
        Scenario(CHAIN).on("first", returns=answer).play()


def test_failures_climb_what_the_plan_says() -> None:
    with Plan("tough", budget={"wall": "2d"}) as p:
        again = {"attempts": 2, "backoff": "1h..4h"}
        times = {"attempt": "1h", "total": "1d"}
        p.result(p.step("net.get", id="get", on_fail=[ladder.retry(1)], retry=again, timeout=times))
    scenario = Scenario(p).fails("get", kind="provider").fails("get", kind="worker").on("get", returns=1)
    played = scenario.play()
    assert isinstance(played.result, Succeeded)
    assert len(played.calls) == 3
    assert 0.5 * HOUR_S <= played.seconds <= HOUR_S  # one back-off; the worker's own error climbs the ladder at once

    ended = Scenario(p).fails("get", kind="terminal").play()
    assert isinstance(ended.result, Failed)


def test_what_is_slower_than_its_time_is_given_up() -> None:
    with Plan("slow", budget={"wall": "9d"}) as p:
        step = p.step("net.get", id="get", timeout={"attempt": "1h", "total": "1d"}, retry={"attempts": 2})
        p.result(step)
    played = Scenario(p).on("get", returns="late", after="2h").on("get", returns="in time", after="59m").play()
    assert isinstance(played.result, Succeeded)
    assert played.result.output == "in time"


def test_a_question_that_nobody_answers_expires() -> None:
    played = (
        Scenario(BRIEF)
        .on("sources", returns=["a"], times=2)
        .on("sizing", returns={"low": 1, "high": 2})
        .on("sizing", check=2, returns={"verdict": "pass"})
        .on("draft", returns="text")
        .judge("draft", verdict="pass")
        .play({"topic": "x"})
    )
    assert isinstance(played.result, Succeeded)
    assert played.seconds == pytest.approx(24 * HOUR_S)
    assert played.calls_of("publish") == []


def test_every_branch_that_was_answered_before_a_death_is_not_asked_again() -> None:
    with Plan("wide") as p:
        each = p.map("net.get", id="get", over=[0, 1, 2, 3], as_="n", n=expr("n"), max_parallel=4)
        p.result(p.step("net.sum", id="sum", values=each.passed, join=at_least(1)))
    played = (
        Scenario(p)
        .on("get", branch=0, returns=10)
        .on("get", branch=1, returns=11, after="5m")  # under way when the process dies: asked again
        .on("get", branch=2, returns=12)
        .kill_worker(at="get", branch=3)
        .on("get", branch=3, returns=13)
        .on("sum", returns=lambda call: call.args["values"])
        .play()
    )
    assert isinstance(played.result, Succeeded)
    assert played.result.output == [10, 11, 12, 13]
    assert sorted(call.branch or 0 for call in played.calls_of("get")) == [0, 1, 1, 2, 3, 3]


def test_real_pools_work_beside_what_is_played() -> None:
    pool = Pool("tools")

    @pool.worker
    async def shout(text: str) -> str:
        return text.upper()

    played = Scenario(CHAIN, pools=[pool]).on("first", returns="hello").play()
    assert isinstance(played.result, Succeeded)
    assert played.result.output == "HELLO"
    assert [call.step for call in played.calls] == ["first"]

    overruled = Scenario(CHAIN, pools=[pool]).on("first", returns="hello").on("second", returns="played").play()
    assert isinstance(overruled.result, Succeeded)
    assert overruled.result.output == "played"


def test_steps_of_sub_plans_are_named_by_their_plan_where_names_clash() -> None:
    with Plan("inner") as inner:
        inner.result(inner.step("net.get", id="get"))
    with Plan("outer") as outer:
        got = outer.step("net.get", id="get")
        below = outer.plan(inner, id="below")
        outer.result([got, below])
    played = Scenario(outer).on("get", returns="above").on("inner/get", returns="below").play()
    assert isinstance(played.result, Succeeded)
    assert played.result.output == ["above", "below"]
    assert len(played.sub_plans) == 1


def test_a_run_that_never_ends_is_told_of() -> None:
    with Plan("long", budget={"wall": "300d"}) as p:
        p.result(p.step("net.get", id="get", timeout={"attempt": "200d", "total": "200d"}))
    with pytest.raises(ScenarioFailed, match=r"did not end within 86400 s of the scenario's clock"):
        Scenario(p).on("get", returns=1, after="2d").play(limit="1d")


def test_money_of_lines_meets_the_budget() -> None:
    with Plan("dear", budget={"usd": 1.0}) as p:
        one = p.step("net.get", id="one", on_fail=["gap"])
        p.result(p.step("net.get", id="two", with_={"n": one.passed}))
    played = Scenario(p).on("one", returns=1, usd=1.5).play()
    assert not isinstance(played.result, Succeeded)
    assert played.calls_of("two") == []


def test_a_gap_is_told_as_the_plan_says() -> None:
    played = (
        Scenario(BRIEF)
        .on("sources", branch=0, returns=["a"])
        .wrong_answer("sources", [], branch=1, times=2)
        .on("sizing", returns={"low": 1, "high": 2})
        .on("sizing", check=2, returns=True)
        .on("draft", returns="text")
        .judge("draft", score=1)
        .person("approve", "hold")
        .play({"topic": "x"})
    )
    assert isinstance(played.result, Degraded)
    assert [(gap.step, gap.branch, gap.reason) for gap in played.result.gaps] == [("sources", 1, "no source")]


def test_what_the_environment_says_of_stores_and_models_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_TRANSPORT", "redis://127.0.0.1:1")
    monkeypatch.setenv("ORCHESTRATOR_STORE", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("ORCHESTRATOR_LOCAL", "true")
    played = Scenario(CHAIN).on("first", returns="hello").on("second", returns="HELLO").play()
    assert isinstance(played.result, Succeeded)
