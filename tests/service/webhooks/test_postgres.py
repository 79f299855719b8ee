"""The store of webhooks on a real PostgreSQL, under the contract of all; and several processes at it at once."""

from collections.abc import AsyncIterator

import anyio
import pytest

from orchestrator.adapters.postgres.journal import PostgresJournal
from orchestrator.core.facts import RunEnded
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append
from orchestrator.ports.webhooks import Due
from orchestrator.testing.facts import accepted, ended
from orchestrator.testing.webhooks_contract import Stores, WebhooksContract, endpoint, play
from tests.servers.postgres import empty_postgres_url, postgres_server, postgres_url

pytestmark = pytest.mark.anyio
__all__ = ["empty_postgres_url", "postgres_server", "postgres_url"]
RUNS = 60


@pytest.fixture
def anyio_backend() -> str:
    """asyncpg knows asyncio alone."""
    return "asyncio"


@pytest.fixture
async def journal(postgres_url: str) -> AsyncIterator[PostgresJournal]:
    made = await PostgresJournal.open(postgres_url)
    yield made
    await made.close()


class TestPostgresWebhooks(WebhooksContract):
    @pytest.fixture
    async def stores(self, journal: PostgresJournal) -> Stores:
        return journal, journal.webhooks


async def test_many_takers_at_once_get_each_delivery_once_and_keep_the_limit_of_an_endpoint(
    journal: PostgresJournal, postgres_url: str
) -> None:
    other = await PostgresJournal.open(postgres_url)
    await journal.webhooks.put(endpoint("a"))
    await journal.webhooks.put(endpoint("b", created_at_s=2.0))
    for number in range(RUNS):
        await play(journal, f"run-{number}")
    taken: list[Due] = []

    async def take(webhooks: PostgresJournal) -> None:
        taken.extend(await webhooks.webhooks.take(100.0, 5, 30.0, 7))

    async with anyio.create_task_group() as group:
        for number in range(12):
            group.start_soon(take, (journal, other)[number % 2])
    await other.close()

    assert len({one.delivery.id for one in taken}) == len(taken) == 14
    assert sorted(one.endpoint.id for one in taken) == ["a"] * 7 + ["b"] * 7


async def test_a_callback_that_is_named_while_its_run_ends_is_told_exactly_once(
    journal: PostgresJournal, postgres_url: str
) -> None:
    """Whichever of the two is committed first, the other one sees it."""
    other = await PostgresJournal.open(postgres_url)
    for number in range(RUNS):
        run = RunId(f"run-{number}")
        await play(journal, run, accepted(run))
        end: RunEnded = ended()

        async def finish(run: RunId = run, end: RunEnded = end) -> None:
            assert await journal.append([Append(run_id=run, first_seq=2, epoch=1, facts=(end,))]) == ()

        async with anyio.create_task_group() as group:
            group.start_soon(finish)
            group.start_soon(other.webhooks.put, endpoint(f"cb_{run}", run_id=run))
    found = await journal.webhooks.take(100.0, 1_000, 30.0, 1_000)
    await other.close()

    assert sorted(one.delivery.run_id for one in found) == sorted(f"run-{number}" for number in range(RUNS))
