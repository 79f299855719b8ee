"""What a service needs beside an engine: the store of its keys."""

from pathlib import Path

from orchestrator.app.stores import open_journal
from orchestrator.errors import PromiseError
from orchestrator.ports.journal import Journal
from orchestrator.ports.keys import Keys
from orchestrator.settings import Settings, on_server, store_path


async def open_keys(settings: Settings, journal: Journal | None = None) -> Keys:
    """The keys of the store that the settings name; `journal` is that store, where it is open already.

    Raises:
        PromiseError: the store is not known, or wants `db upgrade`; or there is nothing in memory to open.
    """
    if on_server(settings.store):
        if journal is None:
            return _Owned(await open_journal(settings))
        found: Keys = journal.keys  # type: ignore[attr-defined]  # a journal on a server has them
        return found
    path = store_path(settings.store)
    if path is None:
        if journal is None:
            raise PromiseError(
                "keys in memory end with their process", "name the store of the service: --store sqlite:///file"
            )
        from orchestrator.adapters.memory.keys import MemoryKeys

        return MemoryKeys()
    from orchestrator.adapters.sql.keys import SqliteKeys  # memory: needs no database

    path.parent.mkdir(parents=True, exist_ok=True)
    return SqliteKeys(keys_path(path))


def keys_path(journal: Path) -> Path:
    """Where the keys of a journal file lie."""
    return journal.with_name(journal.name + ".keys")


class _Owned:
    """The keys of a journal that was opened for them alone."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        keys: Keys = journal.keys  # type: ignore[attr-defined]  # a journal on a server has them
        self.add, self.get, self.all, self.revoke = keys.add, keys.get, keys.all, keys.revoke

    async def close(self) -> None:
        """Close the journal."""
        await self._journal.close()


__all__ = ["keys_path", "open_keys"]
