"""The routes of the page: files without a key, documents with one, nothing of another tenant, streams to go on with."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from orchestrator.ids import RunId, TenantId
from orchestrator.ports.fleet import Offer, WorkerSeen
from orchestrator.ports.journal import Append, Recorded
from orchestrator.ports.tasks import Backlog
from orchestrator.service.http.page import POLICY
from orchestrator.service.page.pools import pool_board
from orchestrator.service.page.run import RunPage
from orchestrator.service.work_seen import WorkSeen
from tests.page.plays import brief, wide
from tests.page.serving import served
from tests.page.test_run_page import merged
from tests.service.http.house import House, house

pytestmark = pytest.mark.anyio
Document = dict[str, Any]


@pytest.fixture
def anyio_backend() -> str:
    """Streams are sent by asyncio servers."""
    return "asyncio"


@pytest.fixture
async def home() -> AsyncIterator[House]:
    async with house() as made:
        yield made


async def add(home: House, records: tuple[Recorded, ...], tenant: str = "acme") -> RunId:
    """Put a journal that was written elsewhere into the house's, for a tenant."""
    first, *rest = (one.fact for one in records)
    object.__setattr__(first, "tenant", TenantId(tenant))
    run_id = RunId(records[0].run_id)
    assert await home.service.journal.append(
        [Append(run_id=run_id, first_seq=1, epoch=1, facts=(first, *rest))]
    ) == ()  # fmt: skip
    return run_id


def messages(body: str) -> list[tuple[str, str, Document]]:
    """[(event, id, data)] of a stream."""
    found = []
    for block in body.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], lines.get("id", ""), json.loads(lines["data"])))
    return found


async def test_the_files_need_no_key_and_come_under_a_strict_policy(home: House) -> None:
    async with home.client(None) as client:
        first = await client.get("/")
        index = await client.get("/ui/")
        script = await client.get("/ui/vendor/preact.js")

    assert (first.status_code, first.headers["location"]) == (307, "/ui/")
    assert (index.status_code, index.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert index.headers["content-security-policy"] == POLICY
    assert (script.status_code, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert script.headers["x-content-type-options"] == "nosniff"


async def test_a_file_that_did_not_change_is_not_sent_again(home: House) -> None:
    async with home.client(None) as client:
        first = await client.get("/ui/page.css")
        again = await client.get("/ui/page.css", headers={"If-None-Match": first.headers["etag"]})

    assert (first.headers["cache-control"], again.status_code, again.content) == ("no-cache", 304, b"")


@pytest.mark.parametrize(
    "name", ["nothing.js", "../run.py", "..%2frun.py", "vendor/../../run.py", "vendor", "%2e%2e/x"]
)
async def test_nothing_but_the_files_of_the_page_can_be_asked_for(home: House, name: str) -> None:
    async with home.client(None) as client:
        answer = await client.get(f"/ui/{name}")

    assert answer.status_code == 404


async def test_a_run_that_ended_is_told_whole_and_then_ends(home: House) -> None:
    run = await add(home, brief())
    async with home.client() as client:
        answer = await client.get(f"/v1/runs/{run}/page")
    told = messages(answer.text)
    document: Document = {}
    for event, seq, data in told[:-1]:
        assert (event, int(seq)) == ("page", data["seq"])
        document = merged(document, data)
    whole = RunPage()
    whole.take(brief())

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert told[-1] == ("end", "", {"reason": "ended"})
    assert document == json.loads(json.dumps({**whole.since(0), "head": {**whole.since(0)["head"], "tenant": "acme"}}))  # type: ignore[dict-item]


async def test_whoever_comes_back_is_told_what_changed_since(home: House) -> None:
    run = await add(home, brief())
    async with home.client() as client:
        answer = await client.get(f"/v1/runs/{run}/page", headers={"Last-Event-ID": str(len(brief()) - 4)})
        ahead = await client.get(f"/v1/runs/{run}/page", headers={"Last-Event-ID": "999999"})
    (page, end), again = messages(answer.text), messages(ahead.text)

    assert "graph" not in page[2]
    assert [*page[2]["nodes"]] == ["tidy"]
    assert end[0] == "end"
    assert "graph" in again[0][2]  # a number that the journal does not have begins anew


def test_a_live_run_is_followed_to_its_end() -> None:
    """Over a real port: the client in one process does not hand a stream on before it has ended."""
    with served() as service:
        run = service.submit("gated", {"name": "page"})

        async def open_gate() -> None:
            service.house.gates.open("page")

        told: list[tuple[str, str, Document]] = []
        with httpx2.stream("GET", f"{service.url}/v1/runs/{run}/page", timeout=30, trust_env=False) as answer:
            text = ""
            for chunk in answer.iter_text():
                text += chunk
                told = messages(text[: text.rfind("\n\n") + 2])
                if len(told) and told[-1][2].get("nodes", {}).get("slow", {}).get("status") == "running":
                    service.call(open_gate)
    statuses = [data["nodes"]["slow"]["status"] for _, _, data in told if "slow" in data.get("nodes", {})]

    assert (statuses[0], statuses[-1], told[-1]) == ("running", "passed", ("end", "", {"reason": "ended"}))


async def test_the_panel_is_told_of_a_step_and_of_its_inputs_when_they_are_asked_for(home: House) -> None:
    run = await add(home, brief())
    async with home.client() as client:
        plain = (await client.get(f"/v1/runs/{run}/page/steps/draft")).json()
        more = (await client.get(f"/v1/runs/{run}/page/steps/draft?inputs=true")).json()
        branch = (await client.get(f"/v1/runs/{run}/page/steps/sources[4]?inputs=true")).json()
        none = await client.get(f"/v1/runs/{run}/page/steps/nothing")

    assert "inputs" not in plain
    assert {**more, "inputs": None} == {**plain, "inputs": None}
    assert more["inputs"]["with"]["prices"] == {"january": 104.2, "october": 97.9}
    assert branch["inputs"]["task"] == "Primary sources on heat pumps in IN"
    assert (none.status_code, none.json()["remedy"]) == (404, "look at the run for its steps")


async def test_a_folded_node_lists_its_steps_page_by_page(home: House) -> None:
    run = await add(home, wide(700, 700, 700))
    async with home.client() as client:
        first = (await client.get(f"/v1/runs/{run}/page/nodes/group:0")).json()
        last = (await client.get(f"/v1/runs/{run}/page/nodes/group:0?first=170")).json()

    assert (first["total"], len(first["rows"])) == (175, 175)
    assert [row[0] for row in last["rows"]] == [row[0] for row in first["rows"][170:]]


async def test_the_offline_file_is_handed_over_and_not_shown(home: House) -> None:
    run = await add(home, brief())
    async with home.client() as client:
        answer = await client.get(f"/v1/runs/{run}/page/file")

    assert answer.headers["content-disposition"] == 'attachment; filename="run.html"'
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "<title>market-brief" in answer.text


PLACES = ("page", "page/steps/draft", "page/nodes/group:0", "page/file")


@pytest.mark.parametrize("place", PLACES)
async def test_documents_need_a_key_and_another_tenant_has_none(home: House, place: str) -> None:
    run = await add(home, brief())
    metrics = await home.key("acme", "metrics")
    async with home.client(None) as nobody, home.client("other") as other, home.client(key=metrics) as weak:
        answers = [await client.get(f"/v1/runs/{run}/{place}") for client in (nobody, other, weak)]

    assert [answer.status_code for answer in answers] == [401, 404, 403]
    assert "market-brief" not in "".join(answer.text for answer in answers)


@pytest.mark.parametrize("place", ["/v1/costs", "/v1/page/pools"])
async def test_boards_need_a_key(home: House, place: str) -> None:
    async with home.client(None) as client:
        assert (await client.get(place)).status_code == 401


async def test_pools_of_one_process_have_no_workers_of_their_own(home: House) -> None:
    async with home.client() as client:
        told = (await client.get("/v1/page/pools")).json()

    (desk,) = told["pools"]
    assert (told["workers"], desk["pool"], desk["workers"], desk["backlog"]) == (None, "desk", None, 0)
    assert "double" in desk["functions"]


async def test_the_routes_of_the_page_are_no_part_of_the_described_api(home: House) -> None:
    async with home.client() as client:
        paths = (await client.get("/v1/openapi.json")).json()["paths"]

    assert [path for path in paths if "page" in path or "/ui" in path] == []


class Known:
    """A catalogue of one pool."""

    def pools(self) -> list[str]:
        return ["research"]

    def functions(self, pool: str) -> dict[str, Any]:
        return {"find": None}

    def has_agent(self, pool: str) -> bool:
        return True


def test_a_board_of_pools_with_a_fleet() -> None:
    workers = [
        WorkerSeen(name="w2", beat_age_s=1.5, running=3, offer=Offer(concurrency={"research": 4})),
        WorkerSeen(name="w1", beat_age_s=0.5, running=0, offer=Offer(concurrency={"research": 2}, leaving=True)),
        WorkerSeen(
            name="w3", beat_age_s=2.0, running=0,
            offer=Offer(concurrency={"extra": 1}, refused={"research": ["another contract of find"]}),
        ),
    ]  # fmt: skip
    backlog = Backlog(
        pool="research", waiting=5, delayed=1, running=3, oldest_wait_s=2.5, by_lane={"high": 2, "normal": 3}
    )  # type: ignore[arg-type]  # a name is a name
    row = {"backlog": 0, "waiting": 0, "delayed": 0, "running": 0, "oldest_wait_s": 0, "by_lane": {}, "functions": [],
           "tenants": "all", "agent": False, "dead": 0, "refused": []}  # fmt: skip

    told = pool_board(Known(), WorkSeen(everybody={"research": backlog}), workers, {"lost": 7})  # type: ignore[arg-type]  # as much as is read
    assert told == {
        "tenants": "all",
        "pools": [
            {**row, "by_lane": told["pools"][0]["by_lane"], "pool": "extra", "workers": 1, "slots": 1},  # type: ignore[index]
            {**row, "by_lane": told["pools"][1]["by_lane"], "pool": "lost", "workers": 0, "slots": 0, "dead": 7},  # type: ignore[index]
            {
                "pool": "research", "backlog": 9, "waiting": 5, "delayed": 1, "running": 3, "oldest_wait_s": 2.5,
                "tenants": "all", "by_lane": {"high": 2, "normal": 3}, "functions": ["find"], "agent": True,
                "workers": 1, "slots": 4,
                "dead": 0, "refused": ["another contract of find"],
            },
        ],
        "workers": [
            {"name": "w1", "beat_age_s": 0.5, "running": 0, "leaving": True, "pools": {"research": 2}},
            {"name": "w2", "beat_age_s": 1.5, "running": 3, "leaving": False, "pools": {"research": 4}},
            {"name": "w3", "beat_age_s": 2.0, "running": 0, "leaving": False, "pools": {"extra": 1}},
        ],
        "workers_total": 3,
    }  # fmt: skip


def test_a_board_for_one_tenant_tells_nothing_of_queues_and_workers() -> None:
    told = pool_board(Known(), WorkSeen(own={"research": 2, "gone": 1}))  # type: ignore[arg-type]  # as much as is read
    names = ("waiting", "delayed", "running", "oldest_wait_s", "by_lane", "workers", "slots", "dead")
    hidden = {**dict.fromkeys(names), "tenants": "own", "refused": []}
    assert told == {
        "tenants": "own",
        "pools": [
            {**hidden, "pool": "gone", "backlog": 1, "functions": [], "agent": False},
            {**hidden, "pool": "research", "backlog": 2, "functions": ["find"], "agent": True},
        ],
        "workers": None,
        "workers_total": 0,
    }
