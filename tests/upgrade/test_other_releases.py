"""Workers of the release before and of the one after serve beside those of head, over a real server."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.redis.fleet import Fleet, fleet_of, job
from tests.servers.redis import RedisServer, redis_server

JOBS = 12
_NUMBER = itertools.count()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as started:
        yield started


def spawn(fleet: Fleet, release: str) -> None:
    """A worker process of another release, ready."""
    command = [sys.executable, "-m", "tests.upgrade.other_release", release, fleet.url, fleet.namespace]
    child = subprocess.Popen([*command, "2.0", "2", str(fleet.witness)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    fleet.children.append(child)
    assert child.stdout is not None
    while (line := child.stdout.readline()) not in ("ready\n", ""):
        pass
    assert line, "the worker process came up"


@pytest.mark.anyio
@pytest.mark.parametrize("release", ["v0", "v1", "next"])
async def test_a_worker_of_another_release_does_what_an_owner_of_head_asks(
    server: RedisServer, release: str, tmp_path: Path
) -> None:
    namespace = f"{{upgrade-{os.getpid()}-{next(_NUMBER)}}}"
    async with fleet_of(server.url, namespace, tmp_path) as fleet:
        spawn(fleet, release)
        for number in range(JOBS):
            fleet.owner.send(job(number, 0.001, effect=number % 3 == 0))  # an effect asks its owner first
        await fleet.until(lambda: len(fleet.done) == JOBS)
        assert {number: [one.output for one in said] for number, said in fleet.done.items()} == {
            number: [number] for number in range(JOBS)
        }
        assert fleet.failed == []
        assert set(fleet.starts().values()) == {1}


@pytest.mark.anyio
async def test_a_fleet_is_upgraded_worker_by_worker_under_work(server: RedisServer, tmp_path: Path) -> None:
    """Head, the release before and the one after share one pool; the old one is killed with tasks in its hands."""
    namespace = f"{{upgrade-{os.getpid()}-{next(_NUMBER)}}}"
    async with fleet_of(server.url, namespace, tmp_path) as fleet:
        spawn(fleet, "v1")
        for number in range(2 * JOBS):
            fleet.owner.send(job(number, 0.05))
        await fleet.until(lambda: len(fleet.started()) >= 2)
        spawn(fleet, "next")
        fleet.spawn(slots=2)
        fleet.children[0].kill()
        await fleet.until(lambda: len(fleet.done) == 2 * JOBS)
        assert {number: said[0].output for number, said in fleet.done.items()} == {n: n for n in range(2 * JOBS)}
        assert fleet.failed == []
        again = [number for number, starts in fleet.starts().items() if starts > 1]
        assert len(again) <= 2, "only what the killed worker held was done twice"
