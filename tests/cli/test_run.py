"""`orchestrator run`: result on stdout, progress on stderr, one exit code for each way a run can end."""

import json

import pytest


def test_a_run_prints_its_result_and_nothing_else_on_stdout(shell) -> None:
    ended = shell("run", "chain.plan.yaml", "-i", "n=21")

    assert json.loads(ended.out) == {"n": 42, "name": "x"}
    assert "✓ passed  twice" in ended.err
    assert "✓ succeeded" in ended.err
    assert "\x1b" not in ended.out + ended.err


def test_a_text_result_is_printed_as_text(shell) -> None:
    shell.open_the_gate()

    assert shell("run", "gated.plan.yaml").out == "done before\n"


def test_json_prints_exactly_one_document(shell) -> None:
    document = shell("run", "gaps.plan.yaml", "--json", code=7).json

    step = document["steps"]["odds"]
    assert list(document) == ["run", "status", "output", "gaps", "usage", "steps"]
    assert document["status"] == "degraded"
    assert document["output"] == [1, 3]
    assert [(gap["step"], gap["branch"]) for gap in document["gaps"]] == [("odds", 1)]
    assert document["usage"] == {"usd": 0.0, "tokens": 0, "calls": 0}
    assert step["branches"] == {"total": 3, "gap": 1, "passed": 2}
    assert [gap["branch"] for gap in step["gaps"]] == [1]
    assert (step["status"], step["attempts"]) == ("passed", 1)
    assert step["verdicts"] == [{"check": 0, "name": "schema", "verdict": "pass", "count": 2, "reasons": []}]
    assert step["started_at"] <= step["ended_at"]


def test_jsonl_prints_every_event(shell) -> None:
    events = [json.loads(line) for line in shell("run", "chain.plan.yaml", "--jsonl").lines]

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["kind"], events[-1]["kind"]) == ("run.accepted", "run.ended")


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (["-i", "n=3", "-i", "name=3"], {"n": 6, "name": "3"}),
        (["-i", "n=4", "-i", "name=true"], {"n": 8, "name": "true"}),
        (["-i", "name=@note.txt"], {"n": 6, "name": "from a file\n"}),
        (["-i", "name=@@home"], {"n": 6, "name": "@home"}),
        (["--inputs", "inputs.json"], {"n": 10, "name": "five"}),
        (["--inputs", "inputs.yaml", "-i", "n=1"], {"n": 2, "name": "yes"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_inputs_are_read_as_their_schema_says(shell, typed: list[str], read: dict) -> None:
    (shell.home / "note.txt").write_text("from a file\n")
    (shell.home / "inputs.json").write_text('{"n": 5, "name": "five"}')
    (shell.home / "inputs.yaml").write_text("n: 7\nname: yes\n")

    assert shell("run", "chain.plan.yaml", *typed).json == read


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["chain.plan.yaml", "-i", "n=many"], "input 'n'"),
        (["chain.plan.yaml", "-i", "m=1"], "the plan takes n, name"),
        (["chain.plan.yaml", "-i", "n"], "not of the form name=value"),
        (["chain.plan.yaml", "-i", "name=@nowhere"], "cannot be read"),
        (["nowhere.plan.yaml"], "no such file"),
        (["chain.plan.yaml", "--pools", "no.such.module"], "no.such.module"),
        (["chain.plan.yaml", "--store", "mysql://x"], "is not known"),
        (["chain.plan.yaml", "--lane", "fast"], "choose high, normal, low or batch"),
        (["chain.plan.yaml", "--json", "--jsonl"], "choose one of"),
        (["chain.plan.yaml", "--no-such-option"], "No such option"),
        (["bad.plan.yaml"], "bad.plan.yaml:4:19: unknown key cal"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_a_user_got_wrong_is_said_without_a_traceback(shell, arguments: list[str], told: str) -> None:
    (shell.home / "bad.plan.yaml").write_text("version: 1\nname: bad\nsteps:\n  a: {pool: desk, cal: double}\n")

    ended = shell("run", *arguments, code=2)

    assert told in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""


def test_debug_shows_the_traceback_wherever_it_stands(shell) -> None:
    assert "Traceback" in shell("run", "chain.plan.yaml", "-i", "n=many", "--debug", code=2).err


def test_a_failed_run_ends_with_1_and_says_what_to_do(shell) -> None:
    ended = shell("run", "fails.plan.yaml", code=1)

    assert "2 is even" in ended.err
    assert "--from-failed" in ended.err
    assert ended.out == ""


def test_a_budget_that_stops_a_run_ends_it_with_3(shell) -> None:
    document = shell("run", "dear.plan.yaml", "--budget-usd", "0.3", "--json", code=3).json

    assert document["status"] == "stopped"
    assert document["usage"] == {"usd": 0.5, "tokens": 0, "calls": 0}
    assert document["output"] == {"one": 1}


def test_a_question_that_nobody_can_be_asked_ends_with_4_and_names_the_commands(shell) -> None:
    ended = shell("run", "asks.plan.yaml", "--json", code=4)

    run = ended.json["run"]
    assert ended.json["status"] == "waiting"
    assert f"orchestrator approve {run} ask --choice publish" in ended.err
    assert f"orchestrator resume {run}" in ended.err


def test_an_idempotency_key_gives_the_run_that_exists(shell) -> None:
    first = shell("run", "chain.plan.yaml", "--idempotency-key", "k", "--json").json
    second = shell("run", "chain.plan.yaml", "--idempotency-key", "k", "--json").json
    refused = shell("run", "chain.plan.yaml", "--idempotency-key", "k", "-i", "n=9", code=2)

    assert first == second
    assert shell.witnessed() == ["x"]
    assert first["run"] in refused.err


def test_a_run_leaves_other_open_runs_alone(shell) -> None:
    shell("run", "asks.plan.yaml", code=4)
    shell("run", "chain.plan.yaml")

    assert [row["status"] for row in json.loads(shell("ps", "--all", "--json").out)] == ["succeeded", "waiting"]


def test_memory_needs_no_file(shell) -> None:
    shell("run", "chain.plan.yaml", "--store", "memory:")

    assert not (shell.home / ".orchestrator").exists()
