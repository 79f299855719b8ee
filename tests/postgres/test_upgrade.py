"""`db upgrade` on a real server: once, eight at once, killed at each statement; other releases are refused."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from orchestrator.adapters.postgres.journal import PostgresJournal
from orchestrator.adapters.postgres.migrations import versions
from orchestrator.adapters.postgres.migrations.versions import v0001_journal as first
from orchestrator.adapters.postgres.schema import SCHEMA
from orchestrator.adapters.postgres.upgrade import upgrade, upgrade_sql
from orchestrator.cli.root import run
from orchestrator.errors import JournalError, PromiseError
from tests.servers.postgres import TEMPLATE, PostgresServer
from tests.sizes import SIZES

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 8
#: Forks children that upgrade the databases they are given, and says how each ended. With N above 0 a child kills
#: itself before statement number N of the change.
FORKS = """
import os, signal, sys
from alembic import op
from orchestrator.adapters.postgres.migrations.versions import v0001_journal as change
from orchestrator.adapters.postgres.upgrade import run_upgrade

def child(url, at):
    seen, execute = 0, op.execute
    def counted(statement):
        nonlocal seen
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)
        execute(statement)
    op.execute = counted
    sys.stdout.write(" ".join(map(str, run_upgrade(url))) + chr(10))
    sys.stdout.flush()
    os._exit(0)

pids = []
for url, at in zip(sys.argv[1::2], sys.argv[2::2]):
    pid = os.fork()
    if not pid:
        child(url, int(at))
    pids.append(pid)
for pid in pids:  # one write for a line: others write to the same pipe, and `print` makes two where nothing is buffered
    sys.stdout.write(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])) + chr(10))
"""


async def forks(*children: tuple[str, int]) -> list[str]:
    """What the children said, and how they ended."""
    words = [str(word) for child in children for word in child]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FORKS, *words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines()


async def shape(url: str) -> list[tuple[object, ...]]:
    """Every column and index of the tables."""
    connection = await asyncpg.connect(url)
    try:
        columns = await connection.fetch(
            "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
            "WHERE table_schema = 'public' ORDER BY 1, 2"
        )
        indexes = await connection.fetch("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
        return [tuple(row) for row in [*columns, *indexes]]
    finally:
        await connection.close()


async def test_the_version_of_this_release_is_the_newest_change() -> None:
    found = sorted(path.name[1:5] for path in Path(versions.__path__[0]).glob("v[0-9]*.py"))
    assert found[-1] == SCHEMA


async def test_a_database_is_brought_to_this_release_and_a_second_time_nothing_is_done(
    postgres_server: PostgresServer, empty_postgres_url: str
) -> None:
    with pytest.raises(PromiseError, match="holds no journal yet; run: orchestrator db upgrade"):
        await PostgresJournal.open(empty_postgres_url)
    assert await upgrade(empty_postgres_url) == (None, SCHEMA)
    assert await upgrade(empty_postgres_url) == (SCHEMA, SCHEMA)
    assert await shape(empty_postgres_url) == await shape(postgres_server.url(TEMPLATE))
    journal = await PostgresJournal.open(empty_postgres_url)
    await journal.close()


async def test_eight_at_once_are_as_good_as_one(postgres_server: PostgresServer, empty_postgres_url: str) -> None:
    said = await forks(*[(empty_postgres_url, 0)] * AT_ONCE)
    assert sorted(said) == sorted([*["0"] * AT_ONCE, *[f"{SCHEMA} {SCHEMA}"] * (AT_ONCE - 1), f"None {SCHEMA}"])
    assert await shape(empty_postgres_url) == await shape(postgres_server.url(TEMPLATE))


POINTS = range(1, len(first.STATEMENTS) + 1, 1 if SIZES.name == "prove" else 3)


@pytest.mark.crash
async def test_killed_at_any_statement_the_next_upgrade_completes_it(postgres_server: PostgresServer) -> None:
    wanted = await shape(postgres_server.url(TEMPLATE))
    names = {at: f"killed_{at}" for at in POINTS}
    await postgres_server.sql(*(f"CREATE DATABASE {name}" for name in names.values()))
    said = await forks(*((postgres_server.url(name), at) for at, name in names.items()))
    assert said == [str(-signal.SIGKILL)] * len(names)
    for name in names.values():
        url = postgres_server.url(name)
        with pytest.raises(PromiseError, match="db upgrade"):
            await PostgresJournal.open(url)
        assert await upgrade(url) == (None, SCHEMA)
        assert await shape(url) == wanted
    await postgres_server.sql(*(f"DROP DATABASE {name} WITH (FORCE)" for name in names.values()))


@pytest.mark.parametrize(
    ("version", "error", "words"),
    [
        ("0000", PromiseError, rf"of schema 0000, this release works with {SCHEMA}; run: orchestrator db upgrade"),
        ("9999", JournalError, rf"of schema 9999, this release works with {SCHEMA}; use a newer release"),
    ],
)
async def test_tables_of_another_release_are_refused_with_the_remedy(
    postgres_url: str, version: str, error: type[Exception], words: str
) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("UPDATE journal_version SET version_num = $1", version)
    await connection.close()
    with pytest.raises(error, match=words):
        await PostgresJournal.open(postgres_url)
    if version > SCHEMA:
        with pytest.raises(JournalError, match="use a newer release"):
            await upgrade(postgres_url)


async def test_the_printed_statements_make_the_same_tables(
    postgres_server: PostgresServer, empty_postgres_url: str
) -> None:
    script = upgrade_sql()
    connection = await asyncpg.connect(empty_postgres_url)
    await connection.execute(script)
    await connection.close()
    assert await shape(empty_postgres_url) == await shape(postgres_server.url(TEMPLATE))
    journal = await PostgresJournal.open(empty_postgres_url)
    await journal.close()


def test_the_command_upgrades_prints_and_says_where_there_is_nothing_to_do(
    empty_postgres_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    def command(*words: str) -> tuple[int, str, str]:
        code = run(["db", "upgrade", *words])
        return (code, *capsys.readouterr())

    assert command("--sql", "--store", empty_postgres_url) == (0, upgrade_sql(), "")
    assert command("--store", empty_postgres_url) == (0, "", f"✓ upgraded  schema none → {SCHEMA}\n")
    assert command("--store", empty_postgres_url) == (0, "", f"✓ nothing to do  schema {SCHEMA}\n")
    code, _, err = command("--store", "sqlite:///x.db")
    assert (code, err.startswith("error: this store needs no `db upgrade`")) == (2, True)
    code, _, err = command("--store", "postgresql://nobody:secret@127.0.0.1:1/x")
    assert (code, "cannot be reached" in err, "secret" in err) == (6, True, False)
