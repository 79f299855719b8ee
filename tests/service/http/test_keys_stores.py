"""Every store of keys under the one contract, and what is only true of some."""

import multiprocessing
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from orchestrator.adapters.memory.keys import MemoryKeys
from orchestrator.adapters.postgres.journal import PostgresJournal
from orchestrator.adapters.sql.keys import SqliteKeys
from orchestrator.errors import JournalError
from orchestrator.ports.keys import Keys
from orchestrator.testing.keys_contract import PLAIN, KeysContract
from tests.servers.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]
pytestmark = pytest.mark.anyio


class TestMemoryKeys(KeysContract):
    @pytest.fixture
    def keys(self) -> Keys:
        return MemoryKeys()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestSqliteKeys(KeysContract):
    @pytest.fixture
    def keys(self, tmp_path: Path) -> Keys:
        return SqliteKeys(tmp_path / "journal.db.keys")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestPostgresKeys(KeysContract):
    @pytest.fixture
    async def keys(self, postgres_url: str) -> AsyncIterator[Keys]:
        journal = await PostgresJournal.open(postgres_url)
        yield journal.keys
        await journal.close()


def _revoke(path: Path) -> None:
    assert anyio.run(SqliteKeys(path).revoke, PLAIN.id, 7.0)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_another_process_revokes_a_key_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.db.keys"
    keys = SqliteKeys(path)
    await keys.add(PLAIN)
    child = multiprocessing.get_context("spawn").Process(target=_revoke, args=(path,))
    child.start()
    child.join()
    assert child.exitcode == 0
    found = await keys.get(PLAIN.id)
    assert found is not None
    assert found.revoked_at_s == 7.0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db.keys"
    path.write_bytes(b"no database at all, but rather long" * 100)
    with pytest.raises(JournalError, match=r"journal\.db\.keys"):
        await SqliteKeys(path).all()
    assert path.read_bytes().startswith(b"no database")
