"""Every store of webhooks under the one contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.memory.webhooks import MemoryWebhooks
from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.adapters.sql.webhooks import SqliteWebhooks
from orchestrator.ports.webhooks import DeliveryQuery
from orchestrator.testing.webhooks_contract import TENANT, Stores, WebhooksContract, endpoint, play, take

pytestmark = pytest.mark.anyio


class TestMemoryWebhooks(WebhooksContract):
    @pytest.fixture
    async def stores(self) -> Stores:
        journal = MemoryJournal()
        return journal, MemoryWebhooks(journal)


class TestSqliteWebhooks(WebhooksContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        journal = await SqliteJournal.open(tmp_path / "journal.db")
        yield journal, await SqliteWebhooks.open(journal.writer)
        await journal.close()


async def test_what_is_due_outlives_the_process_and_what_it_had_begun_is_due_at_once(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    webhooks = await SqliteWebhooks.open(journal.writer)
    await webhooks.put(endpoint())
    for run in ("run-1", "run-2"):
        await play(journal, run)
    [begun] = await take(webhooks, limit=1)
    await journal.close()

    again = await SqliteJournal.open(tmp_path / "journal.db")
    webhooks = await SqliteWebhooks.open(again.writer)
    found = {due.delivery.id: due.delivery.attempts for due in await take(webhooks)}
    every = await webhooks.deliveries(DeliveryQuery(tenant=TENANT))
    await again.close()

    assert found == {one.id: 2 if one.id == begun.delivery.id else 1 for one in every}
    assert len(found) == 2


async def test_a_journal_that_nobody_asked_for_webhooks_has_no_trace_of_them(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    names = await journal.writer.submit(
        lambda store: store.within(lambda c: [row[0] for row in c.execute("SELECT name FROM sqlite_master")])
    ).answer()
    await journal.close()

    assert [name for name in names if "webhook" in name] == []
