"""resume, retry, fork, approve, cancel, quarantine, when nobody holds the journal."""

import json


def test_approve_records_the_answer_and_drives_the_run_to_its_end(shell) -> None:
    run = shell("run", "asks.plan.yaml", "--json", code=4).json["run"]

    refused = shell("approve", run, "ask", "--choice", "burn", code=2)
    assert "choose one of publish, hold" in refused.err
    assert "open questions: ask" in shell("approve", run, "draft", "--choice", "publish", code=2).err

    assert shell("approve", run, "ask", "--choice", "publish", "--reason", "read it").out == "publish\n"
    assert shell.witnessed() == ["the draft", "published"]
    answered = [json.loads(line) for line in shell("events", run, "--jsonl").lines if "approval.answered" in line]
    assert [event["data"] for event in answered] == [{"choice": "publish", "reason": "read it"}]
    assert answered[0]["actor"]


def test_an_answer_can_be_recorded_alone_and_the_run_resumed_later(shell) -> None:
    run = shell("run", "asks.plan.yaml", "--json", code=4).json["run"]

    assert f"orchestrator resume {run}" in shell("approve", run, "ask", "--choice", "publish", "--no-resume").err
    assert shell.witnessed() == ["the draft"]
    assert shell("ps", "--json").json[0]["status"] == "open"
    assert shell("resume").out == "publish\n"
    assert shell.witnessed() == ["the draft", "published"]
    assert "no run is open" in shell("resume").err


def test_resume_of_a_run_that_still_waits_ends_with_4(shell) -> None:
    run = shell("run", "asks.plan.yaml", "--json", code=4).json["run"]

    assert f"orchestrator approve {run} ask" in shell("resume", run, code=4).err
    assert shell.witnessed() == ["the draft"]


def test_resume_of_an_ended_run_names_retry(shell) -> None:
    shell("run", "fails.plan.yaml", code=1)

    assert "orchestrator retry" in shell("resume", "last", code=2).err


def test_the_pools_of_a_run_must_be_known_and_the_missing_one_is_named(shell) -> None:
    run = shell("run", "asks.plan.yaml", "--json", code=4).json["run"]
    shell("run", "fails.plan.yaml", code=1)

    for command in (("resume", run), ("retry", "last", "--from-failed")):
        ended = shell(*command, code=2, ORCHESTRATOR_POOLS="workers.kinds")
        assert "needs the pool 'desk'" in ended.err
        assert "--pools MODULE" in ended.err


def test_retry_takes_over_what_passed(shell) -> None:
    shell("run", "fails.plan.yaml", code=1)

    shell("retry", "last", "--from-failed", code=1)
    assert shell.witnessed() == ["paid for"]
    assert "name a STEP, or say --from-failed" in shell("retry", "last", code=2).err
    shell("retry", "last", "first", code=1)
    assert shell.witnessed() == ["paid for"] * 2


def test_fork_runs_on_from_a_step_with_another_input(shell) -> None:
    shell("run", "fails.plan.yaml", code=1)

    forked = shell("fork", "last", "--from", "bad", "--set", "n=5")
    assert forked.out == "5\n"
    assert shell.witnessed() == ["paid for"]
    assert "input 'n'" in shell("fork", "last", "--from", "bad", "--set", "n=x", code=2).err
    assert "not in this plan" in shell("fork", "last", "--from", "worse", code=2).err


def test_a_retry_may_have_another_budget(shell) -> None:
    shell("run", "dear.plan.yaml", "--budget-usd", "0.3", code=3)

    assert shell("retry", "last", "--from-failed", "--budget-usd", "5").out == "1\n"


def test_cancel_ends_an_open_run_without_running_anything(shell) -> None:
    run = shell("run", "asks.plan.yaml", "--json", code=4).json["run"]

    assert "× cancelled" in shell("cancel", run, "--reason", "not today").err
    document = shell("show", run, "--json").json
    assert (document["status"], document["steps"]["ask"]["status"]) == ("cancelled", "cancelled")
    assert "had ended already: cancelled" in shell("cancel", run).err
    assert "no run" in shell("cancel", "nothing", code=2).err


def test_quarantine_after_the_end_makes_retry_run_it_again(shell) -> None:
    run = shell("run", "fails.plan.yaml", "-i", "n=3", "--json").json["run"]

    told = shell("quarantine", run, "first", "--reason", "the source was wrong")
    assert "built on it: bad" in told.err
    assert "first is quarantined" in shell("show", run).out
    shell("retry", run, "--from-failed")
    assert shell.witnessed() == ["paid for"] * 2
    assert "not in this plan" in shell("quarantine", "last", "nothing", "--reason", "x", code=2).err
