"""What belongs to another tenant does not exist: every operation of the API is asked for it, and none says more."""

import re
from collections.abc import AsyncIterator
from itertools import cycle

import pytest

from tests.service.http.house import House, house, until, until_ended

pytestmark = pytest.mark.anyio
PROBES = 500
MARK = "only-acme-knows-this"
NOBODYS = "01a20000-0000-7000-8000-000000000000"


@pytest.fixture
async def home() -> AsyncIterator[House]:
    async with house() as made:
        yield made


async def test_no_probe_of_five_hundred_finds_what_is_anothers(home: House) -> None:
    async with home.client() as acme, home.client("other") as stranger:
        runs = []
        for plan in ("asks", "double", "fails", "gated"):
            body = {"plan": plan, "inputs": {"text": MARK} if plan == "asks" else {}}
            headers = {"Idempotency-Key": f"{MARK} {plan}"}
            runs.append((await acme.post("/v1/runs", json=body, headers=headers)).json()["id"])
        await until_ended(acme, runs[1])
        await until_ended(acme, runs[2])

        async def asked() -> bool:
            return bool((await acme.get("/v1/approvals")).json()["approvals"])

        await until(asked, "a person is asked")
        (output,) = (await acme.get(f"/v1/runs/{runs[1]}/artifacts")).json()["artifacts"]
        theirs = {
            "run": cycle(runs),
            "step": cycle(["ask", "twice", "odd", "slow"]),
            "digest": cycle([output["digest"]]),
        }
        nobodys = {
            "run": cycle([NOBODYS]),
            "step": cycle(["ask"]),
            "digest": theirs["digest"],
        }
        bodies = {"choice": "publish", "reason": MARK, "step": "odd", "inputs": {}, "value": "up"}
        schema = (await acme.get("/v1/openapi.json")).json()
        places = [
            (method, path) for path, operations in schema["paths"].items() for method in operations if "{run}" in path
        ]
        assert len(places) >= 12
        before = [(await acme.get(f"/v1/runs/{run}")).text for run in runs[:3]]
        asked_so_far = 0
        while asked_so_far < PROBES:
            for method, path in places:
                answers = []
                for ids in (theirs, nobodys):
                    address = re.sub(r"\{(\w+)[^}]*\}", lambda match, ids=ids: next(ids[match[1]]), path)
                    names = re.search(
                        r'"\$ref": "#/components/schemas/(\w+)"', str(schema["paths"][path][method]).replace("'", '"')
                    )
                    fields = schema["components"]["schemas"].get(names[1] if names else "", {}).get("properties", {})
                    body = {name: value for name, value in bodies.items() if name in fields}
                    if "value" in fields:
                        body = {"value": "up"}
                    sent = {"json": body} if method == "post" else {}
                    answers.append(await stranger.request(method.upper(), address, **sent))
                    asked_so_far += 1
                found, none = answers
                assert (method, path, found.status_code) == (method, path, 404)
                assert MARK not in found.text
                assert no_ids(found.text, runs) == no_ids(none.text, [NOBODYS])
        for query in (f"origin={runs[0]}", f"parent={runs[0]}", "status=open", ""):
            assert (await stranger.get(f"/v1/runs?{query}")).json() == {"runs": [], "next": None}
        cursor = await stranger.get(f"/v1/runs?cursor={runs[0]}")
        gone = await stranger.get(f"/v1/runs?cursor={NOBODYS}")
        assert (cursor.status_code, cursor.text) == (gone.status_code, gone.text) == (422, gone.text)
        assert (await stranger.get("/v1/approvals")).json() == {"approvals": []}
        mine = await stranger.post("/v1/runs", json={"plan": "double"}, headers={"Idempotency-Key": f"{MARK} double"})
        assert mine.status_code == 202
        assert mine.json()["id"] not in runs
        assert [
            (await acme.get(f"/v1/runs/{run}")).text for run in (*runs[:3],)
        ] == before  # nothing was changed either
    print(f"{asked_so_far} probes over {len(places)} operations")


def fields_of(schema: dict, path: str, method: str) -> set[str]:
    """The fields of an operation's body."""
    body = schema["paths"][path][method].get("requestBody", {}).get("content", {}).get("application/json", {})
    names = re.findall(r"#/components/schemas/(\w+)", str(body))
    return {field for name in names for field in schema["components"]["schemas"][name].get("properties", {})}


def no_ids(text: str, ids: list[str]) -> str:
    """A text with the names exchanged that the asker gave himself."""
    for one in ids:
        text = text.replace(one, "<run>")
    return re.sub(r"(ask|twice|odd|slow)(?=')", "<step>", text)


async def test_a_revoked_an_expired_and_an_unknown_key_are_told_the_same(home: House) -> None:
    clock = home.service.clock
    expired = await home.key("acme", expires_at_s=clock.now_s() - 1)
    revoked = await home.key("acme", revoked_at_s=clock.now_s() - 1)
    unknown = home.keys["acme"][:-4] + "AAAA"
    told = set()
    for key in (expired, revoked, unknown, "ho_x", "x" * 5_000):
        async with home.client(key=key) as client:
            answer = await client.get("/v1/runs")
            told.add((answer.status_code, answer.text))
    assert len(told) == 1
    assert told.pop()[0] == 401


async def test_a_key_stops_working_within_a_second_of_being_revoked() -> None:
    class Clock:
        at_s = 1_000.0

        def now_s(self) -> float:
            return self.at_s

    clock = Clock()
    async with house(clock=clock) as home, home.client() as client:
        assert (await client.get("/v1/me")).status_code == 200
        assert home.service.keys is not None
        await home.service.keys.revoke(home.keys["acme"].split("_")[1], clock.at_s)
        clock.at_s += 0.5
        assert (await client.get("/v1/me")).status_code == 200
        clock.at_s += 0.6
        assert (await client.get("/v1/me")).status_code == 401


async def test_a_stranger_who_guesses_is_slowed_down(home: House) -> None:
    async with home.client(key="ho_aaaaaaaaaaaa_" + "x" * 43) as client:
        statuses = [
            (await client.get("/v1/me")).status_code for _ in range(home.service.limits.guesses_per_minute + 20)
        ]
        assert statuses == [401] * home.service.limits.guesses_per_minute + [429] * 20
    async with home.client() as acme:
        assert (await acme.get("/v1/me")).status_code == 200
