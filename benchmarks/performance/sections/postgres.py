"""Section postgres: batches of facts of many runs appended to PostgreSQL, beside asyncpg writing the same rows."""

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import asyncpg

from benchmarks.performance.cell import Job
from benchmarks.performance.report import Report, at_most, ratio, table
from benchmarks.performance.runner import Options, Series
from orchestrator.adapters.postgres.journal import PostgresJournal
from orchestrator.adapters.postgres.upgrade import upgrade
from orchestrator.core.codec import encode
from orchestrator.core.facts import Fact, RunAccepted, StepPassed, StepProduced
from orchestrator.ids import Digest, RunId, StepId
from orchestrator.ports.journal import Append
from tests.servers.postgres import PostgresServer

SIZES = ((1, 1, 300), (1, 4, 300), (64, 4, 60), (256, 4, 30))  #: runs in a batch, facts of each, batches
QUICK_SIZES = ((1, 1, 30), (64, 4, 5))
MOST_OVER_RAW = 3.0
OURS, STATEMENT, MANY = "ours", "asyncpg, one statement", "asyncpg, executemany in a transaction"
RAW_TABLES = """
CREATE TABLE raw_events (run bigint, seq bigint, header bytea, digest bytea, hash bytea, PRIMARY KEY (run, seq));
CREATE TABLE raw_payloads (run bigint, seq bigint, salt bytea, body bytea, PRIMARY KEY (run, seq));
"""
_EVENTS = (
    "INSERT INTO raw_events SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[])"
)
_PAYLOADS = "INSERT INTO raw_payloads SELECT * FROM unnest($6::bigint[], $7::bigint[], $8::bytea[], $9::bytea[])"
_BOTH = f"WITH e AS ({_EVENTS}) {_PAYLOADS}"
SEMANTICS = """Every batch is one commit that waits for the disk (fsync and synchronous_commit on), one after the other.
ours checks each run's place and epoch, chains hashes and tells other processes; asyncpg only writes rows of the same
number and size, in one statement (one round trip, the floor) or as two executemany in a transaction."""
_DIGEST = Digest("sha256:" + "0" * 64)
Batch = list[tuple[int, list[Fact]]]  #: number of a run, and its facts


def _accepted(run: RunId) -> Fact:
    return RunAccepted(
        at_s=1.0,
        run=run,
        plan="plan",
        plan_digest=_DIGEST,
        request_digest=_DIGEST,
        machine=1,
        tenant="default",
        idempotency_key=None,
        origin=run,
        parent=None,
        usd=1.0,
        tokens=1_000,
        wall_s=60.0,
        steps=10,
        inputs={"topic": "heat pumps"},
    )


def _of_step(place: int, batch: int) -> Fact:
    step = StepId("draft")
    if place % 2:
        return StepPassed(at_s=3.0, step=step, attempt=1, digest=_DIGEST)
    output = {"n": batch, "text": "x" * 200}
    return StepProduced(at_s=2.0, actor="worker-1", step=step, attempt=1, digest=_DIGEST, output=output)


def _batches(runs: int, facts: int, count: int) -> list[Batch]:
    return [[(run, [_of_step(k, b) for k in range(facts)]) for run in range(runs)] for b in range(count)]


async def _ours(url: str, batches: list[Batch], runs: int) -> list[float]:
    journal = await PostgresJournal.open(url)
    names = [RunId(f"bench-{time.monotonic_ns()}-{n}") for n in range(runs)]
    begin = [Append(run_id=name, first_seq=1, epoch=1, facts=(_accepted(name),), owner="bench") for name in names]
    assert await journal.append(begin) == ()
    seqs = dict.fromkeys(range(runs), 2)
    took: list[float] = []
    for batch in batches:
        began_s = time.perf_counter()
        entries = [Append(run_id=names[run], first_seq=seqs[run], epoch=1, facts=tuple(facts)) for run, facts in batch]
        assert await journal.append(entries) == ()
        took.append(time.perf_counter() - began_s)
        for run, facts in batch:
            seqs[run] += len(facts)
    await journal.close()
    return took


def _rows(batch: Batch, seqs: dict[int, int]) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    events: list[tuple[object, ...]] = []
    payloads: list[tuple[object, ...]] = []
    for run, facts in batch:
        for fact in facts:
            header, payload = encode(fact, 1)
            events.append((run, seqs[run], header, b"d" * 32 if payload else None, b"h" * 32))
            if payload is not None:
                payloads.append((run, seqs[run], b"s" * 16, payload))
            seqs[run] += 1
    return events, payloads


async def _raw(url: str, batches: list[Batch], runs: int, *, one: bool) -> list[float]:
    connection = await asyncpg.connect(url)
    await connection.execute("TRUNCATE raw_events, raw_payloads")
    seqs = dict.fromkeys(range(runs), 1)
    took: list[float] = []
    for batch in batches:
        events, payloads = _rows(batch, seqs)
        began_s = time.perf_counter()
        if one:
            columns = [*map(list, zip(*events, strict=True))]
            columns += [*map(list, zip(*payloads, strict=True))] if payloads else [[], [], [], []]
            await connection.execute(_BOTH, *columns)
        else:
            async with connection.transaction():
                await connection.executemany("INSERT INTO raw_events VALUES ($1, $2, $3, $4, $5)", events)
                await connection.executemany("INSERT INTO raw_payloads VALUES ($1, $2, $3, $4)", payloads)
        took.append(time.perf_counter() - began_s)
    await connection.close()
    return took


def run(options: Options) -> Report:
    """Measure on a server of its own, on the scratch disk."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=options.scratch))
    server = PostgresServer(folder).create().start()
    try:
        return asyncio.run(_measure(server, options))
    finally:
        server.delete()
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(server: PostgresServer, options: Options) -> Report:
    report = Report(title="postgres: one commit of facts of many runs; ms per batch, median, and facts per second")
    await server.sql("CREATE DATABASE bench")
    url = server.url("bench")
    await upgrade(url)
    await server.sql(RAW_TABLES, database="bench")
    people: dict[str, Callable[[list[Batch], int], Awaitable[list[float]]]] = {
        STATEMENT: lambda batches, runs: _raw(url, batches, runs, one=True),
        MANY: lambda batches, runs: _raw(url, batches, runs, one=False),
        OURS: lambda batches, runs: _ours(url, batches, runs),
    }
    for runs, facts, count in QUICK_SIZES if options.quick else SIZES:
        batches = _batches(runs, facts, count)
        found = {name: Series(contestant=name, job=Job(measure="postgres", size=runs * facts)) for name in people}
        for repetition in range(1 + options.reps):
            for name, work in people.items():
                took = await work(batches, runs)
                if repetition:
                    found[name].facts.append(_facts(took, runs * facts))
        report.series += found.values()
        report.tables.append(_table(runs, facts, found))
        if not options.quick:
            over = found[OURS].median("batch_s") / found[STATEMENT].median("batch_s")
            report.verdicts.append(at_most(f"{runs} x {facts}: ours / one raw statement", over, MOST_OVER_RAW))
    report.tables.append(SEMANTICS)
    return report


def _facts(took: Sequence[float], facts: int) -> dict[str, object]:
    batch_s = statistics.median(took)
    return {"batch_s": batch_s, "facts_per_s": facts / batch_s, "p99_s": sorted(took)[int(len(took) * 0.99)]}


def _table(runs: int, facts: int, found: dict[str, Series]) -> str:
    ours = found[OURS].median("batch_s")
    rows = [
        [
            name,
            f"{series.median('batch_s') * 1e3:,.2f}",
            f"{series.median('p99_s') * 1e3:,.2f}",
            f"{series.median('facts_per_s'):,.0f}",
            ratio(series.median("batch_s"), ours),
        ]
        for name, series in found.items()
    ]
    return table([f"{runs} runs x {facts} facts", "ms", "p99 ms", "facts/s", "/ ours"], rows)
