"""The store of webhooks that belongs to a journal."""

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.errors import PromiseError
from orchestrator.ports.journal import Journal
from orchestrator.ports.webhooks import Webhooks


async def open_webhooks(journal: Journal) -> Webhooks:
    """Webhooks beside the facts of a journal, which closes them too.

    Raises:
        PromiseError: the journal is none of ours, so that nothing could become due with its facts.
        JournalError: the store could not be prepared.
    """
    if isinstance(journal, MemoryJournal):
        from orchestrator.adapters.memory.webhooks import MemoryWebhooks

        return MemoryWebhooks(journal)
    from orchestrator.adapters.sql.journal import SqliteJournal  # memory: needs no database

    if isinstance(journal, SqliteJournal):
        from orchestrator.adapters.sql.webhooks import SqliteWebhooks

        return await SqliteWebhooks.open(journal.writer)
    found: Webhooks | None = getattr(journal, "webhooks", None)
    if found is not None:  # a journal on a server has them
        return found
    raise PromiseError(
        f"{type(journal).__name__} keeps no webhooks", "use memory:, sqlite:/// or postgresql:// as the store"
    )


__all__ = ["open_webhooks"]
