"""A run changes owners while its tasks are at work: they go on, their answers count, and nothing runs twice."""

import json
import time
from pathlib import Path

import pytest

from tests.fleet.conftest import Site
from tests.sizes import SIZES

pytestmark = [pytest.mark.crash, pytest.mark.slow]
ANSWERED = ("while nobody owns the run", "once another owns it")  #: the default suite has the first
PLAN = Path(__file__).resolve().parent / "burst.plan.yaml"


def wait_for(site: Site, word: str, count: int) -> None:
    end_s = time.monotonic() + 60
    while len(site.lines(word)) < count:
        assert time.monotonic() < end_s, site.witness.read_text()
        time.sleep(0.02)


def kinds(site: Site) -> list[str]:
    said = site.run("events", "last", "--jsonl").stdout
    return [json.loads(line)["kind"] for line in said.splitlines()]


@pytest.mark.parametrize("answered", ANSWERED if SIZES.name != "ci" else ANSWERED[:1])
def test_tasks_outlive_the_owner_of_their_run(site: Site, answered: str) -> None:
    site.start("worker", "--pool", "bursting", "--pool", "steady", "--concurrency", "3", log="worker.log")
    first = site.start("supervise", log="first.log")
    site.until("serves bursting", "worker.log")
    run = site.start("run", str(PLAN), "--inputs", site.inputs(numbers=[1, 2, 3], seconds=-1), log="run.log")
    wait_for(site, "began", 3)

    first.kill()
    first.wait()
    if answered == "while nobody owns the run":
        (site.folder / "witness.release").touch()
        wait_for(site, "ended", 3)
    site.start("supervise", log="second.log")
    site.until("taken over", "run.log")
    (site.folder / "witness.release").touch()

    assert run.wait(60) == 0
    assert len(site.lines("ended")) == 3
    assert len([line for line in site.lines("began") if "naps" in line[2]]) == 3, "no task ran twice"
    told = kinds(site)
    assert told.count("run.adopted") == 2, "by the first owner, which found it handed in, and by the second"
    assert "lease.lost" not in told
