"""Schedules on a real PostgreSQL: the contract of all stores, and three engines that start each moment once."""

from collections.abc import AsyncIterator

import anyio
import pytest

from orchestrator import Engine
from orchestrator.adapters.postgres.journal import PostgresJournal
from orchestrator.ports.journal import RunQuery
from orchestrator.ports.schedules import Schedules
from orchestrator.service.schedules.scheduler import Scheduler
from orchestrator.service.schedules.timetable import Timetable, key_of
from orchestrator.testing.schedules_contract import SchedulesContract
from tests.servers.postgres import empty_postgres_url, postgres_server, postgres_url
from tests.service.schedules.test_scheduler import PLANS, At, desk

pytestmark = pytest.mark.anyio
__all__ = ["empty_postgres_url", "postgres_server", "postgres_url"]
MOMENTS = 20


@pytest.fixture
def anyio_backend() -> str:
    """asyncpg knows asyncio alone."""
    return "asyncio"


class TestPostgresSchedules(SchedulesContract):
    @pytest.fixture
    async def store(self, postgres_url: str) -> AsyncIterator[Schedules]:
        journal = await PostgresJournal.open(postgres_url)
        yield journal.schedules
        await journal.close()


async def test_three_engines_that_look_at_the_same_instant_start_each_moment_once(postgres_url: str) -> None:
    clock = At(0.0)
    async with (
        Engine(pools=[desk()], store=postgres_url) as first,
        Engine(pools=[desk()], store=postgres_url) as second,
        Engine(pools=[desk()], store=postgres_url) as third,
    ):
        journals = [engine.runs.journal for engine in (first, second, third)]
        stores = [journal.schedules for journal in journals]  # type: ignore[attr-defined]  # of a journal on a server
        hands = [
            Scheduler(store, clock, engine, PLANS) for store, engine in zip(stores, (first, second, third), strict=True)
        ]
        made = await Timetable(stores[0], clock, PLANS).create("brief", {"topic": "x"}, cron="* * * * *")
        for minute in range(1, MOMENTS + 1):
            clock.time_s = 60.0 * minute
            async with anyio.create_task_group() as group:
                for hand in hands:
                    group.start_soon(hand.look)
        for hand in hands:
            await hand.look()
        rows = await journals[0].runs(RunQuery(limit=1_000))

    assert sorted(str(row.idempotency_key) for row in rows) == [
        key_of(made, 60.0 * minute) for minute in range(1, MOMENTS + 1)
    ]
