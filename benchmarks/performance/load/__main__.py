"""`python -m benchmarks.performance.load --users 10,100`: what a user waits for, beside the model alone.

A real `orchestrator serve`, a stand-in model of fixed latency in a process of its own, and users in this one, all on
loopback. Half of the users talk in sessions, half submit jobs and follow their events. Printed are percentiles of
submitting a job (to 202), of a turn and of a job beyond what the model itself took when the same users asked it
directly, errors by kind (429 with Retry-After is counted apart: it is honest), and memory and processor of the service.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.performance import machine
from benchmarks.performance.load.served import site, tenants
from benchmarks.performance.load.users import Habits, Seen, crowd, directly

USERS_MAX = 10_000
SETTLE_S = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sizes that were asked for; 1 when anything but an honest 429 went wrong."""
    asked = _read(arguments)
    sizes = [int(size) if size.isdigit() else 0 for size in asked.users.split(",")]
    if not all(0 < size <= USERS_MAX for size in sizes):
        print(f"--users: numbers from 1 to {USERS_MAX}, such as 10,100", file=sys.stderr)
        return 2
    rows = []
    with tempfile.TemporaryDirectory(prefix="ho-load-") as scratch:
        print(machine.text(machine.facts(Path(scratch), ["uvicorn", "fastapi", "openai", "asyncpg"])))
        kind = "PostgreSQL" if asked.store else "SQLite"
        print(
            f"  store: {kind}; model: {asked.latency * 1e3:g} ms; {asked.turns} questions each, {asked.think:g} s apart"
        )
        for number, users in enumerate(sizes):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            row = _cell(folder, Habits(users=users, turns=asked.turns, think_s=asked.think), asked)
            rows.append(row)
            print("\n" + _text(row))
    if asked.json:
        Path(asked.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 1 if any(row["errors"] for row in rows) else 0


def _read(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.performance.load", description=__doc__)
    parser.add_argument("--users", default="10,100", help="sizes, at most 10000 (default: 10,100)")
    parser.add_argument("--turns", type=int, default=3, help="questions of each user (default: 3)")
    parser.add_argument("--think", type=float, default=5.0, help="seconds before each, on average (default: 5)")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds of the model (default: 0.2)")
    parser.add_argument("--store", help="postgresql://… instead of a new SQLite file; its tables are made")
    parser.add_argument("--json", help="write the figures to this file too")
    return parser.parse_args(arguments)


def _cell(folder: Path, habits: Habits, asked: argparse.Namespace) -> dict[str, object]:
    """One size."""
    with site(folder, users=habits.users, latency_s=asked.latency, store=asked.store) as where:
        warm = Habits(users=4, turns=1, think_s=0.0)
        asyncio.run(crowd(where, warm, seed=0))
        time.sleep(SETTLE_S)
        direct = asyncio.run(directly(where, habits))
        idle_bytes, idle_cpu_s, began_s = where.rss_bytes(), where.cpu_s(), time.perf_counter()
        seen = asyncio.run(crowd(where, habits))
        took_s = time.perf_counter() - began_s
        return _row(habits, seen, direct, took_s) | {
            "service_cpu_s": round(where.cpu_s() - idle_cpu_s, 2),
            "memory_idle_mib": round(idle_bytes / 2**20, 1),
            "memory_peak_mib": round(where.peak_bytes() / 2**20, 1),
            "memory_per_user_kib": round(max(where.peak_bytes() - idle_bytes, 0) / habits.users / 1024, 1),
        }


def _row(habits: Habits, seen: Seen, direct: Seen, took_s: float) -> dict[str, object]:
    base = _percentiles(direct.direct_s)
    return {
        "users": habits.users,
        "tenants": tenants(habits.users),
        "seconds": round(took_s, 1),
        "answers": len(seen.turn_s) + len(seen.job_s),
        "per_second": round((len(seen.turn_s) + len(seen.job_s)) / took_s, 1),
        "submit_ms": _percentiles(seen.submit_s),
        "direct_ms": base,
        "turn_ms": _percentiles(seen.turn_s),
        "turn_overhead_ms": _beyond(_percentiles(seen.turn_s), base),
        "job_overhead_ms": _beyond(_percentiles(seen.job_s), base),
        "refused_429": seen.refused,
        "errors": dict(seen.errors + direct.errors),
    }


def _percentiles(found_s: Sequence[float]) -> dict[str, float]:
    """By nearest rank, in milliseconds; empty where nothing was seen."""
    ordered = sorted(found_s)
    if not ordered:
        return {}
    return {
        f"p{share}": round(ordered[min(-(-share * len(ordered) // 100), len(ordered)) - 1] * 1e3, 1)
        for share in (50, 95, 99)
    }


def _beyond(whole: dict[str, float], base: dict[str, float]) -> dict[str, float]:
    return {name: round(value - base[name], 1) for name, value in whole.items() if name in base}


def _text(row: dict[str, object]) -> str:
    """One size as lines."""
    lines = [f"{row['users']} users, {row['tenants']} tenants: {row['answers']} answers in {row['seconds']} s"]
    lines[0] += f" ({row['per_second']}/s)"
    for name in ("submit_ms", "direct_ms", "turn_ms", "turn_overhead_ms", "job_overhead_ms"):
        found = row[name]
        assert isinstance(found, dict), "percentiles"
        shown = "  ".join(f"{share} {value:>9,.1f}" for share, value in found.items()) or "nothing was seen"
        lines.append(f"  {name:<18} {shown}")
    lines.append(f"  refused with 429   {row['refused_429']}; other errors {row['errors'] or 'none'}")
    lines.append(
        f"  service            {row['service_cpu_s']} s of processor; memory {row['memory_idle_mib']} MiB idle, "
        f"{row['memory_peak_mib']} MiB at most, {row['memory_per_user_kib']} KiB per user"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
