"""`orchestrator chaos`: a plan of your own through seeded disasters."""

import json
from pathlib import Path

import pytest

from orchestrator.cli.root import run
from orchestrator.testing.simulation.given import sample

PLAN = """
name: small
inputs: {topic: {type: string}}
steps:
  find: {pool: research, call: find, with: {topic: "${{ inputs.topic }}"}, output: {type: object, required: [hits],
    properties: {hits: {type: integer, minimum: 3}}}, checks: [{rule: output.hits >= 3}], on_fail: [{retry: 2}]}
  write: {pool: writer, task: Write, with: {hits: "${{ steps.find.output.hits }}"}}
result: ${{ steps.write.output }}
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "small.plan.yaml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def test_every_disaster_is_counted_and_no_promise_broke(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["chaos", str(plan), "-i", "topic=x", "--seeds", "8", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert told["without_faults"] == "succeeded"
    assert (told["schedules"], sum(told["runs"].values()), told["broken_promises"]) == (8, 8, {})
    others = set(told["runs"]) - {"succeeded"}
    assert code == (1 if "failed" in others else 7 if others else 0)


def test_answers_that_pass_no_check_are_told_of(plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"find": {"hits": 1}}), encoding="utf-8")

    code = run(["chaos", str(plan), "-i", "topic=x", "--seeds", "1", "--answers", str(answers)])

    assert code == 1
    assert "without any fault the run ends as failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "minLength": 3}, "xxx"),
        ({"enum": ["a", "b"]}, "a"),
        ({"type": "array", "minItems": 2, "items": {"type": "number"}}, [1, 1]),
        ({"type": "object", "required": ["n"], "properties": {"k": {"type": "boolean"}}}, {"k": True, "n": "x"}),
        ({"anyOf": [{"type": "integer", "minimum": 5}, {"type": "null"}]}, 5),
    ],
)
def test_made_up_values_fit_their_schema(schema: dict[str, object], value: object) -> None:
    assert sample(schema) == value  # type: ignore[arg-type]  # JSON
