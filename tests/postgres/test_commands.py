"""The commands on a store that processes share: a terminal of its own, and one that asks whoever drives the run."""

import asyncio
import json
from collections.abc import Iterator

import asyncpg
import pytest

from tests.cli.conftest import Shell, shell

__all__ = ["shell"]


@pytest.fixture
def fleet(shell: Shell, postgres_url: str) -> Iterator[Shell]:
    """The command in a folder of its own, on a database of its own."""
    shell.env["ORCHESTRATOR_STORE"] = postgres_url
    return shell


def only(shell: Shell) -> dict:
    (row,) = shell("ps", "--all", "--json").json
    return row


def test_a_run_is_looked_at_run_again_proved_and_forgotten(fleet: Shell) -> None:
    done = fleet("run", "chain.plan.yaml", "-i", "n=4", "--json").json
    run = done["run"]
    assert (done["status"], done["output"]) == ("succeeded", {"n": 8, "name": "x"})
    assert only(fleet)["run"] == run
    assert fleet("show", run, "--json").json["output"] == done["output"]
    assert "step.passed" in fleet("events", run).out
    assert [json.loads(line)["seq"] for line in fleet("events", run, "--jsonl").lines][:2] == [1, 2]
    assert fleet("why", run, "twice").out
    assert fleet("cost", run, "--json").json["run"] == run
    assert fleet("watch", run).code == 0
    forked = fleet("fork", run, "--from", "twice", "--set", "n=5", "--json").json
    assert forked["output"] == {"n": 10, "name": "x"}
    fleet("quarantine", run, "twice", "--reason", "wrong")
    again = fleet("retry", run, "--from-failed", "--json").json
    assert again["output"] == done["output"]
    assert fleet("audit", "verify", "--all", "--json").json["damaged"] == []
    assert fleet("gc", "--keep-days", "0", "--keep-runs", "0", "--json").json["runs"]
    assert fleet("ps", "--all", "--json").json == []
    assert fleet("resume").err == "no run is open\n"
    assert "use pg_dump" in fleet("backup", "copy.db", code=2).err
    assert "pg_restore" in fleet("restore", "copy.db", code=2).err


def test_a_second_terminal_reaches_the_run_that_the_first_one_drives(fleet: Shell) -> None:
    owner = fleet.start("run", "gated.plan.yaml")
    fleet.until(fleet.witnessed, "the run's first step")
    fleet.until(lambda: fleet("ps", "--json").out.count("1/3"), "the run stands at the gate")
    run = only(fleet)["run"]
    assert only(fleet)["status"] == "running"
    assert fleet("show", run, "--json", code=None).json["status"] == "running"
    refused = fleet("resume", run, code=2).err
    assert "drives it; follow it: orchestrator watch" in refused
    assert "no such" not in fleet("cancel", run, "--reason", "enough").err
    assert owner.wait(timeout=30) == 5
    assert only(fleet)["status"] == "cancelled"
    assert "had ended already" in fleet("cancel", run).err


def test_a_question_is_answered_from_anywhere(fleet: Shell) -> None:
    assert fleet("run", "asks.plan.yaml", "--detach-on-wait", code=4)
    run = only(fleet)["run"]
    watcher = fleet.start("resume", run)  # drives it, and waits for a person
    assert watcher.wait(timeout=30) == 4
    assert "answered" in fleet("approve", run, "ask", "--choice", "publish").err
    assert only(fleet)["status"] == "succeeded"
    assert fleet.witnessed() == ["the draft", "published"]


def test_a_killed_owner_leaves_a_run_that_is_resumed_once_its_lease_has_ended(fleet: Shell) -> None:
    fleet.env["ORCHESTRATOR_LEASE_S"] = "1"
    owner = fleet.start("run", "gated.plan.yaml")
    fleet.until(fleet.witnessed, "the run's first step")
    fleet.until(lambda: fleet("ps", "--json").out.count("1/3"), "the run stands at the gate")
    owner.kill()
    run = only(fleet)["run"]
    fleet.open_the_gate()
    fleet.until(lambda: fleet("resume", run, code=None).code == 0, "the lease ends and the run goes on")
    assert fleet.witnessed() == ["done before", "done before and after"]


def test_a_parked_run_says_why(fleet: Shell) -> None:
    owner = fleet.start("run", "gated.plan.yaml")
    fleet.until(fleet.witnessed, "the run's first step")
    run = only(fleet)["run"]
    owner.kill()
    owner.wait()
    reason = "3 owners ended while they loaded it"
    asyncio.run(park(fleet.env["ORCHESTRATOR_STORE"], reason))

    assert only(fleet)["parked"] == reason
    assert f"  parked: {reason}" in fleet("ps").lines
    assert f"  parked: {reason}" in fleet("show", run, code=None).lines
    assert fleet("why", run, "--json").json[-1]["text"] == f"the run is parked: {reason}; orchestrator resume {run}"


async def park(url: str, reason: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE runs SET owner = '', parked = $1", reason)
    await connection.close()


def test_a_server_that_is_not_there_or_not_prepared_is_named_with_the_remedy(
    shell: Shell, empty_postgres_url: str
) -> None:
    assert "run: orchestrator db upgrade" in shell("ps", "--store", empty_postgres_url, code=2).err
    away = shell("ps", "--store", "postgresql://me:secret@127.0.0.1:1/none", code=6).err
    assert away.startswith("error: postgresql://me@127.0.0.1:1/none cannot be reached")
    assert "secret" not in away
