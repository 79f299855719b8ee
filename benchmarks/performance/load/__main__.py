"""`python -m benchmarks.performance.load --users 10,100` or `--rung 100`: what users wait for, beside the model alone.

A real service, a stand-in model of fixed latency in a process of its own, and users in this one, all on loopback. Half
of the users talk in sessions, half submit jobs and follow their events. Printed are percentiles of submitting a job (to
202), of a turn and of a job, and of both beyond what the model itself took when users asked it directly; refusals (429
and 503 with Retry-After are counted apart: they are honest) and how soon they were told; errors by kind; memory and
processor.

`--users` measures one `orchestrator serve` whose other limits are out of the way. `--rung` starts every process of a
rung of docs/scaling.md from its files under deploy/rungs; PostgreSQL and Redis are those of --store and --transport, or
new ones from the wheels of the development lock.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.performance import machine
from benchmarks.performance.load import recorded
from benchmarks.performance.load.figures import Row, text
from benchmarks.performance.load.measuring import few, measured
from benchmarks.performance.load.rungs import Rung, Servers, numbers, read, rung_site
from benchmarks.performance.load.served import site, tenants
from benchmarks.performance.load.users import Habits
from orchestrator.service.http.limits import REQUESTS_AT_ONCE

USERS_MAX = 10_000
#: How a rung is measured, where flags say nothing else: seconds of the model, questions, seconds between, common share.
LATENCY_S, TURNS, THINK_S, COMMON = 1.0, 2, 20.0, 0.3
#: Users of a rung where --crowd says nothing: of the highest as many as one small machine can stand for.
CROWD = {10: 10, 100: 100, 1_000: 1_000, 10_000: 500}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 1 when anything but an honest refusal went wrong."""
    asked = _read(arguments)
    if asked.table:
        rows = recorded.read()
        for part in (recorded.of_rungs(rows), recorded.of_one_process(rows)):
            print(f"{recorded.table(part)}\n\n{recorded.conditions(part)}\n")
        part = recorded.of_ladder(rows)
        print(f"{recorded.ladder_table(part)}\n\n{recorded.conditions(part)}")
        return 0
    if asked.rung is not None:
        return _rung(asked)
    sizes = [int(size) if size.isdigit() else 0 for size in asked.users.split(",")]
    if not all(0 < size <= USERS_MAX for size in sizes):
        print(f"--users: numbers from 1 to {USERS_MAX}, such as 10,100", file=sys.stderr)
        return 2
    rows = []
    with tempfile.TemporaryDirectory(prefix="ho-load-") as scratch:
        facts = machine.facts(Path(scratch), ["uvicorn", "fastapi", "openai", "asyncpg"])
        print(machine.text(facts))
        kind = "PostgreSQL" if asked.store else "SQLite"
        habits = _habits(asked, latency_s=0.2, turns=3, think_s=5.0, common=0.0)
        print(
            f"  store: {kind}; model: {asked.latency * 1e3:g} ms; {habits.turns} questions, {habits.think_s:g} s apart"
        )
        for number, users in enumerate(sizes):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            with site(folder, users=users, latency_s=asked.latency, store=asked.store, at_once=asked.at_once) as where:
                row = measured(where, _with(habits, users))
            rows.append(row)
            print("\n" + text(row))
            if asked.record:
                at_once = asked.at_once or REQUESTS_AT_ONCE
                recorded.record(row, _load(asked, habits, rung=0) | {"at_once": at_once}, facts)
    _write(asked.json, rows)
    return 1 if any(row["errors"] for row in rows) else 0


def _read(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.performance.load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--users", default="10,100", help="sizes, at most 10000 (default: 10,100)")
    what.add_argument("--rung", type=int, choices=numbers(), help="a rung of docs/scaling.md")
    what.add_argument("--table", action="store_true", help="print what was recorded last, and measure nothing")
    parser.add_argument("--crowd", type=int, help="users on a rung (default: the rung's own number; 10000: 500)")
    parser.add_argument("--turns", type=int, help="questions of each user (default: 3; on a rung 2)")
    parser.add_argument("--think", type=float, help="seconds before each, on average (default: 5; on a rung 20)")
    parser.add_argument("--latency", type=float, help="seconds of the model (default: 0.2; on a rung 1)")
    parser.add_argument("--common", type=float, help="share of common questions of jobs (default: 0; on a rung 0.3)")
    parser.add_argument("--at-once", type=int, help="requests that a process works on (default: what its settings say)")
    parser.add_argument("--store", help="postgresql://… instead of a new SQLite file; its tables are made")
    parser.add_argument("--transport", help="redis://… of a rung that needs one")
    parser.add_argument("--json", help="write the figures to this file too")
    parser.add_argument("--record", action="store_true", help="keep the figures as those that the guide shows")
    return parser.parse_args(arguments)


def _habits(
    asked: argparse.Namespace, *, latency_s: float, turns: int, think_s: float, common: float, users: int = 1
) -> Habits:
    """What flags say, and else these."""
    asked.latency = latency_s if asked.latency is None else asked.latency
    return Habits(
        users=users,
        turns=turns if asked.turns is None else asked.turns,
        think_s=think_s if asked.think is None else asked.think,
        common=common if asked.common is None else asked.common,
    )


def _with(habits: Habits, users: int) -> Habits:
    return Habits(users=users, turns=habits.turns, think_s=habits.think_s, common=habits.common)


def _load(asked: argparse.Namespace, habits: Habits, *, rung: int) -> dict[str, object]:
    """What the crowd did, as it is recorded; rung 0: one process with its limits out of the way."""
    return {
        "rung": rung,
        "latency_s": asked.latency,
        "turns": habits.turns,
        "think_s": habits.think_s,
        "common": habits.common,
    }


def _rung(asked: argparse.Namespace) -> int:
    rung = read(asked.rung)
    crowd = CROWD[rung.number] if asked.crowd is None else asked.crowd
    if not 0 < crowd <= USERS_MAX:
        print(f"--crowd: a number from 1 to {USERS_MAX}", file=sys.stderr)
        return 2
    habits = _habits(asked, latency_s=LATENCY_S, turns=TURNS, think_s=THINK_S, common=COMMON, users=crowd)
    changed = {} if asked.at_once is None else {"ORCHESTRATOR_REQUESTS_AT_ONCE": str(asked.at_once)}
    with tempfile.TemporaryDirectory(prefix="ho-load-") as scratch, _servers(rung, asked) as servers:
        facts = machine.facts(Path(scratch), ["uvicorn", "fastapi", "openai", "asyncpg", "redis"])
        print(machine.text(facts))
        print(f"  rung: {rung.number}; {'; '.join(rung.processes.values())}")
        print(f"  model: {asked.latency:g} s; {habits.turns} questions each, {habits.think_s:g} s apart")
        with rung_site(
            Path(scratch),
            rung,
            tenants=tenants(crowd),
            latency_s=asked.latency,
            servers=servers,
            changed=changed,
        ) as where:
            row = measured(where, habits, alone=few(habits))
    print("\n" + text(row))
    load = _load(asked, habits, rung=rung.number)
    if asked.record:
        recorded.record(row, load, facts)
    _write(asked.json, [{**load, **row}])
    return 1 if row["errors"] else 0


@contextmanager
def _servers(rung: Rung, asked: argparse.Namespace) -> Iterator[Servers | None]:
    """PostgreSQL and Redis for a rung that needs them; new ones where none are named."""
    if not rung.on_servers:
        yield None
    elif asked.store and asked.transport:
        yield Servers(store=asked.store, transport=asked.transport)
    else:
        from tests.servers.postgres import PostgresServer  # the servers of the tests are the servers of the benchmarks
        from tests.servers.redis import redis_server

        database = PostgresServer()
        try:
            with redis_server() as redis:
                yield Servers(store=database.create().start().database(), transport=redis.url)
        finally:
            database.delete()


def _write(path: str | None, rows: Sequence[Row]) -> None:
    if path:
        Path(path).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
