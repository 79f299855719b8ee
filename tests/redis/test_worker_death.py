"""Workers that die, freeze, block and leave: no job is lost, and none is done again that need not be."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis.fleet import fleet_of, job
from tests.redis.local import FAULTY
from tests.servers.redis import Kind, RedisServer, redis_server

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=FAULTY)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server that no test may harm."""
    kind: Kind = request.param
    with redis_server(kind) as started:
        yield started


async def test_a_killed_worker_costs_only_its_own_jobs(server: RedisServer, namespace: str, tmp_path: Path) -> None:
    async with fleet_of(server.url, namespace, tmp_path) as fleet:
        victim, other = fleet.spawn(lease_s=2.0), fleet.spawn(lease_s=2.0)
        for number in range(200):
            fleet.owner.send(job(number, 0.2))
        await fleet.until(lambda: len(fleet.done) >= 100)
        victim.kill()
        killed_at = time.time()

        await fleet.until(lambda: len(fleet.done) == 200)

        again = {number for number, starts in fleet.starts().items() if starts > 1}
        theirs = {number for number, pid, at in fleet.started() if pid == victim.pid}
        first_again = min(at for number, pid, at in fleet.started() if number in again and pid == other.pid)
        assert [len(answers) for answers in fleet.done.values()] == [1] * 200
        assert again <= theirs
        assert len(again) <= 10
        assert max(fleet.starts().values()) == 2
        assert first_again - killed_at <= 2.0 + 1.0
        assert fleet.failed == []


async def test_code_that_blocks_the_event_loop_keeps_its_lease(
    server: RedisServer, namespace: str, tmp_path: Path
) -> None:
    async with fleet_of(server.url, namespace, tmp_path) as fleet:
        fleet.spawn(lease_s=0.6, slots=1)
        fleet.spawn(lease_s=0.6, slots=1)
        fleet.owner.send(job(1, 2.5, "block"))

        await fleet.until(lambda: 1 in fleet.done)

        assert fleet.starts() == {1: 1}


async def test_a_frozen_worker_that_wakes_up_is_heard_no_more(
    server: RedisServer, namespace: str, tmp_path: Path
) -> None:
    async with fleet_of(server.url, namespace, tmp_path) as fleet:
        victim = fleet.spawn(lease_s=0.6)
        for number in range(10):
            fleet.owner.send(job(number, 0.3))
        await fleet.until(lambda: len(fleet.starts()) == 10)
        victim.send_signal(signal.SIGSTOP)
        fleet.spawn(lease_s=0.6)
        await fleet.until(lambda: len(fleet.done) == 10)
        victim.send_signal(signal.SIGCONT)
        fleet.owner.send(job(10, 0.0))  # it serves again
        await fleet.until(lambda: 10 in fleet.done)

        assert [len(answers) for answers in fleet.done.values()] == [1] * 11
        assert fleet.failed == []


async def test_a_worker_that_leaves_hands_back_what_it_has_not_finished(
    server: RedisServer, namespace: str, tmp_path: Path
) -> None:
    async with fleet_of(server.url, namespace, tmp_path) as fleet:
        leaver = fleet.spawn(lease_s=30.0)
        for number in range(10):
            fleet.owner.send(job(number, 2.0))
        await fleet.until(lambda: len(fleet.starts()) == 10)
        leaver.terminate()
        assert leaver.wait() == 0
        left_at = time.monotonic()
        fleet.spawn(lease_s=30.0)

        await fleet.until(lambda: len(fleet.done) == 10)

        assert time.monotonic() - left_at < 20.0  # nobody waited for the lease to end
        assert fleet.starts() == dict.fromkeys(range(10), 2)


async def test_an_effect_is_not_repeated_behind_the_back_of_its_run(
    server: RedisServer, namespace: str, tmp_path: Path
) -> None:
    async with fleet_of(server.url, namespace, tmp_path) as fleet:
        victim = fleet.spawn(lease_s=0.6)
        fleet.owner.send(job(1, 30.0, effect=True))
        await fleet.until(lambda: fleet.starts() == {1: 1})
        victim.kill()
        fleet.spawn(lease_s=0.6)

        await fleet.until(lambda: fleet.failed != [])

        assert [(failed.key.branch, failed.error) for failed in fleet.failed] == [(1, "lost")]
        assert fleet.starts() == {1: 1}
