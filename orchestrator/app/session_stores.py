"""The store of sessions that settings name."""

from collections.abc import Awaitable, Callable

from orchestrator.adapters.memory.sessions import MemorySessions
from orchestrator.errors import PromiseError
from orchestrator.ports.journal import Journal
from orchestrator.ports.sessions import Sessions
from orchestrator.settings import SessionSettings, on_redis


def open_sessions(
    settings: SessionSettings, journal: Journal
) -> tuple[Sessions, tuple[Callable[[], Awaitable[None]], ...]]:
    """Sessions beside the facts of a journal, or on a server of their own; and what closes that server's connection.

    A journal in memory has sessions in memory: they end with the process, like its runs.

    Raises:
        PromiseError: the store is none that keeps sessions.
    """
    if settings.store is None:
        beside: Sessions | None = getattr(journal, "sessions", None)
        return beside or MemorySessions(), ()
    if not on_redis(settings.store):
        raise PromiseError(
            "a store of sessions of its own is a Redis or Valkey server",
            "say redis://host:6379/0, or leave it out: then sessions lie beside the journal",
        )
    from orchestrator.adapters.redis.sessions import RedisSessions  # others need no client for a server

    shared = RedisSessions(settings.store)
    return shared, (shared.close,)


__all__ = ["open_sessions"]
