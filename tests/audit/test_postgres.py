"""The same proof on a server: damage is found, a checkpoint is missed, a deletion is signed."""

import random
from collections.abc import AsyncIterator

import asyncpg
import pytest

from orchestrator.adapters.postgres.journal import PostgresJournal
from orchestrator.core.checkpoints import Ledger
from tests.audit.conftest import Report, examined, fill, signed
from tests.sizes import SIZES

pytestmark = pytest.mark.anyio
TRIALS = 2_000 if SIZES.name == "prove" else 60
AT, RUN = "run = {run} AND seq = {seq}", "run = {run}"
GONE = "status = 'open', ended_at_s = NULL, usd = 0, tokens = 0"


def flip(column: str) -> str:
    bit = f"{{bit}} % (length({column}) * 8)"
    return f"{column} = set_bit({column}, {bit}, 1 - get_bit({column}, {bit}))"


#: What is done to rows: statements, one after another.
HARMS = (
    (f"UPDATE events SET {flip('header')} WHERE {AT}",),
    (f"UPDATE events SET {flip('hash')} WHERE {AT}",),
    (f"UPDATE payloads SET {flip('salt')} WHERE run = 1 AND seq = 1",),
    (f"DELETE FROM payloads WHERE {AT}", f"DELETE FROM events WHERE {AT}"),
    (
        f"UPDATE events SET seq = -1 WHERE {AT}",
        f"UPDATE events SET seq = {{seq}} WHERE {RUN} AND seq = 1",
        f"UPDATE events SET seq = 1 WHERE {RUN} AND seq = -1",
    ),
    (
        f"UPDATE events SET seq = seq + 1000 WHERE {RUN} AND seq > {{seq}}",
        f"INSERT INTO events SELECT run, {{seq}} + 1, header, NULL, hash FROM events WHERE {AT}",
    ),
    (
        f"DELETE FROM payloads WHERE {RUN} AND seq > 1",
        f"DELETE FROM events WHERE {RUN} AND seq > 1",
        f"UPDATE runs SET last_seq = 1, head = (SELECT hash FROM events WHERE {RUN}), {GONE} WHERE id = {{run}}",
    ),
    (f"DELETE FROM payloads WHERE {RUN}", f"DELETE FROM events WHERE {RUN}", "DELETE FROM runs WHERE id = {run}"),
    (f"DELETE FROM payloads WHERE {RUN}", "UPDATE runs SET forgotten_seq = last_seq WHERE id = {run}"),
    ("UPDATE runs SET tenant = 'other' WHERE id = {run}",),
)


@pytest.fixture
async def journal(postgres_url: str) -> AsyncIterator[PostgresJournal]:
    journal = await PostgresJournal.open(postgres_url)
    await fill(journal)
    yield journal
    await journal.close()


async def rows_of(server: "asyncpg.Connection") -> dict[str, list[tuple[object, ...]]]:
    told = {}
    for table, order in (("runs", "id"), ("artifacts", "digest"), ("events", "run, seq"), ("payloads", "run, seq")):
        told[table] = [tuple(row) for row in await server.fetch(f"SELECT * FROM {table} ORDER BY {order}")]
    return told


async def restore(server: "asyncpg.Connection", kept: dict[str, list[tuple[object, ...]]]) -> None:
    await server.execute("TRUNCATE runs, events, payloads, artifacts")
    for table, rows in kept.items():
        if table == "runs":
            marks = ", ".join(f"${n + 1}" for n in range(len(rows[0])))
            await server.executemany(f"INSERT INTO runs OVERRIDING SYSTEM VALUE VALUES ({marks})", rows)
        else:
            await server.copy_records_to_table(table, records=rows)


async def test_harm_to_a_copy_on_a_server_is_found(journal: PostgresJournal, postgres_url: str, report: Report) -> None:
    ledger = await signed(journal)
    server = await asyncpg.connect(postgres_url)
    kept = await rows_of(server)
    records = [(run, seq) for run, seq, *_ in kept["events"] if run != 2]  # the second said nothing any more
    chance, missed = random.Random(10), []
    for trial in range(TRIALS):
        run, seq = chance.choice([(run, seq) for run, seq in records if seq > 1])
        last = max(seq for other, seq in records if other == run)
        harm = HARMS[trial % len(HARMS)]
        if "INSERT" in harm[-1] and seq == last:
            seq -= 1
        await server.execute("; ".join(harm).format(run=run, seq=seq, bit=chance.randrange(1 << 16)))
        if not (await examined(journal, ledger)).damaged:
            missed.append((trial % len(HARMS), run, seq))
        await restore(server, kept)
    await server.close()
    report("postgresql: rows of a copy", TRIALS, missed=len(missed))
    assert missed == []
    assert (await examined(journal, ledger)).damaged == []


async def test_what_is_deleted_on_a_signed_word_is_not_missed(journal: PostgresJournal) -> None:
    ledger: Ledger = await signed(journal)
    heads = {"run-0": ledger.expected["run-0"]}
    await journal.forget(["run-0"], payloads_only=False)
    assert [one["run"] for one in (await examined(journal, ledger)).damaged] == ["run-0"]
    ledger.sign("forgotten", heads, at_s=3.0, by="ann", reason="asked")
    assert (await examined(journal, ledger)).damaged == []
