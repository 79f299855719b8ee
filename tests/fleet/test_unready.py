"""Functions and agents that cannot work in a worker's process: left to others, said, and refused where nobody can."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest

from orchestrator.cli.fleet_pools import misfit_line, row_of
from orchestrator.engine.offered import check_offers
from orchestrator.errors import PromiseError, TransportUnreachable
from orchestrator.ids import PoolName
from orchestrator.plan.models import Plan
from orchestrator.ports.fleet import Fleet, Offer, WorkerSeen
from orchestrator.ports.tasks import StepTask
from orchestrator.testing.transport_contract import key, task
from tests.fleet.conftest import Site
from workers import Pool
from workers.gate import Gate, shut_by, unready_of

NO_KEY = "OPENAI_API_KEY is not set"


def no_models() -> object:
    raise PromiseError(NO_KEY, "set it")


def mixed() -> Pool:
    pool = Pool("p")
    pool.agent("write", "You write.")

    @pool.worker
    async def count(text: str) -> int:
        return len(text)

    return pool


def test_agents_without_a_model_cannot_work_and_functions_can() -> None:
    said = f"{NO_KEY}; set it"
    assert unready_of(mixed(), no_models) == {"": said, "write": said}
    assert unready_of(mixed(), lambda: None) == {}
    assert shut_by(mixed(), unready_of(mixed(), no_models)) == [], "its function can work"
    alone = Pool("p")
    alone.agent("write", "You write.")
    assert shut_by(alone, unready_of(alone, no_models)) == [said]
    assert shut_by(Pool("p"), {}) == []


@pytest.mark.anyio
async def test_what_cannot_be_done_here_is_handed_back_and_the_rest_is_done() -> None:
    given: list[tuple[object, float]] = []
    tasks = [task(1), task(2), task(3), task(4)]
    bad = tasks[0].function or ""

    class Port:
        async def fetch(self, pool: PoolName, slots: int) -> list[StepTask]:
            return [tasks.pop(0)] if tasks[0].function == bad else [tasks.pop(0), tasks.pop(0)]

        def take(self, pool: PoolName) -> StepTask | None:
            return tasks.pop(0) if tasks else None

        def post(self, message: object) -> None: ...
        def on_revoke(self, pool: PoolName, cancel: object) -> None: ...

    tasks[1:3] = [replace(tasks[1], function="fine"), replace(tasks[2], function="fine")]
    gate = Gate(
        cast("object", Port()),  # type: ignore[arg-type]  # enough of a port
        lambda task_key, delay_s: given.append((task_key, delay_s)),
        {"p": {bad: NO_KEY}},
    )
    assert [one.key for one in await gate.fetch(PoolName("p"), 4)] == [key(2), key(3)]
    assert gate.take(PoolName("p")) is None
    assert given == [(key(1), 2.0), (key(4), 2.0)], "others get them after a while, and it counts as no delivery"


class Board:
    def __init__(self, *workers: WorkerSeen, away: bool = False) -> None:
        self._workers, self._away = workers, away

    async def workers(self) -> tuple[WorkerSeen, ...]:
        if self._away:
            raise TransportUnreachable("redis://127.0.0.1:1", "no connection")
        return self._workers


def seen(*, pool: str = "p", unready: dict[str, str] | None = None, leaving: bool = False) -> WorkerSeen:
    offer = Offer(concurrency={pool: 1}, unready={pool: unready} if unready else {}, leaving=leaving)
    return WorkerSeen(name="w", beat_age_s=0.0, running=0, offer=offer)


CANNOT = seen(unready={"": NO_KEY, "write": NO_KEY})
AGENT = Plan.model_validate({"name": "a", "steps": {"write": {"pool": "p", "task": "Write."}}})
CALL = Plan.model_validate({"name": "c", "steps": {"n": {"pool": "p", "call": "count", "with": {"text": "x"}}}})
INNER = Plan.model_validate({"name": "i", "steps": {"sub": {"plan": AGENT.data}}})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("plan", "workers", "refused"),
    [
        (AGENT, [CANNOT], "step write cannot run in pool p: its worker cannot do that: OPENAI_API_KEY is not set"),
        (AGENT, [CANNOT, CANNOT], "its 2 workers cannot"),
        (INNER, [CANNOT], "step write cannot run"),
        (AGENT, [CANNOT, seen()], ""),
        (AGENT, [CANNOT, seen(leaving=True)], "cannot run"),
        (AGENT, [], ""),
        (AGENT, [seen(pool="q", unready={"": NO_KEY})], ""),
        (CALL, [CANNOT], ""),
    ],
)
async def test_a_plan_that_no_worker_here_can_do_is_refused_when_it_is_handed_in(
    plan: Plan, workers: list[WorkerSeen], refused: str
) -> None:
    board = cast(Fleet, Board(*workers))
    if refused:
        with pytest.raises(PromiseError, match=refused):
            await check_offers(plan, board)
    else:
        await check_offers(plan, board)


@pytest.mark.anyio
async def test_a_board_that_cannot_be_read_refuses_nothing() -> None:
    await check_offers(AGENT, cast(Fleet, Board(CANNOT, away=True)))


def test_why_names_what_no_worker_can_do() -> None:
    assert misfit_line(row_of("p", None, [CANNOT], {})) == (
        "none of its 1 workers can do its `task` steps: OPENAI_API_KEY is not set"
    )
    assert misfit_line(row_of("p", None, [CANNOT, seen()], {})) == ""


class _Model(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Three words here."}}
        body = json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Model) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.crash
@pytest.mark.slow
def test_a_fleet_does_an_agents_plan_with_the_workers_models_and_refuses_it_where_they_have_none(
    site: Site, address: str
) -> None:
    """Who hands a run in needs no key: workers ask the models."""
    kinds: Any = {"ORCHESTRATOR_POOLS": "workers.kinds", "OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}
    plan = site.plan("write", "version: 1\nname: write\nsteps:\n  text: {pool: writer, task: Write three words.}\n")
    site.start("supervise", log="supervisor.log", **kinds)
    poor = site.start("worker", "--pool", "writer", log="poor.log", **kinds)
    assert NO_KEY in site.until("is left to other workers", "poor.log")

    refused = site.run("run", str(plan), code=2, **kinds)
    assert "step text cannot run in pool writer: its worker cannot do that" in refused.stderr

    poor.terminate()
    assert poor.wait(60) == 0
    models = {
        "OPENAI_BASE_URL": address,
        "ORCHESTRATOR_MODELS__TIERS__STANDARD": '[{"model": "m", "free": true}]',
        "ORCHESTRATOR_MODELS__ENDPOINTS__DEFAULT__STREAM": "false",
    }
    site.start("worker", "--pool", "writer", log="rich.log", **{**kinds, **models})
    site.until("serves writer", "rich.log")
    done = json.loads(site.run("run", str(plan), "--json", **kinds).stdout)
    assert (done["status"], done["usage"]["tokens"], done["usage"]["calls"]) == ("succeeded", 12, 1)
