"""One run through a request, a supervisor, Redis and two workers is one connected trace, collected by OTLP."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.fleet.conftest import Site
from tests.servers.postgres import shared_server
from tests.servers.redis import RedisServer
from tests.telemetry.collecting import Collector, Seen, tree

pytestmark = [pytest.mark.slow]
PATIENCE_S = 30.0


@pytest.fixture
def site(tmp_path: Path, root: Path) -> Iterator[Site]:
    redis = RedisServer("valkey").start()
    made = Site(tmp_path, root, shared_server(), redis)
    try:
        yield made
    finally:
        made.close()
        redis.close()


def arrived(collector: Collector, count: int) -> list[Seen]:
    """What has come, once there are so many spans of runs."""
    end_s = time.monotonic() + PATIENCE_S
    while sum(not span.name.startswith("GET") for span in collector.spans) < count and time.monotonic() < end_s:
        time.sleep(0.05)
    return list(collector.spans)


def test_one_trace_over_four_processes(site: Site, root: Path) -> None:
    caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with Collector().open() as collector:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        site.start("supervise", log="supervisor.log", OTEL_SERVICE_NAME="supervisor", **told)
        for pool in ("bursting", "steady"):
            site.start("worker", "--pool", pool, log=f"{pool}.log", OTEL_SERVICE_NAME=pool, **told)
            site.until("serves ", f"{pool}.log")
        site.until("owns runs in", "supervisor.log")
        plans = str(root / "tests" / "fleet")
        site.start(
            "serve", "--port", "0", "--no-keys", "--plans", plans, log="api.log", OTEL_SERVICE_NAME="api", **told
        )
        said = site.until("http://", "api.log")
        address = re.search(r"http://[0-9.]+:[0-9]+", said)
        assert address is not None, said
        with httpx2.Client(base_url=address[0], timeout=PATIENCE_S) as client:
            body = {"plan": "burst", "inputs": {"numbers": [1, 2, 3], "seconds": 0.01}}
            answer = client.post("/v1/runs", json=body, headers={"traceparent": caller})
            assert answer.status_code == 202, answer.text
            run_id = answer.json()["id"]
            with client.stream("GET", f"/v1/runs/{run_id}/events?said=false") as events:
                for _ in events.iter_lines():
                    pass
            assert client.get(f"/v1/runs/{run_id}").json()["status"] == "succeeded"
        found = arrived(collector, 16)

    traced = [span for span in found if span.trace == 0x4BF92F3577B34DA6A3CE929D0E0E4736]
    others = {span.name for span in found} - {span.name for span in traced}
    assert others <= {"GET /v1/runs/{run}", "GET /v1/runs/{run}/events"}, "of requests that began no trace of theirs"
    spans = traced
    assert {span.trace for span in spans} == {0x4BF92F3577B34DA6A3CE929D0E0E4736}
    (request,) = [span for span in spans if span.name == "POST /v1/runs"]
    assert request.parent == 0x00F067AA0BA902B7
    inside = [span for span in spans if span is not request]
    top = Seen(request.trace, request.id, 0, request.name, request.start_ns, request.end_ns, request.attributes)
    one_branch = ["        call bursting.nap", "          work bursting.nap"]
    assert sorted(tree([top, *inside])) == sorted(
        [
            "POST /v1/runs", "  invoke_workflow burst", "    plan burst", "      step naps", "      step sum",
            "        call steady.add", "          work steady.add",
            *[f"        step naps[{branch}]" for branch in range(3)],
            *[f"  {line}" for line in one_branch * 3],
        ]
    )  # fmt: skip
    services = {
        word: {span.service for span in spans if span.name.startswith(word)}
        for word in ("POST", "invoke_workflow", "step", "call", "work bursting", "work steady")
    }
    assert services == {
        "POST": {"api"}, "invoke_workflow": {"supervisor"}, "step": {"supervisor"}, "call": {"supervisor"},
        "work bursting": {"bursting"}, "work steady": {"steady"},
    }  # fmt: skip
    named = {span.told["orchestrator.run.id"] for span in inside if "orchestrator.run.id" in span.told}
    assert named == {run_id}
