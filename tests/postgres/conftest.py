"""The server, and journals on it."""

from collections.abc import AsyncIterator

import pytest

from orchestrator.adapters.postgres.journal import PostgresJournal
from tests.servers.postgres import empty_postgres_url, postgres_server, postgres_url

__all__ = ["empty_postgres_url", "postgres_server", "postgres_url"]


@pytest.fixture
def anyio_backend() -> str:
    """asyncpg knows asyncio alone, and a jumping clock sees no server at work."""
    return "asyncio"


@pytest.fixture
async def journal(postgres_url: str) -> AsyncIterator[PostgresJournal]:
    journal = await PostgresJournal.open(postgres_url)
    yield journal
    await journal.close()


@pytest.fixture
async def second(postgres_url: str) -> AsyncIterator[PostgresJournal]:
    """The same journal, as another process has it."""
    journal = await PostgresJournal.open(postgres_url)
    yield journal
    await journal.close()
