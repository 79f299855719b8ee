"""Both journals under the one contract, on both event loops."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.adapters.memory.artifacts import MemoryArtifacts
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.ports.artifacts import Artifacts
from orchestrator.ports.journal import Journal
from orchestrator.testing.artifacts_contract import ArtifactsContract
from orchestrator.testing.journal_contract import JournalContract

pytestmark = pytest.mark.anyio


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    async def journal(self) -> Journal:
        return MemoryJournal()


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[Journal]:
        journal = await SqliteJournal.open(tmp_path / "journal.db")
        yield journal
        await journal.close()


class TestMemoryArtifacts(ArtifactsContract):
    @pytest.fixture
    async def artifacts(self) -> Artifacts:
        return MemoryArtifacts()


class TestSqliteArtifacts(ArtifactsContract):
    @pytest.fixture
    async def artifacts(self, tmp_path: Path) -> AsyncIterator[Artifacts]:
        journal = await SqliteJournal.open(tmp_path / "journal.db")
        yield journal.artifacts
        await journal.close()
