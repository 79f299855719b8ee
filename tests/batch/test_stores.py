"""Stores of the batch lane, each held to the contract; and a file that another process opens again."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from orchestrator.adapters.memory.batches import MemoryBatches
from orchestrator.adapters.postgres.batches import PostgresBatches
from orchestrator.adapters.sql.batches import SqliteBatches
from orchestrator.errors import JournalError
from orchestrator.ports.batches import BatchEntry, BatchStore
from orchestrator.testing.batches_contract import BatchStoreContract, item
from tests.servers.postgres import empty_postgres_url, postgres_server, postgres_url

__all__ = ["empty_postgres_url", "postgres_server", "postgres_url"]
pytestmark = pytest.mark.anyio


class TestMemoryBatches(BatchStoreContract):
    @pytest.fixture
    def store(self) -> BatchStore:
        return MemoryBatches()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestSqliteBatches(BatchStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BatchStore:
        return SqliteBatches(tmp_path / "new" / "batches.db")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestPostgresBatches(BatchStoreContract):
    @pytest.fixture
    async def store(self, postgres_url: str) -> AsyncIterator[BatchStore]:
        made = PostgresBatches(postgres_url)
        yield made
        await made.aclose()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_of_many_who_gather_at_once_each_item_goes_to_one(postgres_url: str) -> None:
    stores = [PostgresBatches(postgres_url) for _ in range(4)]
    names = [f"i{n}" for n in range(40)]
    for name in names:
        await stores[0].put(item(name))
    taken: list[str] = []

    async def gather(store: PostgresBatches) -> None:
        while len(taken) < len(names):
            group = await store.gather("l", owner="o", now_s=12.0, ripe_s=10.0, most=3)
            if group is not None:
                taken.extend(one.id for one in group.items)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for store in stores:
            tasks.start_soon(gather, store)
    assert sorted(taken) == sorted(names)
    for store in stores:
        await store.aclose()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_file_says_the_same_to_the_next_process(tmp_path: Path) -> None:
    store = SqliteBatches(tmp_path / "b.db")
    await store.put(item("a"))
    group = await store.gather("l", owner="o", now_s=12.0, ripe_s=10.0, most=9)
    await store.aclose()
    again = SqliteBatches(tmp_path / "b.db")
    assert await again.groups("l") == [group]
    await again.aclose()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_ended_long_ago_is_forgotten(tmp_path: Path) -> None:
    store = SqliteBatches(tmp_path / "b.db")
    entry = await store.put(item("old", until_s=20.0))
    await store.settle([BatchEntry(item=entry.item, state="withdrawn")], "waiting")
    await store.put(item("new", until_s=9e6))
    assert await store.gather("l", owner="o", now_s=8e6, ripe_s=8e6, most=1) is not None
    assert await store.look(["old"]) == []
    await store.aclose()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "b.db").write_text("no database at all, but long enough to be looked at as one" * 20)
    with pytest.raises(JournalError, match=r"the file of the batch lane, b\.db"):
        await SqliteBatches(tmp_path / "b.db").put(item("a"))
