"""What Python lets a user hand over and no plan may hold is refused where it is written, with its place."""

import subprocess
import sys

import pytest

from orchestrator import Plan, at_least, checks
from orchestrator.errors import PlanError
from orchestrator.plan.files import parse_plan


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("a\0", "a text holds the character NUL (at steps.a.with.x.k[0])"),
        ("\ud800", "a text holds half a character (a lone surrogate) (at steps.a.with.x.k[0])"),
        (2**1023, "an integer of 1024 bits (at steps.a.with.x.k[0])"),
        (10**5000, "an integer of 16610 bits (at steps.a.with.x.k[0])"),
    ],
    ids=["nul", "surrogate", "integer", "digits"],
)
def test_what_no_journal_keeps_is_refused_with_its_place(value: object, told: str) -> None:
    with Plan("t") as p:
        p.step("p.f", id="a", x={"k": [value]})
    with pytest.raises(PlanError) as caught:
        p.freeze()
    assert told in str(caught.value)


def test_the_largest_integer_that_is_kept_passes() -> None:
    with Plan("t") as p:
        p.step("p.f", id="a", x=2**1023 - 1, y="\\u0000")
    assert p.freeze().steps["a"].with_ == {"x": 2**1023 - 1, "y": "\\u0000"}


def test_a_set_gives_the_same_digest_in_every_process() -> None:
    program = (
        "from orchestrator import Plan\n"
        "with Plan('t') as p:\n    p.step('p.f', id='a', x={'one', 'two', 'three', 'four', 5})\n"
        "print(p.freeze().digest)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("path", ["a..b", ".a", "a.", " a", "items[0].url", ""])
def test_a_path_into_an_output_is_names_and_dots(path: str) -> None:
    with pytest.raises(PlanError):
        checks.grounded(path)
    with pytest.raises(PlanError):
        checks.agree(3, 2, field=path)


@pytest.mark.parametrize(
    ("choices", "then", "told"),
    [
        (["a", "a"], None, "a choice is offered twice"),
        (["fail", "ok"], "fail", "no choice can be called fail beside it"),
        ("abc", None, "'abc' is one text"),
    ],
    ids=["twice", "fail", "text"],
)
def test_choices_that_mean_two_things_are_refused(choices: list[str], then: str | None, told: str) -> None:
    with Plan("t") as p, pytest.raises(PlanError, match=told):
        p.human("h", ask="?", choices=choices, then=then)


@pytest.mark.parametrize("n", [0, -1, True, 1.5, "2"])
def test_at_least_is_a_whole_number(n: object) -> None:
    with pytest.raises(PlanError, match="at_least"):
        at_least(n)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("version: true\nname: t\nsteps: {a: {pool: p, call: f}}", "1:10: version is true (at version)"),
        (
            "name: t\nsteps: {a: {pool: p, call: f, retry: {errors: [provider, terminal]}}}",
            "terminal cannot be retried here: the engine has a way of its own for each (at steps.a.retry)",
        ),
        (
            "name: t\nsteps: {a: {model: {tier: cheap}, human: {ask: q, choices: [y]}}}",
            "model goes with task and call: nothing else uses one (at steps.a)",
        ),
    ],
    ids=["version", "errors", "model"],
)
def test_a_key_where_it_means_nothing_is_refused(text: str, told: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_plan(text)
    assert told in str(caught.value)
