"""`db upgrade`: brings the tables of a PostgreSQL journal to this release. The only place that imports Alembic.

Any number of processes may do it at once: one works, the others wait and find it done. Killed at any statement, the
change it was at is undone by the server, and the next call goes on from there.
"""

import asyncio
import io
from typing import TYPE_CHECKING, Final

import asyncpg

from orchestrator.adapters.postgres.connecting import ARGUMENTS, read_url, said, shown
from orchestrator.adapters.postgres.schema import SCHEMA, VERSION_TABLE
from orchestrator.errors import JournalError, JournalUnreachable, PromiseError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

LOCK: Final = 0x484F4A31  #: "HOJ1": the advisory lock of whoever upgrades
LOCK_WAIT_S: Final = 600.0
_PACKAGE: Final = "orchestrator.adapters.postgres:migrations"


async def upgrade(url: str) -> tuple[str | None, str]:
    """Apply what is missing; return the schema before and after.

    Raises:
        JournalUnreachable: the server does not answer.
        PromiseError: Alembic is not installed.
        JournalError: the tables are of a newer release, or the server refused a statement.
    """
    config = _config()
    try:
        lock = await asyncpg.connect(read_url(url), **ARGUMENTS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        raise JournalUnreachable(shown(url), said(error)) from error
    try:
        # A connection of its own holds the lock: it is let go when this process ends, however it ends.
        await lock.execute("SELECT pg_advisory_lock($1)", LOCK, timeout=LOCK_WAIT_S)
        before = await _version(lock)
        if before is not None and before > SCHEMA:
            raise JournalError(
                f"the tables in {shown(url)} are of schema {before}, this release knows {SCHEMA}; use a newer release"
            )
        if before != SCHEMA:
            await _apply(url, config)
        return before, SCHEMA
    except asyncpg.PostgresError as error:
        raise JournalError(f"{shown(url)} refused the upgrade: {error}; what was done before stays done") from error
    finally:
        await lock.close()


async def _version(connection: "asyncpg.Connection") -> str | None:
    if await connection.fetchval("SELECT to_regclass($1)", VERSION_TABLE) is None:
        return None
    found: str | None = await connection.fetchval(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 # ours
    return found


async def _apply(url: str, config: "Config") -> None:
    from alembic import command
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    def work(connection: "Connection") -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    engine = create_async_engine(
        "postgresql+asyncpg://", poolclass=NullPool, async_creator=lambda: asyncpg.connect(read_url(url), **ARGUMENTS)
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(work)
    except DBAPIError as error:
        raise JournalError(
            f"{shown(url)} refused the upgrade: {error.orig}; what was done before stays done"
        ) from error
    finally:
        await engine.dispose()


def upgrade_sql(since: str | None = None) -> str:
    """The statements that `upgrade` would run, as a script; from nothing, or from the schema `since`."""
    from alembic import command

    out = io.StringIO()
    config = _config()
    config.output_buffer = out
    command.upgrade(config, f"{since}:head" if since else "head", sql=True)
    return out.getvalue()


def _config() -> "Config":
    try:
        from alembic.config import Config
    except ImportError as error:
        raise PromiseError("Alembic is not installed", "install hierarchical-orchestrator[postgres]") from error
    config = Config()
    config.set_main_option("script_location", _PACKAGE)
    config.set_main_option("path_separator", "os")
    return config


def run_upgrade(url: str) -> tuple[str | None, str]:
    """`upgrade`, from where no loop runs."""
    return asyncio.run(upgrade(url))
