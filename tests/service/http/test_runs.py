"""Jobs: accepted once, looked at, cancelled, done again, in lanes and within limits."""

import asyncio
from collections.abc import AsyncIterator
from itertools import chain

import pytest

from orchestrator.ports.journal import RunQuery
from orchestrator.ports.keys import Caps
from orchestrator.service.http.limits import Limits
from tests.service.http.house import House, house, until, until_ended

pytestmark = pytest.mark.anyio
AT_ONCE = 1_000


@pytest.fixture
async def home() -> AsyncIterator[House]:
    async with house() as made:
        yield made


async def test_a_job_is_accepted_watched_and_fetched(home: House) -> None:
    async with home.client() as client:
        answer = await client.post("/v1/runs", json={"plan": "double", "inputs": {"n": 21}})
        accepted = answer.json()
        run = accepted["id"]
        assert answer.status_code == 202
        assert answer.headers["location"] == accepted["href"] == f"/v1/runs/{run}"
        assert {**accepted, "accepted_at": 0} == {
            "id": run, "plan": "double", "lane": "normal", "origin": run, "accepted_at": 0, "href": f"/v1/runs/{run}",
        }  # fmt: skip
        ended = await until_ended(client, run)
        assert (ended["status"], ended["output"], ended["inputs"]) == ("succeeded", 42, {"n": 21})
        assert ended["steps"]["twice"]["verdicts"] == [
            {"check": 0, "name": "schema", "verdict": "pass", "count": 1, "reasons": []}
        ]
        why = (await client.get(f"/v1/runs/{run}/why?step=twice")).json()["lines"]
        assert any(line["text"].startswith("passed after 1 attempt") for line in why)


async def test_a_whole_plan_runs_without_having_a_name(home: House) -> None:
    plan = {
        "name": "own",
        "inputs": {"n": {"type": "integer"}},
        "steps": {"a": {"pool": "desk", "call": "double", "with": {"n": "${{ inputs.n }}"}}},
        "result": "${{ steps.a.output }}",
    }
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": plan, "inputs": {"n": 4}})).json()["id"]
        assert (await until_ended(client, run))["output"] == 8
        told = (await client.get(f"/v1/runs/{run}/plan")).json()
        assert told["plan"] == {"version": 1, **plan}


async def test_a_thousand_posts_with_one_key_make_one_run() -> None:
    async with house(limits=Limits(requests_at_once=AT_ONCE)) as home, home.client() as client:
        headers = {"Idempotency-Key": "order-7"}
        body = {"plan": "double", "inputs": {"n": 5}}
        answers = await asyncio.gather(*(client.post("/v1/runs", json=body, headers=headers) for _ in range(AT_ONCE)))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.text for answer in answers}) == 1
        assert len(await home.service.journal.runs(RunQuery())) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"plan": "double", "inputs": {"n": 6}},
        {"plan": "asks"},
        {"plan": "double", "inputs": {"n": 5}, "budget": {"usd": 0.5}},
        {"plan": "double", "inputs": {"n": 5}, "lane": "high"},
    ],
)
async def test_a_key_is_for_one_request(home: House, other: dict) -> None:
    async with home.client() as client, home.client("other") as stranger:
        headers = {"Idempotency-Key": "k"}
        first = await client.post("/v1/runs", json={"plan": "double", "inputs": {"n": 5}}, headers=headers)
        refused = await client.post("/v1/runs", json=other, headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (
            422, "urn:hierarchical-orchestrator:idempotency-conflict"
        )  # fmt: skip
        assert len(await home.service.journal.runs(RunQuery())) == 1
        theirs = await stranger.post("/v1/runs", json=other, headers=headers)
        assert theirs.status_code == 202
        assert theirs.json()["id"] != first.json()["id"]


async def test_a_key_is_answered_though_the_queue_is_full() -> None:
    async with house(limits=Limits(queue_depth=1)) as home, home.client() as client:
        headers = {"Idempotency-Key": "k"}
        first = await client.post("/v1/runs", json={"plan": "gated"}, headers=headers)
        again = await client.post("/v1/runs", json={"plan": "gated"}, headers=headers)
        full = await client.post("/v1/runs", json={"plan": "gated"})
        assert (first.status_code, again.status_code, full.status_code) == (202, 202, 429)
        assert first.text == again.text


async def test_a_full_lane_refuses_whole_and_takes_again_once_there_is_room() -> None:
    async with house(limits=Limits(queue_depth=20)) as home, home.client() as client:
        answers = await asyncio.gather(*(client.post("/v1/runs", json={"plan": "gated"}) for _ in range(200)))
        taken = [answer for answer in answers if answer.status_code == 202]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert (len(taken), len(refused)) == (20, 180)
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert {answer.json()["type"] for answer in refused} == {"urn:hierarchical-orchestrator:queue-full"}
        assert len(await home.service.journal.runs(RunQuery(limit=1_000))) == 20
        other_lane = await client.post("/v1/runs", json={"plan": "gated", "lane": "low"})
        async with home.client("other") as stranger:
            other_tenant = await stranger.post("/v1/runs", json={"plan": "gated"})
        assert (other_lane.status_code, other_tenant.status_code) == (202, 202)

        home.gates.open()
        for answer in taken:
            await until_ended(client, answer.json()["id"])

        async def taken_again() -> bool:
            return (await client.post("/v1/runs", json={"plan": "gated"})).status_code == 202

        await until(taken_again, "there is room again")


async def test_a_key_may_be_capped_in_runs_lanes_and_money(home: House) -> None:
    key = await home.key("small", caps=Caps(open_runs=2, lanes=("low", "batch"), usd_per_day=5.0))
    async with home.client(key=key) as client:
        normal = await client.post("/v1/runs", json={"plan": "gated"})
        assert (normal.status_code, normal.json()["type"].rpartition(":")[2]) == (403, "forbidden")
        body = {"plan": "gated", "lane": "low", "budget": {"usd": 2.0}}
        first, second, third = [await client.post("/v1/runs", json=body) for _ in range(3)]
        assert [first.status_code, second.status_code, third.status_code] == [202, 202, 429]
        assert third.json()["type"].endswith(":queue-full")
        await client.post(f"/v1/runs/{second.json()['id']}/cancel")
        await until_ended(client, second.json()["id"])

        async def money_alone() -> bool:
            dear = await client.post("/v1/runs", json={**body, "budget": {"usd": 3.5}})
            return dear.json()["type"].endswith(":spend-cap") and int(dear.headers["retry-after"]) > 0

        await until(money_alone, "only money is in the way")
        assert len(await home.service.journal.runs(RunQuery())) == 2


async def test_what_was_spent_counts_when_runs_have_ended(home: House) -> None:
    key = await home.key("small", caps=Caps(usd_per_day=2.5))
    async with home.client(key=key) as client:
        body = {"plan": "paid", "inputs": {"usd": 0.75}, "budget": {"usd": 1.0}}
        statuses = []
        for _ in range(4):
            answer = await client.post("/v1/runs", json=body)
            statuses.append(answer.status_code)
            if answer.status_code == 202:
                await until_ended(client, answer.json()["id"])
                home.app.state.kept.submitting._spending._accounts["small"].looked_s = 0.0
        assert statuses == [202, 202, 202, 429]  # 0.75 and 0.75 spent leave room for one budget of 1.00


async def test_requests_are_counted_by_tenant(home: House) -> None:
    key = await home.key("small", caps=Caps(requests_per_minute=5))
    async with home.client(key=key) as client, home.client() as other:
        answers = [await client.get("/v1/me") for _ in range(8)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert (await other.get("/v1/me")).status_code == 200


async def test_lists_are_filtered_and_read_page_by_page(home: House) -> None:
    async with home.client() as client, home.client("other") as stranger:
        made = []
        for number in range(7):
            body = {"plan": "double", "inputs": {"n": number}, "lane": "low" if number % 2 else "normal"}
            made.append((await client.post("/v1/runs", json=body)).json()["id"])
        await stranger.post("/v1/runs", json={"plan": "double"})
        failed = (await client.post("/v1/runs", json={"plan": "fails"})).json()["id"]
        for run in (*made, failed):
            await until_ended(client, run)

        async def ids(query: str) -> list[str]:
            return [row["id"] for row in (await client.get(f"/v1/runs?{query}")).json()["runs"]]

        assert await ids("") == [failed, *reversed(made)]
        assert await ids("status=failed&status=stopped") == [failed]
        assert await ids("plan=double&lane=low") == [made[5], made[3], made[1]]
        assert await ids(f"origin={made[2]}") == [made[2]]
        pages, cursor = [], ""
        while True:
            page = (await client.get(f"/v1/runs?limit=3{cursor}")).json()
            pages.append([row["id"] for row in page["runs"]])
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert [len(page) for page in pages] == [3, 3, 2]
        assert [*chain(*pages)] == [failed, *reversed(made)]
        gone = await client.get("/v1/runs?cursor=nobody")
        assert gone.status_code == 422


async def test_a_run_is_cancelled_in_every_state_and_twice(home: House) -> None:
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "gated"})).json()["id"]
        first = (await client.post(f"/v1/runs/{run}/cancel", json={"reason": "not needed"})).json()
        assert first == {"id": run, "status": "cancelling", "over": False}
        ended = await until_ended(client, run)
        assert (ended["status"], ended["output"]) == ("cancelled", None)
        again = (await client.post(f"/v1/runs/{run}/cancel")).json()
        assert again == {"id": run, "status": "cancelled", "over": True}
        asked = next(
            event for event in (await client.get(f"/v1/runs/{run}/history")).json()["events"]
            if event["kind"] == "run.cancel_requested" or event["kind"] == "cancel.requested"
        )  # fmt: skip
        assert asked["actor"].startswith("acme key (")
        assert asked["data"]["reason"] == "not needed"


async def test_what_did_not_pass_is_done_again_once(home: House) -> None:
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "fails"})).json()["id"]
        assert (await until_ended(client, run))["status"] == "failed"
        headers = {"Idempotency-Key": "again"}
        fork = {"step": "odd", "inputs": {"n": 3}}
        forks = await asyncio.gather(
            *(client.post(f"/v1/runs/{run}/fork", json=fork, headers=headers) for _ in range(20))
        )
        assert {answer.status_code for answer in forks} == {202}
        assert len({answer.text for answer in forks}) == 1
        forked = forks[0].json()
        ended = await until_ended(client, forked["id"])
        assert (ended["status"], ended["output"], ended["origin"]) == ("succeeded", 3, run)
        assert ended["steps"]["first"]["attempts"] == 0  # taken over, not done again
        other = await client.post(f"/v1/runs/{run}/retry", json={"step": "first"}, headers=headers)
        assert other.json()["type"].endswith(":idempotency-conflict")
        retried = await client.post(f"/v1/runs/{run}/retry")
        assert (await until_ended(client, retried.json()["id"]))["status"] == "failed"
        nothing = await client.post(f"/v1/runs/{forked['id']}/retry")
        assert nothing.status_code == 409


async def test_a_result_is_taken_back_with_what_was_built_on_it(home: House) -> None:
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "fails", "inputs": {"n": 1}})).json()["id"]
        await until_ended(client, run)
        answer = await client.post(f"/v1/runs/{run}/steps/first/quarantine", json={"reason": "wrong source"})
        assert answer.json() == {"id": run, "step": "first", "affected": ["odd"]}
        assert (await client.get(f"/v1/runs/{run}")).json()["quarantined"] == ["first", "odd"]


async def test_a_busy_high_lane_does_not_starve_the_low_one() -> None:
    async with house(limits=Limits(queue_depth=500)) as home, home.client() as client:
        for _ in range(16):  # every worker is busy, so that what follows queues up
            await client.post("/v1/runs", json={"plan": "gated", "lane": "high"})
        for _ in range(60):
            await client.post("/v1/runs", json={"plan": "many", "inputs": {"count": [1] * 20}, "lane": "high"})
        body = {"plan": "many", "inputs": {"count": [1] * 5}, "lane": "low"}
        low = (await client.post("/v1/runs", json=body)).json()["id"]
        driver = home.engine.runs.driver(low)
        assert driver is not None
        home.gates.open()
        await driver.finished()
        assert len(home.engine.runs.drivers()) > 10  # it came before most of those that had been there first


async def test_a_step_is_shown_attempt_by_attempt(home: House) -> None:
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "fails"})).json()["id"]
        await until_ended(client, run)
        step = (await client.get(f"/v1/runs/{run}/steps/odd")).json()
        assert (step["status"], step["attempts"]) == ("failed", len(step["tries"]))
        assert {one["outcome"] for one in step["tries"]} <= {"failed", "rejected"}
        assert step["tries"][0]["pool"] == "desk"
        assert "2 is even" in step["tries"][0]["message"]
        assert (await client.get(f"/v1/runs/{run}/steps/none")).status_code == 404
        mapped = (await client.post("/v1/runs", json={"plan": "many", "inputs": {"count": [4, 5]}})).json()["id"]
        await until_ended(client, mapped)
        branch = (await client.get(f"/v1/runs/{mapped}/steps/each[1]")).json()
        assert [(one["branch"], one["output"]) for one in branch["tries"]] == [(1, 10)]
        assert (await client.get(f"/v1/runs/{mapped}/steps/each[9]")).status_code == 404


async def test_outputs_are_fetched_by_digest_from_their_own_run_alone(home: House) -> None:
    async with home.client() as client:
        body = {"plan": "double", "inputs": {"n": 3}}
        run, other = [(await client.post("/v1/runs", json=body | {"inputs": {"n": n}})).json()["id"] for n in (3, 4)]
        await until_ended(client, run)
        await until_ended(client, other)
        (one,) = (await client.get(f"/v1/runs/{run}/artifacts")).json()["artifacts"]
        assert {**one, "digest": ""} == {"digest": "", "step": "twice", "branch": None, "attempt": 1, "bytes": 1}
        got = await client.get(f"/v1/runs/{run}/artifacts/{one['digest']}")
        assert (got.json(), got.headers["etag"]) == (6, f'"{one["digest"]}"')
        assert (await client.get(f"/v1/runs/{other}/artifacts/{one['digest']}")).status_code == 404


async def test_costs_are_told_by_step_and_pool(home: House) -> None:
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "paid", "inputs": {"usd": 0.5}})).json()["id"]
        await until_ended(client, run)
        assert (await client.get(f"/v1/runs/{run}/costs")).json() == {
            "usage": {"usd": 0.5, "tokens": 0, "calls": 0},
            "by_step": {"one": 0.5},
            "by_model": {},
            "by_pool": {"desk": 0.5},
        }


async def test_a_journal_on_which_nothing_can_be_written_accepts_nothing(home: House) -> None:
    async with home.client() as client:
        await home.engine.runs.drain(0.0)
        answer = await client.post("/v1/runs", json={"plan": "double"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert await home.service.journal.runs(RunQuery()) == []
