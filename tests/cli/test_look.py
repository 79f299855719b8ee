"""Commands that look at a journal nobody holds: ps, show, watch, events, cost, pools, config."""

import json


def test_ps_lists_open_runs_and_all_runs(shell) -> None:
    shell("run", "chain.plan.yaml")
    run = shell("run", "asks.plan.yaml", "--json", code=4).json["run"]

    open_runs = shell("ps").lines
    assert [line.split()[:3] for line in open_runs] == [["RUN", "STATUS", "PLAN"], [run, "waiting", "asks"]]
    assert [line.split()[1:3] for line in shell("ps", "--all").lines[1:]] == [
        ["waiting", "asks"],
        ["succeeded", "chain"],
    ]
    assert [line.split()[2] for line in shell("ps", "--status", "succeeded").lines[1:]] == ["chain"]
    assert "choose one of open" in shell("ps", "--status", "asleep", code=2).err


def test_a_store_that_is_not_there_is_said_and_not_made(shell) -> None:
    assert "run a plan first" in shell("ps", code=2).err
    assert not (shell.home / ".orchestrator").exists()


def test_show_tells_a_run_by_its_id_a_part_of_it_or_last(shell) -> None:
    document = shell("run", "gaps.plan.yaml", "--json", code=7).json
    run = document["run"]

    shown = shell("show", run)
    assert "gaps  ○ degraded" in shown.lines[0]
    assert "odds[1] is missing" in shown.out
    assert shown.out.endswith("output\n[\n  1,\n  3\n]\n")
    assert shell("show", "last").out == shell("show", run[-6:]).out == shown.out
    assert shell("show", run, "--json").json == document
    assert "no run 'nothing'" in shell("show", "nothing", code=2).err


def test_events_print_lines_or_documents_after_a_number(shell) -> None:
    shell("run", "chain.plan.yaml")

    whole = [json.loads(line) for line in shell("events", "last", "--jsonl").lines]
    assert [event["seq"] for event in whole] == list(range(1, len(whole) + 1))
    after = shell("events", "last", "--jsonl", "--after", str(len(whole) - 1)).lines
    assert [json.loads(line) for line in after] == whole[-1:]
    assert shell("events", "last").lines[0].split()[2] == "run.accepted"


def test_watch_of_an_ended_run_ends_with_its_exit_code(shell) -> None:
    shell("run", "gaps.plan.yaml", code=7)

    watched = shell("watch", "last", code=7)
    assert "○ gap  odds[1]" in watched.err
    assert "○ degraded" in watched.err


def test_cost_by_plan_and_by_step(shell) -> None:
    run = shell("run", "dear.plan.yaml", "--json").json["run"]

    told = shell("cost", run, "--json").json
    assert told["usage"] == {"usd": 0.5, "tokens": 0, "calls": 0}
    assert {name: step["usd"] for name, step in told["steps"].items()} == {"one": 0.25, "two": 0.25}
    assert shell("cost", run).lines[-1].split() == ["total", "0.5000"]
    assert shell("cost").lines[-1].split() == ["total", "0.5000", "0.5000", "0.0000", "0", "0", "0"]


def test_pools_lists_what_the_modules_hold(shell) -> None:
    rows = shell("pools", "--json").json

    assert [(row["pool"], row["functions"]) for row in rows] == [("desk", ["double", "odd", "note", "paid", "gated"])]
    assert shell("pools").lines[1].split()[0] == "desk"
    assert "no.such" in shell("pools", "--pools", "no.such", code=2).err


def test_config_shows_where_each_setting_comes_from(shell) -> None:
    (shell.home / "pyproject.toml").write_text('[tool.orchestrator]\nkeep_runs = 7\nstore = "sqlite:///p.db"\n')
    (shell.home / ".env").write_text("ORCHESTRATOR_DRAIN_S=3\nORCHESTRATOR_KEEP_RUNS=8\n")

    told = shell("config", "show", "--origins", "--json", "--store", "postgresql://me:secret@host/db").json
    assert told["store"] == {"value": "postgresql://me:***@host/db", "origin": "flag"}
    assert told["pools"] == {"value": ["deskpools"], "origin": "environment ORCHESTRATOR_POOLS"}
    assert told["drain_s"] == {"value": 3.0, "origin": ".env"}
    assert told["keep_runs"] == {"value": 8, "origin": ".env"}
    assert told["transport"] == {"value": "memory:", "origin": "default"}
    assert shell("config", "show", "--json").json["store"] == "sqlite:///p.db"
    assert "setting keep_runs" in shell("config", "show", code=2, ORCHESTRATOR_KEEP_RUNS="many").err


def test_why_tells_the_story_of_a_step_of_a_branch_and_of_the_run(shell) -> None:
    shell("run", "gaps.plan.yaml", code=7)

    branch = shell("why", "last", "odds[1]")
    assert "2 is even" in branch.out
    assert branch.lines[-1].startswith("now ")
    assert "split into 3 branches" in shell("why", "last", "odds").out
    assert len(shell("why", "last").lines) > 3
    told = shell("why", "last", "odds", "--json").json
    assert [list(line) for line in told] == [["seq", "at", "text"]] * len(told)
    assert "steps: odds" in shell("why", "last", "evens", code=2).err
