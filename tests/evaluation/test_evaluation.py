"""A plan's own test set: read strictly, judged by what results are, compared without taking chance for progress."""

import json
import math
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import Engine
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.cli.eval import _moments
from orchestrator.core import facts as f
from orchestrator.core.results import Cancelled, Degraded, Failed, Gap, RunResult, Stopped, Succeeded, Usage
from orchestrator.engine.operations import Operations
from orchestrator.engine.rating import RATINGS_MAX, rate
from orchestrator.engine.recovery import read_all
from orchestrator.errors import PlanError, PromiseError, WrongState
from orchestrator.ids import JsonValue, RunId, StepId
from orchestrator.plan.files import parse_plan
from orchestrator.ports.journal import Append, RunQuery
from orchestrator.service.evaluation.cases import Case, EvalSet, Expect, dump_set, parse_set
from orchestrator.service.evaluation.collecting import collect, merged
from orchestrator.service.evaluation.judging import wrong
from orchestrator.service.evaluation.report import CaseReport, Report, compare, read_report
from orchestrator.service.evaluation.running import check_inputs, evaluate
from orchestrator.service.evaluation.statistics import difference, share
from orchestrator.testing.facts import accepted
from workers import Pool

RUN = RunId("run-1")
PLAN = """
version: 1
name: sizes
inputs: {word: {type: string}}
steps:
  size: {pool: desk, call: size, with: {word: "${{ inputs.word }}"}}
result: ${{ steps.size.output }}
"""


def desk() -> Pool:
    pool = Pool("desk")

    @pool.worker
    async def size(word: str) -> int:
        if word == "bad":
            raise ValueError("no such word")
        return len(word)

    return pool


def sizes(**cases: tuple[str, int]) -> EvalSet:
    """A set: by case the word, and the size that is expected."""
    made = [Case(id=name, inputs={"word": word}, expect=(Expect(equals=n),)) for name, (word, n) in cases.items()]
    return EvalSet(version=1, name="sizes", plan="sizes.plan.yaml", cases=tuple(made))


# ---- reading


def test_a_set_is_written_so_that_it_reads_back() -> None:
    text = """
version: 1
name: daily
plan: brief.plan.yaml
repeat: 3
timeout: 90s
budget: {usd: 0.5}
pass_at: 0.9
cases:
  - id: one
    inputs: {topic: "a: b #c", numbers: [1, 2.5, null, true]}
    expect:
      - rule: output.low <= output.high and run.usd < 0.1
      - {contains: year, reason: every figure carries a year}
      - equals: null
  - id: two
"""
    found = parse_set(text)
    assert found.timeout == 90.0
    assert [expect.kind for expect in found.cases[0].expect] == ["rule", "contains", "equals"]
    assert parse_set(dump_set(found)) == found


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("cases:", "case:"), 1, "cases"),
        (("rule: output > 1", "rule: outputs > 1"), 8, "there is no outputs here"),
        (("rule: output > 1", "rule: output >"), 8, "output >"),
        (("rule: output > 1", "rule: output > 1, equals: 2"), 8, "exactly one"),
        (("id: two", "id: one"), 6, "two cases are called one"),
        (("pass_at: 0.5", "pass_at: 5"), 4, "at most 1"),
        (("repeat: 2", "repeat: 200"), 3, "at most 20"),
    ],
)
def test_a_mistake_is_named_with_its_line(change: tuple[str, str], line: int, words: str) -> None:
    text = (
        "version: 1\nname: daily\nrepeat: 2\npass_at: 0.5\ncases:\n  - id: one\n    expect:\n"
        "      - {rule: output > 1}\n  - id: two\nplan: x.plan.yaml\n"
    )
    parse_set(text)
    with pytest.raises(PlanError) as caught:
        parse_set(text.replace(*change), "x.eval.yaml")
    issue = caught.value.issues[0]
    assert words in f"{issue.message} {issue.expected}"
    assert (issue.file, issue.line) == ("x.eval.yaml", line)


# ---- judging

OK = Succeeded(run_id=RUN, output={"low": 1, "text": "in 2024"}, usage=Usage(usd=0.2, tokens=9))
GAPPED = Degraded(run_id=RUN, output="part", gaps=(Gap(step=StepId("quote"), reason="made up"),))


@pytest.mark.parametrize(
    ("expect", "result", "said"),
    [
        ({"rule": "output.low == 1 and run.usd < 0.3 and run.tokens == 9"}, OK, []),
        ({"rule": "output.low > 1"}, OK, ["this does not hold: output.low > 1"]),
        ({"rule": "output.low"}, OK, ["the rule gives 1, no true or false"]),
        ({"rule": "run.seconds < 5 and inputs.n == 4"}, OK, []),
        ({"contains": "2024"}, OK, []),
        ({"contains": "2025", "reason": "why"}, OK, ['why: {"low":1,"text":"in 2024"} does not contain \'2025\'']),
        ({"equals": {"text": "in 2024", "low": 1}}, OK, []),
        ({"not_equals": {"text": "in 2024", "low": 1}}, OK, ['the output is {"low":1,"text":"in 2024"} again']),
        ({"status": "degraded"}, OK, ["the run succeeded, not degraded"]),
        ({"status": "degraded"}, GAPPED, []),
        ({"rule": "len(gaps) == 1 and gaps[0].step == 'quote'"}, GAPPED, []),
        ({"status": "failed"}, Failed(run_id=RUN, cause="boom"), []),
        ({"equals": None}, Failed(run_id=RUN, cause="boom"), ["the run failed: boom"]),
        ({"equals": None}, Stopped(run_id=RUN, reason="usd", partial={}), ["the run stopped: usd"]),
        ({"equals": None}, Cancelled(run_id=RUN), ["the run was cancelled"]),
        ({"equals": None}, Succeeded(run_id=RUN, output=None), []),
    ],
)  # fmt: skip
def test_what_holds_of_a_result(expect: dict[str, JsonValue], result: RunResult, said: list[str]) -> None:
    case = Case(id="case", inputs={"n": 4}, expect=(Expect.model_validate(expect),))
    assert wrong(case, result, 1.0) == said


def test_a_case_that_expects_nothing_wants_success() -> None:
    case = Case(id="case")
    assert wrong(case, OK, 1.0) == []
    assert wrong(case, GAPPED, 1.0) == ["the run degraded, not succeeded"]


def test_a_rule_that_cannot_be_judged_is_not_right() -> None:
    case = Case(id="case", expect=(Expect(rule="output.missing > 1"),))
    (said,) = wrong(case, OK, 1.0)
    assert said.startswith("the rule cannot be judged:")


# ---- running


@pytest.mark.anyio
async def test_a_set_is_run_and_each_run_is_rated_in_its_journal() -> None:
    journal = MemoryJournal()
    async with Engine(pools=[desk()], journal=journal, drain_s=0.0) as engine:
        one = sizes(short=("sun", 3), long=("heat pump", 8), bad=("bad", 3)).model_copy(update={"repeat": 2})
        heard: list[str] = []
        report = await evaluate(engine.runs, one, parse_plan(PLAN), tell=lambda case, _: heard.append(case.id))
        assert sorted(heard) == ["bad", "long", "short"]
        assert {name: (case.right, case.runs_right, len(case.runs)) for name, case in report.cases.items()} == {
            "short": (True, 2, 2), "long": (False, 0, 2), "bad": (False, 0, 2),
        }  # fmt: skip
        assert report.cases["long"].reasons == ("the output is 9, not 8",)
        assert report.cases["bad"].reasons[0].startswith("the run failed: ")
        assert report.accuracy == share(1, 3)
        for name, case in report.cases.items():
            for run in case.runs:
                (rated,) = [r.fact for r in await read_all(journal, RunId(run)) if isinstance(r.fact, f.RunRated)]
                assert (rated.source, rated.score, rated.about) == ("eval", float(case.right), f"sizes/{name}")
        assert read_report(report.model_dump_json(), "x.json") == report


@pytest.mark.anyio
async def test_a_run_that_waits_for_a_person_or_takes_too_long_is_wrong() -> None:
    asks = PLAN.replace("result: ${{ steps.size.output }}", "").replace("name: sizes", "name: asks") + (
        "  ask: {human: {ask: Good?, choices: [yes, no], expires: 1h}}\nresult: ${{ steps.ask.output.choice }}\n"
    ).replace("[yes, no]", '["yes", "no"]')
    async with Engine(pools=[desk()], store="memory:", drain_s=0.0) as engine:
        report = await evaluate(engine.runs, sizes(one=("sun", 3)), parse_plan(asks))
        assert report.cases["one"].reasons == ("it waits for a person, and nobody answers in an evaluation",)
        assert not engine.runs.drivers()


def test_inputs_are_held_against_the_plan_before_anything_runs() -> None:
    one = sizes(good=("sun", 3))
    odd = one.model_copy(update={"cases": (*one.cases, Case(id="odd", inputs={"word": 3}))})
    check_inputs(one, parse_plan(PLAN), "x")
    with pytest.raises(PlanError, match=r"cases\[1\] \(odd\)"):
        check_inputs(odd, parse_plan(PLAN), "x")


# ---- comparing


def report_of(**right: bool) -> Report:
    cases = {
        name: CaseReport(right=good, runs=("r",), runs_right=int(good), usd=0.1, seconds=1.0)
        for name, good in right.items()
    }
    return Report(set="s", plan="p", plan_digest="d", at_s=1.0, cases=cases)


def many(right: int, all_: int, shift: int = 0) -> Report:
    return report_of(**{f"c{(n + shift) % all_}": n < right for n in range(all_)})


def test_chance_is_not_taken_for_a_fall() -> None:
    few = compare(many(8, 10), many(10, 10))
    assert (few.broken, few.worse) == (("c8", "c9"), False)
    assert compare(many(80, 100), many(100, 100)).worse
    assert not compare(many(100, 100), many(80, 100)).worse


def test_only_cases_that_both_have_are_compared() -> None:
    found = compare(report_of(a=True, b=False, new=False), report_of(a=False, b=True, old=True))
    assert (found.shared, found.fixed, found.broken) == (2, ("a",), ("b",))
    with pytest.raises(PromiseError, match="the baseline is of plan other, not of p"):
        compare(report_of(a=True), report_of(a=True).model_copy(update={"plan": "other"}))
    with pytest.raises(PromiseError, match="none of these cases"):
        compare(report_of(a=True), report_of(b=True))


@pytest.mark.parametrize("text", ["", "{}", '{"set": 1}', report_of().model_dump_json()])
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(PromiseError, match="report"):
        read_report(text, "x.json")


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [((36, 12, 2, 0), 0.0569, 0.3404), ((0, 0, 0, 50), -0.0713, 0.0713)],
)
def test_the_interval_of_a_difference_is_the_published_one(
    counts: tuple[int, int, int, int], low: float, high: float
) -> None:
    """The first is an example of the paper; in the second nothing has changed, and nobody knows more."""
    found = difference(*counts)
    assert found.low == pytest.approx(low, abs=5e-4)
    assert found.high == pytest.approx(high, abs=5e-4)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share(counts: tuple[int, int]) -> None:
    found = share(*counts)
    assert 0 <= found.low <= found.value <= found.high <= 1
    n, p = counts[1], found.value
    for end in (found.low, found.high):
        assert math.isclose(abs(p - end), 1.96 * math.sqrt(max(end * (1 - end), 0) / n), abs_tol=1e-4)


@given(st.tuples(*[st.integers(0, 60)] * 4).filter(lambda counts: sum(counts) > 0))
def test_a_difference_is_the_same_seen_from_the_other_side(counts: tuple[int, int, int, int]) -> None:
    both, new, old, neither = counts
    there, back = difference(both, new, old, neither), difference(both, old, new, neither)
    assert there.low <= there.value <= there.high
    assert (there.low, there.high) == (pytest.approx(-back.high), pytest.approx(-back.low))


# ---- from what people said


@pytest.mark.anyio
async def test_thumbs_and_quarantines_become_cases() -> None:
    journal = MemoryJournal()
    async with Engine(pools=[desk()], journal=journal, drain_s=0.0) as engine:
        plan = parse_plan(PLAN)
        runs = {}
        for word in ("liked", "hated", "changed", "wrong", "silent"):
            run = await engine.submit(plan, {"word": word})
            await run.result()
            runs[word] = run.id

        async def thumb(word: str, score: float, by: str = "ann", reason: str = "") -> bool:
            return await rate(
                journal,
                RunId(runs[word]),
                source="thumb",
                score=score,
                by=by,
                now_s=engine.runs.clock.now_s(),
                reason=reason,
            )

        assert await thumb("liked", 1.0)
        assert not await thumb("liked", 1.0)
        assert await thumb("hated", 0.0, reason="too short")
        assert await thumb("changed", 0.0)
        assert await thumb("changed", 1.0)
        await Operations(engine.runs).quarantine(RunId(runs["wrong"]), "size", reason="miscounted", by="bob")
        await evaluate(engine.runs, sizes(one=("sun", 3)), plan)

        cases = await collect(journal, "sizes")
        told = {case.inputs["word"]: (case.id.split("-")[0], case.expect, case.source) for case in cases}
        assert told == {
            "liked": ("up", (Expect(equals=5),), runs["liked"]),
            "changed": ("up", (Expect(equals=7),), runs["changed"]),
            "hated": ("down", (Expect(not_equals=5, reason="too short"),), runs["hated"]),
            "wrong": ("quarantined", (Expect(not_equals=5, reason="miscounted"),), runs["wrong"]),
        }
        one, new = merged(sizes(one=("sun", 3)), cases)
        assert (new, len(one.cases)) == (4, 5)
        assert merged(one, cases)[1] == 0
        assert parse_set(dump_set(one)) == one
        await journal.forget([RunId(runs["liked"])], payloads_only=True)
        assert len(await collect(journal, "sizes")) == 3


@pytest.mark.anyio
async def test_a_run_is_rated_when_it_has_ended_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = MemoryJournal()
    async with Engine(pools=[desk()], journal=journal, drain_s=0.0) as engine:
        still = Append(run_id=RunId("open"), first_seq=1, epoch=1, facts=(accepted("open"),))
        assert not await journal.append([still])
        with pytest.raises(WrongState, match="rate it when it has ended"):
            await rate(journal, RunId("open"), source="thumb", score=1.0, by="ann", now_s=1.0)
        run = await engine.submit(parse_plan(PLAN), {"word": "sun"})
        await run.result()
        assert RATINGS_MAX == 1_000
        monkeypatch.setattr("orchestrator.engine.rating.RATINGS_MAX", 3)
        for number in range(3):
            assert await rate(journal, run.id, source="thumb", score=1.0, by=f"p{number}", now_s=1.0)
        with pytest.raises(WrongState, match="rated 3 times"):
            await rate(journal, run.id, source="thumb", score=1.0, by="one more", now_s=1.0)
        with pytest.raises(ValueError, match="from 0 to 1"):
            await rate(journal, run.id, source="thumb", score=2.0, by="ann", now_s=1.0)
        rows = await journal.runs(RunQuery(run_id=run.id))
        assert [row.status for row in rows] == ["succeeded"]


# ---- from the command line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "words.py").write_text(
        "from workers import Pool\n\ndesk = Pool('desk')\n\n\n@desk.worker\nasync def size(word: str) -> int:\n"
        "    return len(word)\n"
    )
    (tmp_path / "sizes.plan.yaml").write_text(PLAN)
    (tmp_path / "sizes.eval.yaml").write_text(dump_set(sizes(short=("sun", 3), long=("heat pump", 9))))
    return tmp_path


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(folder: Path, root: Path) -> Command:
    import os
    import subprocess
    import sys

    def run(*words: str) -> tuple[int, str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *words, "--pools", "words"], cwd=folder, capture_output=True,
            text=True, check=False, env={**kept, "PYTHONPATH": str(root), "NO_COLOR": "1"},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return run


def test_ci_learns_from_the_exit_code(folder: Path, command: Command) -> None:
    code, out, err = command("eval", "sizes.eval.yaml", "--save", "base.json", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["accuracy"]["value"], told["cases"]["short"]["right"]) == (1.0, True)

    worse = sizes(short=("sun", 4), long=("heat pump", 9))
    (folder / "sizes.eval.yaml").write_text(dump_set(worse))
    code, out, _ = command("eval", "sizes.eval.yaml", "--baseline", "base.json")
    assert code == 0
    assert "broken   short" in out
    assert "no worse than chance explains" in out
    assert command("eval", "sizes.eval.yaml", "--baseline", "base.json", "--strict")[0] == 1
    (folder / "sizes.eval.yaml").write_text(dump_set(worse.model_copy(update={"pass_at": 0.9})))
    code, out, _ = command("eval", "sizes.eval.yaml")
    assert (code, "below    pass_at 90%" in out) == (1, True)
    (folder / "sizes.eval.yaml").write_text("version: 1\nname: x\n")
    code, _, err = command("eval", "sizes.eval.yaml")
    assert code == 2
    assert "sizes.eval.yaml:1:1" in err


def test_a_baseline_of_another_plan_is_refused_before_anything_runs(folder: Path, command: Command) -> None:
    (folder / "other.json").write_text(report_of(short=True).model_dump_json())
    code, out, err = command("eval", "sizes.eval.yaml", "--baseline", "other.json")
    assert (code, out) == (2, "")
    assert "the baseline is of plan p, not of sizes" in err
    assert not (folder / ".orchestrator").exists()


def test_a_time_that_is_none_is_refused(command: Command) -> None:
    code, _, err = command("eval", "sizes.eval.yaml", "--every", "at noon")
    assert code == 2
    assert "write five fields" in err


def test_every_run_of_an_evaluation_is_in_the_store(folder: Path, command: Command) -> None:
    assert command("eval", "sizes.eval.yaml", "--repeat", "3")[0] == 0
    code, _, _ = command("eval", "sizes.eval.yaml", "--collect", "more.eval.yaml")
    assert (code, (folder / "more.eval.yaml").exists()) == (0, False)


@pytest.mark.anyio
async def test_a_schedule_waits_for_each_of_its_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("anyio.sleep", sleep)
    moments = []
    async with aclosing(_moments("* * * * *")) as times:
        async for moment in times:
            moments.append(moment)
            if len(moments) == 3:
                break
    assert [(later - moments[0]).total_seconds() for later in moments] == [0, 60, 120]
    assert all(0 <= one - 60 * number <= 60 for number, one in enumerate(waited))
