"""The PostgreSQL journal under the contract of all journals, on a real server."""

from collections.abc import AsyncIterator

import pytest

from orchestrator.adapters.postgres.journal import PostgresJournal
from orchestrator.ports.artifacts import Artifacts
from orchestrator.ports.journal import Journal
from orchestrator.testing.artifacts_contract import ArtifactsContract
from orchestrator.testing.journal_contract import JournalContract

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """asyncpg knows asyncio alone, and a jumping clock sees no server at work."""
    return "asyncio"


class TestPostgresJournal(JournalContract):
    @pytest.fixture
    async def journal(self, postgres_url: str) -> AsyncIterator[Journal]:
        journal = await PostgresJournal.open(postgres_url)
        yield journal
        await journal.close()


class TestPostgresArtifacts(ArtifactsContract):
    @pytest.fixture
    async def artifacts(self, postgres_url: str) -> AsyncIterator[Artifacts]:
        journal = await PostgresJournal.open(postgres_url)
        yield journal.artifacts
        await journal.close()
