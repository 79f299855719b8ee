"""The store of schedules that belongs to a journal."""

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.errors import PromiseError
from orchestrator.ports.journal import Journal
from orchestrator.ports.schedules import Schedules


async def open_schedules(journal: Journal) -> Schedules:
    """Schedules in the store of a journal, which closes them too.

    Raises:
        PromiseError: the journal is none of ours.
        JournalError: the store could not be prepared.
    """
    if isinstance(journal, MemoryJournal):
        from orchestrator.adapters.memory.schedules import MemorySchedules

        return MemorySchedules()
    from orchestrator.adapters.sql.journal import SqliteJournal  # memory: needs no database

    if isinstance(journal, SqliteJournal):
        from orchestrator.adapters.sql.schedules import SqliteSchedules

        return await SqliteSchedules.open(journal.writer)
    found: Schedules | None = getattr(journal, "schedules", None)
    if found is not None:  # a journal on a server has them
        return found
    raise PromiseError(
        f"{type(journal).__name__} keeps no schedules", "use memory:, sqlite:/// or postgresql:// as the store"
    )


__all__ = ["open_schedules"]
