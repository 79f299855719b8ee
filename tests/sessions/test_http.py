"""Sessions over HTTP: turns, waiting, versions, keys of idempotency, tenants, limits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2
import pytest

from orchestrator.adapters.memory.keys import MemoryKeys
from orchestrator.app import Engine
from orchestrator.ids import JsonValue, TenantId
from orchestrator.ports.keys import SCOPES, ApiKey, Caps, Scope
from orchestrator.service.control_desk import Desk
from orchestrator.service.http import sessions as routes
from orchestrator.service.http.app import make_app
from orchestrator.service.http.key_text import digest_of_key, new_key
from orchestrator.service.http.limits import Limits
from orchestrator.service.http.parts import Service
from orchestrator.service.http.session_forms import ExportOut, SessionOut, SessionsOut, TurnAcceptedOut, TurnsOut
from orchestrator.service.http.sessions import PART
from tests.sessions.house import ECHO, REFUSE, SLOW, Shared

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The service knows asyncio alone."""
    return "asyncio"


@dataclass
class House:
    """A service over one engine."""

    shared: Shared
    engine: Engine
    service: Service
    app: object

    async def client(self, tenant: str = "acme", *scopes: Scope, caps: Caps | None = None) -> httpx2.AsyncClient:
        """A client with a key of its own."""
        key, key_id = new_key()
        assert self.service.keys is not None
        stored = ApiKey(
            id=key_id,
            name=tenant,
            tenant=TenantId(tenant),
            scopes=scopes or SCOPES,
            digest=digest_of_key(key),
            created_at_s=1.0,
            caps=caps or Caps(),
        )
        assert await self.service.keys.add(stored)
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.app),  # type: ignore[arg-type]  # an ASGI application
            base_url="http://test",
            headers={"Authorization": f"Bearer {key}"},
        )


@asynccontextmanager
async def house(limits: Limits | None = None, **settings: JsonValue) -> AsyncIterator[House]:
    """A service with three plans."""
    shared = Shared(**settings)
    async with shared.engine() as engine:
        service = Service(
            desk=Desk(shared.journal, engine.registry, engine.runs),
            settings=shared.settings,
            clock=shared.clock,
            plans={plan.name: plan for plan in (ECHO, SLOW, REFUSE)},
            keys=MemoryKeys(),
            limits=limits or Limits(),
            parts={PART: engine.conversations},
        )
        yield House(shared, engine, service, make_app(service))


def problem(response: httpx2.Response) -> tuple[int, str]:
    """Status and kind of a refusal."""
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["type"].rpartition(":")[2]


TURNS = "/v1/sessions/anna/turns"
WAIT = {"Prefer": "wait=20"}
HELLO = {"plan": "echo", "text": "hello"}


async def test_a_turn_is_accepted_at_once_and_its_answer_comes_by_itself() -> None:
    async with house() as home, await home.client() as client:
        accepted = await client.post(TURNS, json=HELLO)
        document = accepted.json()
        assert (accepted.status_code, document) == (
            202,
            {
                "session": "anna",
                "turn": 1,
                "run": document["run"],
                "href": f"/v1/runs/{document['run']}",
                "status": "open",
                "answer": None,
            },
        )
        assert accepted.headers["location"] == document["href"]
        TurnAcceptedOut.model_validate(document)
        with anyio.fail_after(60):
            while len((await client.get(TURNS)).json()["turns"]) < 2:  # noqa: ASYNC110 # as a client would
                await anyio.sleep(0.002)
        turns = (await client.get(TURNS)).json()
        TurnsOut.model_validate(turns)
        assert [(one["number"], one["role"], one["content"], one["status"]) for one in turns["turns"]] == [
            (1, "user", "hello", "said"),
            (2, "assistant", "hello [1|]", "succeeded"),
        ]
        run = (await client.get(document["href"])).json()
        assert (run["status"], run["output"]) == ("succeeded", "hello [1|]")


async def test_a_client_may_prefer_to_wait() -> None:
    async with house() as home, await home.client() as client:
        for number, (prefer, status, applied) in enumerate(
            [
                ("wait=20", 200, "wait=20"),
                ("respond-async, WAIT = 9999", 200, "wait=30"),
                ("wait=0", 202, None),
                ("wait=soon", 202, None),
                ("return=minimal", 202, None),
            ]
        ):
            answered = await client.post(f"/v1/sessions/s{number}/turns", json=HELLO, headers={"Prefer": prefer})
            assert (answered.status_code, answered.headers.get("preference-applied")) == (status, applied)
            document = answered.json()
            known = ("succeeded", "hello [1|]") if status == 200 else ("open", None)
            assert (document["status"], document["answer"]) == known
        failed = await client.post("/v1/sessions/s0/turns", json={"plan": "refuse", "text": "x"}, headers=WAIT)
        assert (failed.json()["status"], failed.json()["answer"], failed.json()["turn"]) == ("failed", "", 3)


async def test_an_answer_that_does_not_come_in_time_is_left_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "WAIT_MAX_S", 0.02)
    async with house() as home, await home.client() as client:
        body = {"plan": "slow", "text": "x", "inputs": {"seconds": 60}}
        accepted = await client.post(TURNS, json=body, headers=WAIT)
        assert (accepted.status_code, accepted.json()["status"]) == (202, "open")
        waiting = (await client.get("/v1/sessions/anna")).json()
        SessionOut.model_validate(waiting)
        assert waiting["waits_for"] == {"run": accepted.json()["run"], "content": "x"}
        assert waiting["window"]["turns"] == [{"role": "user", "content": "x"}]
        busy = await client.post(TURNS, json=HELLO)
        assert problem(busy) == (409, "session-busy")
        assert (busy.headers["retry-after"], accepted.json()["run"] in busy.json()["detail"]) == ("1", True)
        await client.post(f"{accepted.json()['href']}/cancel")
        monkeypatch.setattr(routes, "WAIT_MAX_S", 20.0)
        assert (await client.post(TURNS, json=HELLO, headers=WAIT)).json()["answer"] == "hello [3|]"


async def test_a_key_makes_many_requests_one_turn() -> None:
    async with house() as home, await home.client() as client:
        answers: list[httpx2.Response] = []

        async def post() -> None:
            headers = {"Idempotency-Key": "k", **WAIT}
            answers.append(await client.post(TURNS, json=HELLO, headers=headers))

        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(post)

        assert {one.status_code for one in answers} == {200}
        assert len({one.json()["run"] for one in answers}) == 1
        assert len((await client.get(TURNS)).json()["turns"]) == 2
        other = await client.post(TURNS, json={**HELLO, "text": "bye"}, headers={"Idempotency-Key": "k"})
        assert problem(other) == (422, "idempotency-conflict")
        late = await client.post(TURNS, json=HELLO, headers={"Idempotency-Key": "k", **WAIT})
        assert late.json() == answers[0].json()


async def test_many_clients_at_once_stand_in_one_order() -> None:
    async with house(window_turns=100) as home, await home.client() as client:

        async def post(number: int) -> None:
            answered = await client.post(TURNS, json={"plan": "echo", "text": f"n{number}"}, headers=WAIT)
            assert answered.status_code == 200

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(post, number)

        turns = (await client.get(TURNS, params={"limit": 100})).json()["turns"]
        assert [one["number"] for one in turns] == list(range(1, 41))
        for at in range(20):
            assert turns[2 * at + 1]["content"] == f"{turns[2 * at]['content']} [{2 * at + 1}|]"


async def test_a_version_that_was_seen_is_held_to() -> None:
    async with house() as home, await home.client() as client:
        pinned = await client.post("/v1/sessions/anna/facts", json={"text": "Ann pays 40"})
        SessionOut.model_validate(pinned.json())
        seen = pinned.headers["etag"]
        assert seen == f'"{pinned.json()["etag"]}"'
        other = await client.post("/v1/sessions/anna/facts", json={"text": "x", "literals": ["x"]})
        assert other.headers["etag"] != seen

        for refused in (
            await client.post(TURNS, json=HELLO, headers={"If-Match": seen}),
            await client.post("/v1/sessions/anna/facts", json={"text": "y"}, headers={"If-Match": seen}),
            await client.delete("/v1/sessions/anna", headers={"If-Match": seen}),
        ):
            assert problem(refused) == (412, "session-changed")
        now = (await client.get("/v1/sessions/anna")).headers["etag"]
        taken = await client.post(TURNS, json=HELLO, headers={"If-Match": now, **WAIT})
        assert taken.json()["answer"] == "hello [1|Facts, word for word:\n- Ann pays 40\n- x]"
        gone = await client.delete("/v1/sessions/anna/facts", params={"text": "x"})
        assert [fact["text"] for fact in gone.json()["facts"]] == ["Ann pays 40"]


async def test_nothing_of_another_tenant_is_there() -> None:
    async with house() as home, await home.client() as mine, await home.client("other") as theirs:
        await mine.post(TURNS, json=HELLO, headers=WAIT)
        etag = (await mine.get("/v1/sessions/anna")).headers["etag"]

        for probe in (
            await theirs.get("/v1/sessions/anna"),
            await theirs.get(TURNS),
            await theirs.get("/v1/sessions/anna/export"),
            await theirs.delete("/v1/sessions/anna"),
            await theirs.delete("/v1/sessions/anna", params={"runs": "forget"}),
            await theirs.delete("/v1/sessions/anna/facts", params={"text": "x"}),
        ):
            assert problem(probe) == (404, "not-found")
        assert problem(await theirs.post(TURNS, json=HELLO, headers={"If-Match": etag})) == (412, "session-changed")
        assert (await theirs.get("/v1/sessions")).json() == {"sessions": [], "next": None}
        assert (await theirs.post(TURNS, json=HELLO, headers=WAIT)).json()["answer"] == "hello [1|]"
        assert len((await mine.get(TURNS)).json()["turns"]) == 2


async def test_a_key_must_have_the_scope() -> None:
    async with house() as home, await home.client("acme", "read") as reader, await home.client("acme", "run") as runner:
        assert problem(await reader.post(TURNS, json=HELLO)) == (403, "forbidden")
        assert problem(await reader.delete("/v1/sessions/anna")) == (403, "forbidden")
        assert (await runner.post(TURNS, json=HELLO, headers=WAIT)).status_code == 200
        assert problem(await runner.get(TURNS)) == (403, "forbidden")
        assert (await reader.get(TURNS)).status_code == 200


async def test_sessions_are_listed_exported_and_deleted() -> None:
    async with house() as home, await home.client() as client:
        for name in ("c", "a", "b"):
            await client.post(f"/v1/sessions/{name}/facts", json={"text": f"{name} pays 40"})
        answered = await client.post("/v1/sessions/a/turns", json=HELLO, headers=WAIT)

        first = (await client.get("/v1/sessions", params={"limit": 2})).json()
        second = (await client.get("/v1/sessions", params={"limit": 2, "after": first["next"]})).json()
        SessionsOut.model_validate(first)
        assert [one["id"] for one in first["sessions"] + second["sessions"]] == ["a", "b", "c"]
        assert second["next"] is None

        exported = await client.get("/v1/sessions/a/export")
        document = ExportOut.model_validate(exported.json())
        assert [turn.content for turn in document.turns] == ["hello", "hello [1|Facts, word for word:\n- a pays 40]"]
        assert exported.headers["etag"] == (await client.get("/v1/sessions/a")).headers["etag"]

        deleted = await client.delete("/v1/sessions/a", params={"runs": "forget"})
        assert deleted.json() == {"id": "a", "runs_forgotten": True}
        assert problem(await client.delete("/v1/sessions/a")) == (404, "not-found")
        assert (await client.get(answered.json()["href"])).json()["forgotten"] is True


async def test_pages_of_turns_go_on_where_the_one_before_ended() -> None:
    async with house() as home, await home.client() as client:
        for number in range(3):
            await client.post(TURNS, json={"plan": "echo", "text": f"n{number}"}, headers=WAIT)
        first = (await client.get(TURNS, params={"limit": 4})).json()
        second = (await client.get(TURNS, params={"limit": 4, "after": first["next"]})).json()
        assert [one["number"] for one in first["turns"] + second["turns"]] == [1, 2, 3, 4, 5, 6]
        assert (first["next"], second["next"]) == (4, None)


WRONG: list[tuple[dict[str, JsonValue], tuple[int, str]]] = [
    ({"text": "x"}, (422, "invalid")),
    ({"plan": "echo"}, (422, "invalid")),
    ({"plan": "echo", "goal": "x", "text": "x"}, (422, "invalid")),
    ({"goal": "x", "inputs": {"a": 1}}, (422, "invalid")),
    ({"plan": "nowhere", "text": "x"}, (422, "plan-invalid")),
    ({"plan": {"version": 1}, "text": "x"}, (422, "plan-invalid")),
    ({"plan": "slow", "text": "x"}, (422, "input-invalid")),
    ({"plan": "echo", "text": "x" * 300}, (422, "session-full")),
    ({"plan": "echo", "text": "\0"}, (422, "invalid")),
    ({"plan": "echo", "text": ""}, (422, "invalid")),
    ({"plan": "echo", "text": "x", "more": 1}, (422, "invalid")),
    ({"goal": "What is there?"}, (422, "promise")),  # there is no model here
]


async def test_what_is_wrong_with_a_turn_is_told_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    async with house(turn_bytes_max=256) as home, await home.client() as client:
        for body, expected in WRONG:
            assert (problem(await client.post(TURNS, json=body)), body) == (expected, body)
            assert problem(await client.get("/v1/sessions/anna")) == (404, "not-found")


async def test_names_that_no_address_should_have_are_refused() -> None:
    async with house() as home, await home.client() as client:
        for name in ["-x", "a b", "a%00", "x" * 201, "%E2%82%AC"]:
            assert problem(await client.get(f"/v1/sessions/{name}"))[0] in {400, 404, 422}
            assert problem(await client.post(f"/v1/sessions/{name}/turns", json=HELLO))[0] in {400, 404, 422}


async def test_where_there_is_no_room_for_the_run_the_turn_is_not_taken() -> None:
    async with house(Limits(queue_depth=1)) as home, await home.client() as client:
        body = {"plan": "slow", "text": "x", "inputs": {"seconds": 60}}
        open_one = await client.post("/v1/sessions/other/turns", json=body)

        full = await client.post(TURNS, json=HELLO)

        assert problem(full) == (429, "queue-full")
        assert problem(await client.get("/v1/sessions/anna")) == (404, "not-found")
        await client.post(f"{open_one.json()['href']}/cancel")
        with anyio.fail_after(60):
            while (await client.post(TURNS, json=HELLO, headers=WAIT)).status_code != 200:  # noqa: ASYNC110 # a client
                await anyio.sleep(0.01)


async def test_spending_caps_hold_for_turns_and_repeating_one_reserves_nothing() -> None:
    async with house() as home, await home.client(caps=Caps(usd_per_day=1.5)) as client:
        body = {**HELLO, "budget": {"usd": 1.0}}
        for _ in range(3):
            again = await client.post(TURNS, json=body, headers={"Idempotency-Key": "k", **WAIT})
            assert again.status_code == 200
        dear = await client.post(TURNS, json={**HELLO, "budget": {"usd": 2.0}})
        assert problem(dear)[1] == "spend-cap"


async def test_a_service_without_sessions_says_so() -> None:
    async with house() as home:
        bare = Service(
            desk=home.service.desk, settings=home.service.settings, clock=home.service.clock, plans=home.service.plans
        )
        transport = httpx2.ASGITransport(make_app(bare))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            assert problem(await client.get(TURNS)) == (422, "promise")


async def _seated(client: httpx2.AsyncClient, method: str, path: str, **more: Any) -> dict[str, Any]:
    """The answer, once the one seat is free; those who wait for a run wait for far longer than is waited here."""
    answer = await client.request(method, path, **more)
    with anyio.move_on_after(10):
        while answer.status_code == 503:
            await anyio.sleep(0.01)
            answer = await client.request(method, path, **more)
    assert answer.is_success, answer.text
    return dict(answer.json())


async def test_whoever_waits_for_an_answer_or_for_a_turn_holds_no_seat() -> None:
    async with house(Limits(requests_at_once=1)) as home, await home.client() as client:
        slow = {"plan": "slow", "text": "x", "inputs": {"seconds": 60}}

        async def asks(session: str, body: dict[str, Any]) -> None:
            await _seated(client, "POST", f"/v1/sessions/{session}/turns", json=body, headers=WAIT)

        async with anyio.create_task_group() as group:
            group.start_soon(asks, "anna", slow)  # both wait for their runs …
            group.start_soon(asks, "bert", slow)
            runs: list[dict[str, str]] = []
            with anyio.fail_after(10):
                while len(runs) < 2:
                    await anyio.sleep(0.01)
                    runs = (await _seated(client, "GET", "/v1/runs"))["runs"]
            group.start_soon(asks, "anna", HELLO)  # … and this one for its turn
            await anyio.wait_all_tasks_blocked()

            for row in runs:
                await _seated(client, "POST", f"/v1/runs/{row['id']}/cancel")
        assert [turn["role"] for turn in (await client.get(TURNS)).json()["turns"]][2:] == ["user", "assistant"]
