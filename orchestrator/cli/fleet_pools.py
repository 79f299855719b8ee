"""`orchestrator pools`: what each pool has to do, and who does it. In one process: the pools that runs may use."""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from orchestrator.cli.access import AsJson, Pools, Store, run_async
from orchestrator.cli.console import columns, one_line, paint, say, show_json, span
from orchestrator.cli.fleet_common import Transport, fleet_settings
from orchestrator.errors import OrchestratorError
from orchestrator.ids import JsonValue
from orchestrator.ports.fleet import Fleet, WorkerSeen
from orchestrator.ports.tasks import Backlog

if TYPE_CHECKING:
    from orchestrator.settings import Settings

Row = dict[str, JsonValue]
_WAITS: Final = re.compile(r"a worker of pool (\w[\w-]*)")


def pools(pools: Pools = None, store: Store = None, transport: Transport = None, as_json: AsJson = False) -> None:
    """List pools: backlog per lane, workers and when they were last heard of, oldest wait, dead letters.

    With --transport memory: (the default) it lists the pools that runs may use, and what the process that owns the
    store has to do.
    """
    settings = fleet_settings(store, transport, pools, quiet=True)
    if settings.transport == "memory:":
        from orchestrator.cli.look import pools as local

        local(pools, store, as_json)
        return

    async def work() -> list[Row]:
        from orchestrator.fleet import open_fleet, open_registry

        try:
            known = tuple(open_registry(settings).pools())
        except OrchestratorError as error:
            say(f"{error}")
            known = ()
        async with open_fleet(settings) as fleet:
            return await rows_of(fleet, known)

    rows = run_async(work)
    if as_json:
        show_json(cast(JsonValue, rows))
        return
    _print(rows)


async def rows_of(fleet: Fleet, known: Sequence[str] = ()) -> list[Row]:
    """One row per pool that is known here, has work, has a worker, or has dead letters."""
    backlogs = {str(one.pool): one for one in await fleet.backlog()}
    workers, dead = await fleet.workers(), await fleet.dead()
    serving: dict[str, list[WorkerSeen]] = {}
    for worker in workers:
        for pool in worker.offer.concurrency:
            serving.setdefault(pool, []).append(worker)
    names = sorted({*known, *backlogs, *serving, *dead})
    return [row_of(name, backlogs.get(name), serving.get(name, []), dead) for name in names]


def row_of(pool: str, backlog: Backlog | None, workers: Sequence[WorkerSeen], dead: Mapping[str, int]) -> Row:
    """What is known of one pool."""
    one = backlog or Backlog(pool=pool)  # type: ignore[arg-type]  # a name is a name
    return {
        "pool": pool,
        "waiting": one.waiting,
        "delayed": one.delayed,
        "running": one.running,
        "by_lane": dict(one.by_lane),
        "oldest_wait_s": round(one.oldest_wait_s, 3),
        "dead_letters": dead.get(pool, 0),
        "workers": [
            {
                "name": worker.name,
                "beat_age_s": round(worker.beat_age_s, 1),
                "running": worker.running,
                "concurrency": worker.offer.concurrency.get(pool, 0),
                "digests": dict(worker.offer.digests.get(pool, {})),
                "refused": [*worker.offer.refused.get(pool, [])],
                "unready": dict(worker.offer.unready.get(pool, {})),
                "leaving": worker.offer.leaving,
            }
            for worker in workers
        ],
    }


def misfit_line(row: Row) -> str:
    """Why nobody serves a pool, in one sentence; empty where somebody does."""
    workers = cast(list[Row], row["workers"])
    staying = [worker for worker in workers if not worker["leaving"]]
    if not staying:
        return "no worker serves it"
    refused = [str(reason) for worker in staying for reason in cast(list[JsonValue], worker["refused"])]
    if refused and all(worker["refused"] for worker in staying):
        return f"none of its {len(staying)} workers fits: {refused[0]}"
    unready = [dict(cast(dict[str, JsonValue], worker["unready"])) for worker in staying]
    for name in unready[0]:
        if all(name in one for one in unready):
            what = f"function {name}" if name else "`task` steps"
            return f"none of its {len(staying)} workers can do its {what}: {unready[0][name]}"
    return ""


def why_waiting(settings: "Settings", transport: str | None, texts: Sequence[str]) -> list[Row]:
    """Lines for `why`: for every text that waits for a worker of a pool, what keeps the workers of that pool away."""
    url = transport or settings.transport
    pools = [match[1] for text in texts if (match := _WAITS.search(text)) is not None]
    if url == "memory:" or not pools:
        return []

    async def work() -> list[Row]:
        from orchestrator.fleet import open_fleet

        async with open_fleet(settings.model_copy(update={"transport": url})) as fleet:
            return await rows_of(fleet)

    try:
        known = {str(row["pool"]): row for row in run_async(work)}
    except OrchestratorError as error:
        return [{"seq": 0, "at": None, "text": f"now: the fleet cannot be asked: {error}"}]
    found: list[Row] = []
    for pool in dict.fromkeys(pools):
        why = misfit_line(known.get(pool) or row_of(pool, None, [], {}))
        if why:
            found.append({"seq": 0, "at": None, "text": f"now: pool {pool}: {why}"})
    return found


def _print(rows: Sequence[Row]) -> None:
    table = [["POOL", "WAITING", "DELAYED", "RUNNING", "OLDEST", "DEAD", "WORKERS", "LANES"]]
    for row in rows:
        lanes = cast(dict[str, int], row["by_lane"])
        workers = cast(list[Row], row["workers"])
        oldest = cast(float, row["oldest_wait_s"])
        table.append([
            str(row["pool"]), str(row["waiting"]), str(row["delayed"]), str(row["running"]),
            span(oldest) if oldest else "", str(row["dead_letters"] or ""), str(len(workers) or ""),
            ", ".join(f"{lane} {count}" for lane, count in lanes.items() if count),
        ])  # fmt: skip
    lines = columns(table, right=frozenset({1, 2, 3, 4, 5, 6}))
    print(paint(lines[0], "dim"))
    for line, row in zip(lines[1:], rows, strict=True):
        print(line)
        for worker in cast(list[Row], row["workers"]):
            state = "leaving" if worker["leaving"] else f"{worker['running']} of {worker['concurrency']} running"
            beat = f"heard of {span(cast(float, worker['beat_age_s']))} ago"
            print(paint(f"    {one_line(str(worker['name']), 60)}  {state}, {beat}", "dim"))
            for reason in cast(list[JsonValue], worker["refused"]):
                print(f"      {paint('takes nothing:', 'warn')} {reason}")
            for name, told in cast(dict[str, JsonValue], worker["unready"] if not worker["refused"] else {}).items():
                print(f"      {paint('cannot do', 'warn')} {name or 'its task steps'}: {told}")
        busy = cast(int, row["waiting"]) + cast(int, row["delayed"])
        if busy and (why := misfit_line(row)):
            print(f"    {paint('waits:', 'warn', sys.stdout)} {why}")


__all__ = ["misfit_line", "pools", "row_of", "rows_of", "why_waiting"]
