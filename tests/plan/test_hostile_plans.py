"""A corpus of bad plans: each is refused at once, with place and reason, and nothing of it is run."""

import re
import time
import tracemalloc
from collections import Counter
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import PlanError, PlanIssue
from orchestrator.ids import Digest, JsonValue
from orchestrator.plan.catalogue import FunctionContract
from orchestrator.plan.check import check_plan
from orchestrator.plan.files import read_plan
from tests.plan.hostile_plans import HOSTILE, Hostile
from tests.plan.test_files import FULL
from tests.plan.test_yaml_text import large_plan, unit_s

REFUSED_WITHIN_S = 0.1
REFUSED_WITHIN_BYTES = 50_000_000
KINDS = (
    *("alias", "bytes", "clash", "count", "cycle", "depth", "documents", "duplicate", "expression", "flow", "keys"),
    *("never", "number", "pool", "reference", "schema", "size", "skip", "steps", "sub-plan", "tag", "type"),
    *("unknown key",),
)


class Pools:
    """One pool `tools` with one function `size(n)`, and a pool `research` with an agent."""

    def pools(self) -> Collection[str]:
        return ("research", "tools")

    def functions(self, pool: str) -> Mapping[str, FunctionContract]:
        takes: dict[str, JsonValue] = {
            "type": "object",
            "properties": {"n": {"type": "integer", "default": 1}},
            "additionalProperties": False,
        }
        size = FunctionContract(name="size", input_schema=takes, output_schema={}, digest=Digest("sha256:0"))
        return {"size": size} if pool == "tools" else {}

    def has_agent(self, pool: str) -> bool:
        return pool == "research"


def errors_of(text: str | bytes) -> tuple[PlanIssue, ...]:
    """What `plan check` tells of a plan text."""
    try:
        source = read_plan(text, "bad.plan.yaml")
    except PlanError as error:
        return error.issues
    return check_plan(source.plan, Pools(), source.sources).errors


def named(number: int) -> str:
    return f"{number}-{HOSTILE[number].kind}"


@pytest.mark.parametrize("number", range(len(HOSTILE)), ids=named)
def test_a_bad_plan_is_refused_at_once_with_place_and_reason(number: int) -> None:
    bad = HOSTILE[number]
    used_s = []
    found: tuple[PlanIssue, ...] = ()
    for _ in range(6):  # a collection of garbage, or a busy neighbour, may fall into one
        started_s = time.process_time()
        found = errors_of(bad.text)
        used_s.append(time.process_time() - started_s)
        if used_s[-1] < REFUSED_WITHIN_S:
            break

    assert [each for each in found if bad.reason in each.message and each.line == bad.line], [
        (each.line, each.message) for each in found[:5]
    ]
    assert all(each.line >= 1 and each.column >= 1 for each in found if not each.message.startswith("and "))
    assert {each.file for each in found if each.line} == {"bad.plan.yaml"}
    assert min(used_s) < max(REFUSED_WITHIN_S, unit_s())  # which is more where the machine is slow now


@pytest.mark.parametrize("bad", [bad for bad in HOSTILE if len(bad.text) > 100_000], ids=lambda bad: bad.kind)
def test_a_large_bad_plan_costs_little_memory(bad: Hostile) -> None:
    tracemalloc.start()
    try:
        assert errors_of(bad.text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < REFUSED_WITHIN_BYTES


def test_the_corpus_has_every_kind_and_more_than_a_hundred_plans() -> None:
    counts = Counter(bad.kind for bad in HOSTILE)

    assert sorted(counts) == sorted(KINDS)
    assert len({bad.text for bad in HOSTILE}) >= 100


PIECES = (
    *(
        "null",
        "true",
        "-1",
        "1e3",
        "[]",
        "{}",
        '""',
        "x",
        "yes",
        "[[1]]",
        "{a: {b: [c]}}",
        '"${{ steps.a.output[0].x }}"',
    ),
    *(
        '"${{ item }}"',
        '"${{ 1 / 0 }}"',
        "gap",
        "any",
        "{at_least: 2}",
        "1s",
        "{type: object}",
        '{"$ref": "#"}',
        "a",
        "b",
    ),
    *("steps.b.output", "not steps.a.skipped", "{name: q, steps: {z: {goal: g}}}", "[a, b]", "foreach", "finally"),
)


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(PIECES)), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_a_plan_with_random_values_is_checked_or_refused_but_never_breaks_the_checker(
    changes: list[tuple[int, str]],
) -> None:
    words = re.split(r"(?<=[:,\[{] )(?=\S)", FULL)
    for at, piece in changes:
        word = words[at % len(words)]
        words[at % len(words)] = piece + (re.search(r"[,}\]\s].*\Z", word, re.DOTALL) or [""])[0]
    errors_of("".join(words))


def test_a_good_plan_of_ten_thousand_steps_is_checked_in_time() -> None:
    text = large_plan(10_000).replace("[{retry: 2}, gap]", "[{retry: 2}]")
    text = text.replace("steps:", "inputs: {topic: {type: string}}\nsteps:", 1).replace(
        "steps.s0.output", "inputs.topic", 1
    )
    used_s = []
    for _ in range(3):  # a busy neighbour may slow one down
        started_s = time.process_time()
        source = read_plan(text)
        report = check_plan(source.plan, None, source.sources)
        used_s.append(time.process_time() - started_s)
        assert report.errors == ()
        if used_s[-1] < 3.0:
            break
    assert min(used_s) < 3.0
