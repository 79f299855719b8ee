"""Questions over HTTP: shown with what hangs on them, answered once, whatever else is sent before, twice or late."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from orchestrator.core.facts import ApprovalAnswered
from orchestrator.ids import RunId
from tests.service.http.house import House, house, until, until_ended

pytestmark = pytest.mark.anyio


@pytest.fixture
async def home() -> AsyncIterator[House]:
    async with house() as made:
        yield made


async def asked(client: httpx2.AsyncClient) -> list[dict]:
    found: list[dict] = []

    async def there() -> bool:
        found[:] = (await client.get("/v1/approvals")).json()["approvals"]
        return bool(found)

    await until(there, "a person is asked")
    return found


async def answers_of(home: House, run: str) -> list[tuple[str, str, str]]:
    records = await home.service.journal.read(RunId(run))
    facts = [record.fact for record in records if isinstance(record.fact, ApprovalAnswered)]
    return [(fact.choice, fact.reason or "", fact.actor.partition(" (")[0]) for fact in facts]


async def test_a_question_says_what_hangs_on_it_and_is_answered_once(home: House) -> None:
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "asks"})).json()["id"]
        (question,) = await asked(client)
        assert {**question, "asked_at": 0, "expires_at": 0} == {
            "run": run, "plan": "asks", "step": "ask", "subject": "step", "ask": "Publish?", "show": "the draft",
            "choices": ["publish", "hold"], "then": "hold", "asked_at": 0, "expires_at": 0, "usd": 0.0,
            "next": [
                {"step": "after", "does": "call note in desk", "when": 'steps.ask.output.choice == "publish"'}
            ],
        }  # fmt: skip
        assert question["expires_at"] - question["asked_at"] == pytest.approx(3600, abs=1)
        place = f"/v1/runs/{run}/approvals/ask"
        wrong = await client.post(place, json={"choice": "burn"})
        assert (wrong.status_code, wrong.json()["type"].rpartition(":")[2]) == (409, "conflict")
        assert (await client.post(place, json={"choice": "publish", "reason": "good"})).status_code == 200
        assert (await client.post(place, json={"choice": "publish", "reason": "again"})).status_code == 200
        other = await client.post(place, json={"choice": "hold"})
        assert other.status_code == 409
        assert "answered already: publish" in other.json()["detail"]
        assert (await until_ended(client, run))["output"] == "publish"
        assert (await client.post(place, json={"choice": "publish"})).status_code == 200
        assert await answers_of(home, run) == [("publish", "good", "acme key")]
        assert (await client.get("/v1/approvals")).json() == {"approvals": []}


async def test_of_many_answers_at_once_one_counts(home: House) -> None:
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "asks"})).json()["id"]
        await asked(client)
        place = f"/v1/runs/{run}/approvals/ask"
        bodies = [{"choice": choice, "reason": f"{n}"} for n in range(25) for choice in ("publish", "hold")]
        answers = await asyncio.gather(*(client.post(place, json=body) for body in bodies))
        (counted,) = await answers_of(home, run)
        assert (await until_ended(client, run))["output"] == counted[0]
        for body, answer in zip(bodies, answers, strict=True):
            assert answer.status_code in ({200} if body["choice"] == counted[0] else {200, 409})
        late = await client.post(place, json={"choice": "hold" if counted[0] == "publish" else "publish"})
        assert late.status_code == 409


async def test_an_answer_before_the_question_or_after_its_time_is_refused(home: House) -> None:
    human = {"ask": "Go?", "choices": ["go", "stay"], "expires": "30ms", "then": "stay"}
    steps = {
        "wait": {"pool": "desk", "call": "gated", "with": {"name": "early"}},
        "ask": {"human": human, "needs": ["wait"]},
    }
    async with home.client() as client:
        plan = {"name": "short", "steps": steps, "result": "${{ steps.ask.output.choice }}"}
        run = (await client.post("/v1/runs", json={"plan": plan})).json()["id"]
        place = f"/v1/runs/{run}/approvals/ask"
        early = await client.post(place, json={"choice": "go"})
        assert (early.status_code, early.json()["detail"]) == (409, f"{run} ask: no such question is open")
        home.gates.open("early")
        assert (await until_ended(client, run))["output"] == "stay"
        late = await client.post(place, json={"choice": "go"})
        assert (late.status_code, late.json()["detail"]) == (
            409, f"{run} ask: nobody answered in time; taken: stay"
        )  # fmt: skip
        assert await answers_of(home, run) == []


async def test_a_question_in_a_sub_plan_is_in_the_inbox_and_with_the_run_above(home: House) -> None:
    below = {"name": "below", "steps": {"ask": {"human": {"ask": "Below?", "choices": ["yes", "no"], "expires": "1h"}}}}
    async with home.client() as client:
        plan = {"name": "above", "steps": {"sub": {"plan": below}}}
        run = (await client.post("/v1/runs", json={"plan": plan})).json()["id"]
        (question,) = await asked(client)
        child = question["run"]
        assert child.startswith(f"{run}.sub")
        shown = (await client.get(f"/v1/runs/{run}")).json()
        assert (shown["questions"], shown["children"]) == ([question], [child])
        place = f"/v1/runs/{child}/approvals/ask".replace("#", "%23")
        assert (await client.post(place, json={"choice": "yes"})).json() == {
            "id": child,
            "step": "ask",
            "choice": "yes",
        }
        assert (await until_ended(client, run))["status"] == "succeeded"


async def test_only_who_may_answer_answers(home: House) -> None:
    key = await home.key("acme", "read", "run")
    async with home.client() as acme, home.client(key=key) as looker:
        run = (await acme.post("/v1/runs", json={"plan": "asks"})).json()["id"]
        assert [one["run"] for one in await asked(looker)] == [run]
        refused = await looker.post(f"/v1/runs/{run}/approvals/ask", json={"choice": "publish"})
        assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (403, "forbidden")
        assert await answers_of(home, run) == []
