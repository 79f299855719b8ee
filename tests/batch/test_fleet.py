"""A fleet: workers of several processes gather into one batch, and one that is killed costs nothing twice."""

import json
import os
import signal

import pytest

from benchmarks.cost.batch import work
from benchmarks.cost.batch.stand_in import Service, serving
from orchestrator.app.batch import Batches
from orchestrator.errors import PromiseError
from orchestrator.testing.scripted import ScriptedModel
from tests.fleet.conftest import Site, site

__all__ = ["site"]
COUNT = 8


def models(url: str, store: str) -> str:
    """The settings of models, as every process of the fleet is given them."""
    given = work.settings(url, "memory:", gather_s=1.5, poll_s=0.2, lease_s=5.0).models
    made = given.model_copy(update={"batch": given.batch.model_copy(update={"store": store})})
    return json.dumps(made.model_dump(mode="json", exclude_unset=False))


@pytest.mark.crash
@pytest.mark.slow
def test_workers_gather_together_and_a_killed_one_is_followed(site: Site) -> None:
    plan = site.plan("questions", work.TEXT)
    asked = work.questions(COUNT)
    with serving(Service(rounds=40)) as service:
        site.environment |= {
            "ORCHESTRATOR_POOLS": "tests.batch.fleet_pools",
            "ORCHESTRATOR_MODELS": models(service.url, site.store),
        }
        site.start("supervise", log="supervisor.log")
        first = site.start("worker", "--pool", "writer", "--concurrency", "2", log="first.log")
        site.start("worker", "--pool", "writer", "--concurrency", "2", log="second.log")
        site.until("serves writer", "first.log")
        site.until("serves writer", "second.log")
        run = site.start("run", str(plan), "--inputs", site.inputs(questions=asked), "--json", log="run.log")
        while not service.looks:  # handed over, and being worked on
            assert run.poll() is None, site.said("run.log")
        os.kill(first.pid, signal.SIGKILL)
        service.rounds = 0
        assert run.wait(100) == 0, site.said("run.log")
    log = site.said("run.log")
    told = json.loads(log[log.index("\n{") : log.rindex("\n}") + 2])
    assert told["output"] == asked
    assert len(service.items()) == len(set(service.items())) == COUNT
    assert told["usage"]["usd"] == pytest.approx(sum(map(work.usd, service.billed.values())) / 2, abs=1e-9)
    assert service.direct == []


def test_workers_without_a_common_store_are_refused() -> None:
    given = Batches(work.settings("http://127.0.0.1:9/v1", "memory:"), ScriptedModel(), "o", elsewhere=True)
    with pytest.raises(PromiseError, match="must outlive a worker process; name a database that the workers share"):
        given.check("cheap")
