"""A worker process: hands back what it cannot finish, shuts pools that do not fit, and everybody can see why."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.conftest import Site

pytestmark = [pytest.mark.crash, pytest.mark.slow]
PLAN = Path(__file__).resolve().parent / "burst.plan.yaml"
LEASE_S = 60  #: long beside what a busy machine needs to start and stop processes
OTHER_POOLS = '''
"""The same pools, whose function asks for something that older callers do not send."""
from tests.fleet.fleet_pools import steady
from workers import Pool, WorkContext

bursting = Pool("bursting", concurrency=2)

@bursting.worker
async def nap(ctx: WorkContext, number: int, seconds: float, reason: str) -> int:
    return number
'''


def wait_for_began(site: Site, count: int) -> None:
    end_s = time.monotonic() + 60
    while len(site.lines("began")) < count:
        assert time.monotonic() < end_s, site.witness.read_text()
        time.sleep(0.02)


def pools_of(site: Site) -> dict[str, Any]:
    return {row["pool"]: row for row in json.loads(site.run("pools", "--json").stdout)}


def test_what_outlives_its_grace_is_handed_back_and_another_worker_gets_it_at_once(site: Site) -> None:
    serving = ("worker", "--pool", "bursting", "--concurrency", "2")
    first = site.start(*serving, "--grace", "1", log="first.log", ORCHESTRATOR_LEASE_S=str(LEASE_S))
    site.start("worker", "--pool", "steady", log="steady.log")
    site.start("supervise", log="supervisor.log")
    site.until("serves bursting", "first.log")
    run = site.start("run", str(PLAN), "--inputs", site.inputs(numbers=[1, 2], seconds=-1), "--json", log="run.log")
    wait_for_began(site, 2)
    site.start(*serving, log="second.log", ORCHESTRATOR_LEASE_S=str(LEASE_S))
    site.until("serves bursting", "second.log")

    asked_s = time.time()
    first.send_signal(signal.SIGTERM)
    assert first.wait(50) == 0
    assert "handed back 2: " in site.said("first.log")
    wait_for_began(site, 4)
    (site.folder / "witness.release").touch()
    assert run.wait(60) == 0

    again = [line for line in site.lines("began") if "naps" in line[2]][2:]
    assert len(again) == 2, "both ran once more, on the other worker"
    assert all(float(at) - asked_s < LEASE_S for at, *_ in again), "its lease was not waited for"
    assert {line[2].split("#")[1] for line in again} == {"1"}, "handing back costs no attempt"


def test_a_worker_whose_function_does_not_fit_takes_nothing_and_says_why(site: Site) -> None:
    (site.folder / "other_pools.py").write_text(OTHER_POOLS)
    site.start("supervise", log="supervisor.log")
    site.until("owns runs in", "supervisor.log")
    site.start("worker", "--pool", "bursting", log="odd.log", ORCHESTRATOR_POOLS="other_pools")
    odd = site.until("nothing is fetched: its nap has contract", "odd.log")
    site.start("worker", "--pool", "steady", log="steady.log")
    run = site.start("run", str(PLAN), "--inputs", site.inputs(numbers=[1, 2, 3], seconds=0.01), log="run.log")
    site.until("3 branches", "run.log")
    end_s = time.monotonic() + 60  # they are sent behind the line that was waited for
    while pools_of(site)["bursting"]["waiting"] != 3:
        assert time.monotonic() < end_s, site.said("supervisor.log")
    time.sleep(1.0)  # long enough for a worker that would take them

    rows = pools_of(site)
    assert rows["bursting"]["waiting"] == 3
    (worker,) = rows["bursting"]["workers"]
    assert worker["refused"] == [odd.split("nothing is fetched: ")[1].splitlines()[0]]
    assert "takes nothing: its nap has contract" in site.run("pools").stdout
    why = site.run("why", "last", "naps[0]").stdout
    assert "none of its 1 workers fits: its nap has contract" in why
    assert site.lines("began") == []

    site.start("worker", "--pool", "bursting", log="good.log")
    assert run.wait(60) == 0
    assert len(site.lines("began")) == 4
