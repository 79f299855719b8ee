"""Journals that settings name, opened, upgraded and restored."""

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.errors import PromiseError
from orchestrator.ports.journal import Journal
from orchestrator.settings import Settings, on_server, store_path

if TYPE_CHECKING:
    from orchestrator.adapters.postgres.journal import PostgresJournal


async def open_journal(settings: Settings) -> Journal:
    """The journal that the settings name.

    Raises:
        JournalOwned: another process has the file.
        PromiseError: the store is not known, cannot keep what a journal promises, or wants `db upgrade`.
    """
    if on_server(settings.store):
        return await _postgres().open(settings.store)
    path = store_path(settings.store)
    if path is None:
        return MemoryJournal()
    from orchestrator.adapters.sql.journal import SqliteJournal  # memory: needs no database

    return await SqliteJournal.open(path, max_bytes=settings.journal_bytes_max)


def _postgres() -> "type[PostgresJournal]":
    try:
        from orchestrator.adapters.postgres.journal import PostgresJournal  # others need no client for a server
    except ImportError as error:
        raise PromiseError(
            f"the client of PostgreSQL is missing ({error})", "install hierarchical-orchestrator[postgres]"
        ) from error
    return PostgresJournal


def upgrade_store(settings: Settings) -> tuple[str | None, str]:
    """Bring the tables of a server to this release; return the schema before and after.

    Raises:
        PromiseError: the store is no server, or it cannot be reached.
        JournalError: its tables are of a newer release, or it refused a statement.
    """
    _must_have_tables(settings)
    from orchestrator.adapters.postgres.upgrade import run_upgrade

    return run_upgrade(settings.store)


def upgrade_sql(settings: Settings) -> str:
    """The statements of `upgrade_store` for an empty database. Raises PromiseError: the store is no server."""
    _must_have_tables(settings)
    from orchestrator.adapters.postgres.upgrade import upgrade_sql as statements

    return statements()


def _must_have_tables(settings: Settings) -> None:
    if not on_server(settings.store):
        store_path(settings.store)
        raise PromiseError(
            "this store needs no `db upgrade`: a journal file is brought to this release when it is opened",
            "name a server: --store postgresql://user@host/database",
        )
    _postgres()


def restore_journal(settings: Settings, backup: Path) -> Path:
    """Put a copy in the place of the journal that the settings name; return where that is. What lay there is gone.

    Raises:
        JournalOwned: a process uses the journal.
        JournalError: `backup` is no sound journal of this release, or the place cannot be written.
        PromiseError: the store is no file.
    """
    path = store_path(settings.store)
    if path is None:
        raise PromiseError("this journal is no file", "name one: --store sqlite:///file; a server has pg_restore")
    from orchestrator.adapters.sql.backup import restore  # memory: needs no database

    restore(backup, path)
    return path


__all__ = ["open_journal", "restore_journal", "upgrade_sql", "upgrade_store"]
