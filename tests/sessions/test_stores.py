"""Every store of sessions under the one contract, on real servers."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.adapters.memory.sessions import MemorySessions
from orchestrator.adapters.postgres.journal import PostgresJournal
from orchestrator.adapters.redis.sessions import RedisSessions
from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.ports.sessions import Sessions
from orchestrator.testing.sessions_contract import SessionsContract
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.anyio
_numbers = itertools.count(1)


class TestMemorySessions(SessionsContract):
    @pytest.fixture
    async def sessions(self) -> Sessions:
        return MemorySessions()


class TestSqliteSessions(SessionsContract):
    @pytest.fixture
    async def sessions(self, tmp_path: Path) -> AsyncIterator[Sessions]:
        journal = await SqliteJournal.open(tmp_path / "journal.db")
        yield journal.sessions
        await journal.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestRedisSessions(SessionsContract):
    @pytest.fixture
    async def sessions(self, server: RedisServer) -> AsyncIterator[Sessions]:
        sessions = RedisSessions(server.url, namespace=f"{{sessions-{next(_numbers)}}}")
        yield sessions
        await sessions.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestPostgresSessions(SessionsContract):
    @pytest.fixture
    async def sessions(self, postgres_url: str) -> AsyncIterator[Sessions]:
        journal = await PostgresJournal.open(postgres_url)
        yield journal.sessions
        await journal.close()
