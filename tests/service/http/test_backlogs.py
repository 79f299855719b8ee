"""What a key is told of the work in pools: its tenant's, and everybody's only where it may see the whole process."""

import pytest

from orchestrator.core import facts as f
from orchestrator.ids import StepId
from orchestrator.service.http.under_way import UnderWay
from tests.service.http.house import House, house, until

pytestmark = pytest.mark.anyio
OWN = ("run", "read")


async def _held(home: House, tenant: str, count: int, name: str) -> None:
    """Runs of a tenant that are at work until the test ends."""
    async with home.client(tenant) as client:
        for _ in range(count):
            answer = await client.post("/v1/runs", json={"plan": "gated", "inputs": {"name": name}})
            assert answer.status_code == 202

    async def all_at_work() -> bool:
        async with home.client(tenant) as client:
            return bool((await client.get("/v1/pools/desk/backlog")).json()["backlog"] >= count)

    await until(all_at_work, f"{count} runs of {tenant}")


async def test_a_key_sees_the_work_of_its_tenant_and_nothing_of_others() -> None:
    async with house() as home:
        await _held(home, "acme", 3, "a")
        before = {}
        for tenant in ("acme", "other"):
            async with home.client(key=await home.key(tenant, *OWN)) as client:
                before[tenant] = [
                    (await client.get(path)).json()
                    for path in ("/v1/pools", "/v1/pools/desk/backlog", "/v1/page/pools")
                ]
        board, desk, page = before["acme"]
        hidden = {"waiting": None, "delayed": None, "running": None, "oldest_wait_s": None, "by_lane": None}
        assert desk == {"pool": "desk", "tenants": "own", "backlog": 3, **hidden}
        assert [(row["backlog"], row["tenants"], row["running"]) for row in board["pools"]] == [(3, "own", None)]
        assert [(row["backlog"], row["running"], row["by_lane"]) for row in page["pools"]] == [(3, None, None)]
        board, desk, page = before["other"]
        assert desk == {"pool": "desk", "tenants": "own", "backlog": 0, **hidden}

        await _held(home, "acme", 7, "b")
        async with home.client(key=await home.key("other", *OWN)) as client:
            for path, said in zip(
                ("/v1/pools", "/v1/pools/desk/backlog", "/v1/page/pools"), before["other"], strict=True
            ):
                assert (path, (await client.get(path)).json()) == (path, said)


async def test_a_key_for_the_whole_process_sees_the_work_of_all() -> None:
    async with house() as home:
        await _held(home, "acme", 2, "a")
        async with home.client(key=await home.key("other", "read", "metrics")) as client:
            desk = (await client.get("/v1/pools/desk/backlog")).json()
            (row,) = (await client.get("/v1/pools")).json()["pools"]
        assert (desk["tenants"], desk["backlog"], desk["running"]) == ("all", 2, 2)
        assert (row["tenants"], row["backlog"], row["running"]) == ("all", 2, 2)


async def test_ended_work_counts_no_more() -> None:
    async with house() as home:
        await _held(home, "acme", 2, "a")
        key = await home.key("acme", *OWN)

        async def nothing_left() -> bool:
            async with home.client(key=key) as client:
                return bool((await client.get("/v1/pools/desk/backlog")).json()["backlog"] == 0)

        home.gates.open("a")
        await until(nothing_left, "an empty pool")


def _sent(step: str, pool: str, **more: object) -> f.StepDispatched:
    return f.StepDispatched(**_of(step), pool=pool, digest="sha256:0", **more)  # type: ignore[arg-type]


def _of(step: str, **more: object) -> dict[str, object]:
    return {"at_s": 2.0, "step": StepId(step), "attempt": 1, **more}


def test_work_checks_and_waits_are_counted_until_each_is_over() -> None:
    work = UnderWay()
    for fact in (
        _sent("a", "desk"),
        _sent("b", "desk", branch=0),
        _sent("b", "desk", branch=1),
        _sent("b", "desk", branch=1, sample=1),
        _sent("c", ""),  # a person is no pool
    ):
        work.take(fact)
    assert work.by_pool() == {"desk": 4}
    work.take(f.StepProduced(**_of("b", branch=1, sample=1), digest="sha256:0", output=1))  # type: ignore[arg-type]
    work.take(f.StepProduced(**_of("a"), digest="sha256:0", output=1))  # type: ignore[arg-type]
    work.take(_sent("a", "judges", purpose="check", check=1))
    assert work.by_pool() == {"desk": 2, "judges": 1}
    work.take(f.CheckVerdict(**_of("a"), check=1, name="call", verdict="pass", digest="sha256:0"))  # type: ignore[arg-type]
    work.take(f.AttemptFailed(**_of("b", branch=0), error="timeout"))  # type: ignore[arg-type]
    assert work.by_pool() == {"desk": 1}
    work.take(_sent("b", "desk", branch=0))
    assert work.by_pool() == {"desk": 2}
    work.take(f.StepCancelled(**_of("b", branch=0), reason="cancelled"))  # type: ignore[arg-type]
    work.take(f.LeaseLost(**_of("b", branch=1)))  # type: ignore[arg-type]
    assert work.by_pool() == {}
