"""The owner of a run is killed amid work, and around the append of a result: nothing runs or is booked twice."""

import subprocess
import sys
from collections.abc import Iterator

import anyio
import pytest

from orchestrator.adapters.redis.worker import RedisWorkers
from orchestrator.app import Engine
from orchestrator.core.results import Succeeded
from orchestrator.engine.handle import Run
from orchestrator.engine.recovery import read_all
from orchestrator.ids import RunId
from orchestrator.settings import Settings
from orchestrator.testing.transport_contract import until
from tests.conftest import ROOT
from tests.redis.owner_child import BRANCHES, GATE, USD, WITNESS, pool
from tests.servers.postgres import postgres_server, postgres_url
from tests.servers.redis import RedisServer, redis_server
from workers import Workers

__all__ = ["postgres_server", "postgres_url"]
pytestmark = [pytest.mark.anyio, pytest.mark.crash]
LEASE_S = 1.0


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server without other fleets on it: an engine has no namespace of its own."""
    with redis_server("valkey") as started:
        yield started


@pytest.mark.parametrize("moment", ["never", "before", "after"])
async def test_nothing_runs_twice_when_an_owner_is_killed(
    own_server: RedisServer, postgres_url: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.engine.fleet.HEARD_S", 0.1)  # this test's worker has no board
    WITNESS.clear()
    GATE[:] = [anyio.Event()]
    settings = Settings(store=postgres_url, transport=own_server.url, lease_s=LEASE_S)
    words = (settings.store, settings.transport, str(LEASE_S), moment)
    child = _owner(*words)
    try:
        assert child.stdout is not None
        run_id = RunId(await anyio.to_thread.run_sync(_run_id, child))
        port = await RedisWorkers.open(own_server.url, worker="worker")
        async with anyio.create_task_group() as group:
            Workers([pool], port, worker=port.name).open(group)
            await until(lambda: len(WITNESS) == BRANCHES)
            if moment == "never":
                child.kill()
            assert await anyio.to_thread.run_sync(child.wait) == -9
            async with Engine(settings, pools=[pool], owns="leased") as heir:
                run = Run(heir.runs, run_id)
                with anyio.fail_after(30):
                    while heir.runs.driver(run_id) is None:  # noqa: ASYNC110  # until the lease of the dead has ended
                        await anyio.sleep(0.02)
                GATE[0].set()
                with anyio.fail_after(30):
                    result = await run.result()
                ended = await heir.runs.ended(run_id)
                told = [record.fact.KIND for record in await read_all(heir.runs.journal, run_id)]
            group.cancel_scope.cancel()
        await port.close()
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()

    assert isinstance(result, Succeeded)
    assert result.output == list(range(BRANCHES))
    assert ended is not None
    assert ended.usd == BRANCHES * USD
    assert sorted(WITNESS) == list(range(BRANCHES))
    assert (told.count("run.adopted"), told.count("lease.lost"), told.count("step.produced")) == (1, 0, BRANCHES)


def _owner(*words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.redis.owner_child", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _run_id(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    while (line := child.stdout.readline()) and not line.startswith("run "):
        pass
    assert line, "the owner came up"
    return line.split()[1]
