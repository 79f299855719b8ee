"""The version of the tables that this release works with, and what a server is asked before it is used."""

from typing import Final

import asyncpg

from orchestrator.errors import JournalError, PromiseError

SCHEMA: Final = "0005"  #: the newest file in `migrations/versions`; a test holds them together
VERSION_TABLE: Final = "journal_version"
SERVER_LOWEST: Final = 140_000  #: PostgreSQL 14, the oldest that is still cared for
CHANNEL: Final = "orchestrator_journal"


async def probe(connection: "asyncpg.Connection", shown: str) -> None:
    """Refuse a server that cannot keep what a journal promises, and tables of another release.

    Raises:
        PromiseError: the server is too old or forgets what it has acknowledged, or the tables need `db upgrade`.
        JournalError: the tables are newer than this release.
    """
    row = await connection.fetchrow(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'), "
        "current_setting('fsync'), current_setting('full_page_writes'), current_setting('server_encoding'), "
        "pg_is_in_recovery(), to_regclass($1) IS NOT NULL",
        VERSION_TABLE,
    )
    assert row is not None, "one row"
    number, version, fsync, full_pages, encoding, standby, there = row
    if number < SERVER_LOWEST:
        raise PromiseError(f"{shown} is PostgreSQL {version}", "use PostgreSQL 14 or newer")
    if fsync != "on" or full_pages != "on":
        raise PromiseError(
            f"{shown} runs with fsync = {fsync} and full_page_writes = {full_pages}: a power cut loses what it has "
            "acknowledged, or the whole database",
            "turn both on",
        )
    if encoding != "UTF8":
        raise PromiseError(f"the database {shown} is encoded in {encoding}", "create it with ENCODING 'UTF8'")
    if standby:
        raise PromiseError(f"{shown} is a standby, which takes no writes", "name the primary")
    found = await connection.fetchval(f"SELECT version_num FROM {VERSION_TABLE}") if there else None  # noqa: S608 # our name
    if found is None:
        raise PromiseError(f"{shown} holds no journal yet", "run: orchestrator db upgrade --store URL")
    if found < SCHEMA:
        raise PromiseError(
            f"the tables in {shown} are of schema {found}, this release works with {SCHEMA}",
            "run: orchestrator db upgrade --store URL",
        )
    if found > SCHEMA:
        raise JournalError(
            f"the tables in {shown} are of schema {found}, this release works with {SCHEMA}; use a newer release"
        )
