"""One crowd on one site: warmed up, held beside the model alone, and put into figures."""

import asyncio
import time
from dataclasses import replace

from benchmarks.performance.load.figures import Row, row_of
from benchmarks.performance.load.served import Site
from benchmarks.performance.load.users import Habits, Seen, crowd, directly

SETTLE_S = 1.0
READY_S = 60.0  #: for workers to be there and a first job to be answered


def measured(where: Site, habits: Habits, *, alone: Habits | None = None) -> Row:
    """Figures of a crowd. `alone`: those who ask the model directly; None: the same crowd."""
    warmed(where)
    time.sleep(SETTLE_S)
    direct = asyncio.run(directly(where, alone or habits))
    idle_bytes, idle_cpu_s, began_s = where.rss_bytes(), where.cpu_s(), time.perf_counter()
    seen = asyncio.run(crowd(where, habits))
    took_s = time.perf_counter() - began_s
    peak_bytes = where.peak_bytes()
    return row_of(habits, len(where.keys), seen, direct, took_s) | {
        "processes": len(where.family()),
        "service_cpu_s": round(where.cpu_s() - idle_cpu_s, 2),
        "memory_idle_mib": round(idle_bytes / 2**20, 1),
        "memory_peak_mib": round(peak_bytes / 2**20, 1),
        "memory_per_user_kib": round(max(peak_bytes - idle_bytes, 0) / habits.users / 1024, 1),
    }


def warmed(where: Site) -> None:
    """Ask until everything is answered: the workers of a fleet come when they are up.

    Raises:
        RuntimeError: they do not come; the message says what was seen.
    """
    until_s, number = time.monotonic() + READY_S, 0
    seen = Seen()
    while time.monotonic() < until_s:
        number += 1
        habits = Habits(users=4 * len(where.ports), turns=1, think_s=0.0, name=f"warm-{number}")
        seen = asyncio.run(crowd(where, habits, seed=number))
        if not seen.errors:
            return
        time.sleep(0.2)
    raise RuntimeError(f"no first answer within {READY_S:g} s: {dict(seen.errors)}")


def few(habits: Habits, most: int = 100) -> Habits:
    """A small crowd that asks the model alone: what it takes does not depend on how many ask."""
    return replace(habits, users=min(habits.users, most), turns=1, think_s=min(habits.think_s, 2.0))
