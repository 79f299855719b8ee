"""The store of sessions that settings name."""

from collections.abc import Awaitable, Callable

from orchestrator.adapters.memory.sessions import MemorySessions
from orchestrator.ports.journal import Journal
from orchestrator.ports.sessions import Sessions
from orchestrator.settings import SessionSettings


def open_sessions(
    settings: SessionSettings, journal: Journal
) -> tuple[Sessions, tuple[Callable[[], Awaitable[None]], ...]]:
    """Sessions beside the facts of a journal, or on a server of their own; and what closes that server's connection.

    A journal in memory has sessions in memory: they end with the process, like its runs.

    Raises:
        PromiseError: the server's address cannot be read.
    """
    if settings.store is None:
        beside: Sessions | None = getattr(journal, "sessions", None)
        return beside or MemorySessions(), ()
    from orchestrator.adapters.redis.sessions import RedisSessions  # others need no client for a server

    shared = RedisSessions(settings.store)
    return shared, (shared.close,)


__all__ = ["open_sessions"]
