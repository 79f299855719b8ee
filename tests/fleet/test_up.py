"""`up`: a burst grows its pool to the most and back to nothing, no busy worker goes, the other pool does not move."""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.fleet.conftest import Site
from tests.sizes import SIZES

pytestmark = [pytest.mark.crash, pytest.mark.slow]
TASKS, SECONDS = (500, 0.2) if SIZES.name != "ci" else (80, 0.4)
PLAN = Path(__file__).resolve().parent / "burst.plan.yaml"


def children_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_a_burst_grows_its_pool_to_the_most_and_back_to_nothing(site: Site) -> None:
    up = site.start("up", "--cooldown", "2", "--scaler-events", "scaler.jsonl", "--grace", "20", log="up.log")
    site.until("owns runs in", "up.log")
    site.until("serves steady", "up.log")

    run = site.run("run", str(PLAN), "--inputs", site.inputs(numbers=list(range(TASKS)), seconds=SECONDS), "--json")
    site.until("→ 0 workers", "up.log")
    events = [json.loads(line) for line in (site.folder / "scaler.jsonl").read_text().splitlines()]

    assert json.loads(run.stdout)["output"] == sum(range(TASKS))
    sizes = [(event["from"], event["to"]) for event in events]
    assert {event["pool"] for event in events} == {"bursting"}, "the other pool does not move"
    assert sizes[0] == (0, 4), "grows to its most at once"
    assert sizes[-1][1] == 0, "and back to nothing"
    grown = [after for _, after in sizes]
    assert grown == sorted(grown, reverse=True), f"and once it shrinks, never back and forth: {sizes}"
    began = Counter(task for _, _, task, _ in site.lines("began"))
    assert set(began.values()) == {1}, "no task ran twice: no busy worker was ended"
    assert len(site.lines("ended")) == TASKS
    assert len({pid for _, _, task, pid in site.lines("began") if "naps" in task}) == 4, "all four took part"
    assert "killed" not in site.said("up.log")

    left = children_of(up.pid)
    assert len(left) >= 2, "a supervisor and the steady pool's least"
    up.send_signal(signal.SIGTERM)
    assert up.wait(60) == 0
    assert [process for process in left if process.is_running() and process.status() != "zombie"] == []


def test_what_crashes_is_started_again_and_nothing_outlives_a_killed_up(site: Site) -> None:
    up = site.start("up", log="up.log")
    site.until("serves steady", "up.log")
    site.until("owns runs in", "up.log")
    before = children_of(up.pid)

    for process in before:
        process.kill()
    site.until("is started again in", "up.log", times=len(before))
    site.until("serves steady", "up.log", times=2)
    site.until("owns runs in", "up.log", times=2)
    after = children_of(up.pid)
    assert len(after) == len(before)
    assert not {process.pid for process in after} & {process.pid for process in before}

    os.kill(up.pid, signal.SIGKILL)  # nothing can be done at that moment: the children notice by themselves
    up.wait()
    _, alive = psutil.wait_procs(after, timeout=30)
    assert alive == []


def test_a_second_signal_ends_at_once(site: Site) -> None:
    worker = site.start("worker", "--pool", "bursting", "--grace", "600", log="worker.log")
    supervisor = site.start("supervise", log="supervisor.log")
    site.until("serves bursting", "worker.log")
    site.until("owns runs in", "supervisor.log")
    submitted = site.start(
        "run", str(PLAN), "--inputs", site.inputs(numbers=[1], seconds=60), log="run.log"
    )  # fmt: skip
    end_s = time.monotonic() + 60
    while not site.lines("began"):
        assert time.monotonic() < end_s, site.said("run.log")
        time.sleep(0.05)

    worker.send_signal(signal.SIGTERM)
    site.until("nothing new is fetched; up to 600 s for 1 under way", "worker.log")
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(10) == 128 + signal.SIGTERM
    assert supervisor.poll() is None
    assert submitted.poll() is None
