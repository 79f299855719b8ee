"""Labels follow values from step to step: no hop washes them off, and a plan says them before anything runs."""

import pytest

from orchestrator.plan.compiled import compile_plan
from orchestrator.plan.files import parse_plan
from orchestrator.plan.provenance import Provenance, provenance_of

PLAN = parse_plan(
    """
version: 1
name: p
inputs: {topic: {type: string}, regions: {type: array}}
steps:
  fixed: {pool: w, call: f, with: {a: 1, b: "plain"}}
  asked: {pool: w, call: f, with: {topic: "${{ inputs.topic }}", run: "${{ run.id }}"}}
  person: {human: {ask: "Which?", choices: [a, b], expires: 1h, then: a}}
  written: {pool: w, task: "On ${{ inputs.topic }}", with: {x: "${{ steps.asked.output }}"}}
  plain: {pool: w, task: "Say hello"}
  each: {pool: w, call: f, foreach: {over: "${{ inputs.regions }}", as: r}, with: {r: "${{ r }}", n: 1}}
  piped: {pool: w, call: f, foreach: {each: each, as: one}, with: {one: "${{ one }}"}}
  last:
    pool: w
    call: f
    with:
      who: "${{ steps.person.output.choice }}"
      text: "${{ steps.written.output }}"
      deep: [{k: "${{ steps.piped.passed }}"}]
result: ${{ steps.last.output }}
"""
)
OUTSIDE = {"document", "tool"}


@pytest.mark.parametrize(
    ("step", "arguments", "output"),
    [
        ("fixed", {"a": {"trusted"}, "b": {"trusted"}}, OUTSIDE),
        ("asked", {"topic": {"user"}, "run": {"trusted"}}, {"user", *OUTSIDE}),
        ("person", {}, {"user"}),
        ("written", {"x": {"user", *OUTSIDE}, "task": {"user"}}, {"user", "model", *OUTSIDE}),
        ("plain", {"task": {"trusted"}}, {"model", *OUTSIDE}),
        ("each", {"r": {"user"}, "n": {"trusted"}}, {"user", *OUTSIDE}),
        ("piped", {"one": {"user", *OUTSIDE}}, {"user", *OUTSIDE}),
        (
            "last",
            {"who": {"user"}, "text": {"user", "model", *OUTSIDE}, "deep": {"user", *OUTSIDE}},
            {"user", "model", *OUTSIDE},
        ),
    ],
)
def test_labels(step: str, arguments: dict[str, set[str]], output: set[str]) -> None:
    known = Provenance(PLAN)
    assert (dict(known.arguments(step)), known.output(step)) == (arguments, output)


def test_inputs_of_a_sub_plan_may_be_anything_that_its_parent_knows() -> None:
    known = Provenance(PLAN)
    assert known.told("asked", parent=False) == {"topic": ["user"], "run": ["trusted"]}
    assert known.told("asked", parent=True) == {"topic": ["document", "model", "tool", "user"], "run": ["trusted"]}
    assert known.told("asked", parent=True) is known.told("asked", parent=True)


def test_a_long_chain_is_walked_from_its_end_without_recursion() -> None:
    steps = "".join(
        f'  s{n}: {{pool: w, call: f, with: {{x: "${{{{ steps.s{n - 1}.output }}}}"}}}}\n' for n in range(1, 3_000)
    )
    plan = parse_plan(
        f"version: 1\nname: p\ninputs: {{a: {{type: string}}}}\nsteps:\n"
        f'  s0: {{pool: w, call: f, with: {{x: "${{{{ inputs.a }}}}"}}}}\n{steps}'
    )
    assert Provenance(plan).arguments("s2999") == {"x": {"user", *OUTSIDE}}


def test_the_runs_of_a_plan_share_its_labels() -> None:
    compiled = compile_plan(PLAN)
    assert provenance_of(compiled) is provenance_of(compiled)
