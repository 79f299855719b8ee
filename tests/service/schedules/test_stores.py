"""Every store of schedules under the one contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.adapters.memory.schedules import MemorySchedules
from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.adapters.sql.schedules import SqliteSchedules
from orchestrator.ports.schedules import Schedules
from orchestrator.testing.schedules_contract import SchedulesContract

pytestmark = pytest.mark.anyio


class TestMemorySchedules(SchedulesContract):
    @pytest.fixture
    async def store(self) -> Schedules:
        return MemorySchedules()


class TestSqliteSchedules(SchedulesContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Schedules]:
        journal = await SqliteJournal.open(tmp_path / "journal.db")
        yield await SqliteSchedules.open(journal.writer)
        await journal.close()
