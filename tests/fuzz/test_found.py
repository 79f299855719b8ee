"""What the fuzzer has found, each as it must be today; the inputs lie in the corpus as `found-…`."""

import warnings

import pytest
from pydantic import ValidationError

from orchestrator.adapters.redis.dead import _letter
from orchestrator.core.facts import AttemptFailed
from orchestrator.engine.translate import input_of, read_verdict
from orchestrator.errors import ExpressionError
from orchestrator.ids import JsonValue, PoolName, StepId
from orchestrator.plan.durations import parse_duration
from orchestrator.plan.expressions import bare
from orchestrator.plan.models import Plan
from orchestrator.ports.tasks import TaskDone, TaskKey
from tests.core.bench import RUN, Bench, plan_of


def test_a_duration_that_no_float_holds_is_too_long() -> None:
    with pytest.raises(ValueError, match="at most 366 days"):
        parse_duration(10**400)
    with pytest.raises(ValidationError, match="at most 366 days"):
        Plan.model_validate({"name": "x", "steps": {"a": {"pool": "w", "call": "f"}}, "budget": {"wall": 10**400}})
    assert (parse_duration(90), type(parse_duration(90))) == (90.0, float)


@pytest.mark.parametrize("written", ["²", "٣", "9" * 400, "9" * 5_000, "-1", ""])
def test_a_dead_letter_that_a_stranger_numbered_is_listed_all_the_same(written: str) -> None:
    fields = {name: written.encode() for name in (b"l", b"n", b"a")}
    letter = _letter(PoolName("p"), "1-0", fields)
    assert (letter.lane, letter.deliveries, letter.at_s) == ("", 0, 0.0)


@pytest.mark.parametrize("score", [10**400, -(10**400), float("inf"), float("nan")])
def test_a_score_that_no_journal_keeps_is_none(score: float) -> None:
    assert read_verdict({"verdict": "fix", "reasons": ["no"], "score": score}) == ("fix", ("no",), None, None)
    assert read_verdict({"verdict": "fix", "reasons": ["no"], "score": 1}) == ("fix", ("no",), 1.0, None)


@pytest.mark.parametrize("output", [float("inf"), {"n": [float("nan")]}, "\ud800"])
def test_an_output_that_no_journal_keeps_is_a_failure_of_its_worker(output: JsonValue) -> None:
    bench = Bench(plan_of({"a": {}}))
    message = TaskDone(key=TaskKey(RUN, StepId("a"), -1, 1), worker="w", output=output)
    event = input_of(message, bench.machine.state, 1.0)
    assert isinstance(event, AttemptFailed)
    assert (event.error, event.actor) == ("output", "w")
    assert bench.tell(event)[0] == "attempt.failed a#1 output"


@pytest.mark.parametrize("text", [".5or 1", "1 if .5else 2", "x.5or 1"])
def test_a_number_that_runs_into_a_word_is_refused_before_python_complains(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ExpressionError, match="is no number"):
            bare(text)
    assert bare(".5 or 1").evaluate({}) == 0.5
