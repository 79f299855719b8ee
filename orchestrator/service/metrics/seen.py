"""What no journal tells: queues, workers, latencies, spans. Seen at the moment somebody asks."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from orchestrator.errors import OrchestratorError
from orchestrator.ports.fleet import Fleet, WorkerSeen
from orchestrator.ports.journal import Journal, RunQuery
from orchestrator.ports.observer import Tracing
from orchestrator.ports.tasks import Backlog
from orchestrator.ports.transport import Transport
from orchestrator.service.metrics.tally import Seen
from orchestrator.service.metrics.values import Values

GAUGES: Final = (
    "pool_backlog", "pool_tasks", "pool_oldest_wait_seconds", "pool_replicas", "pool_concurrency", "pool_utilisation",
    "dead_letters", "journal_latency_seconds", "transport_latency_seconds", "metrics_behind_runs", "runs_open",
    "oldest_quiet_seconds", "eval_accuracy", "telemetry_spans_total",
    "refusals_total",
)  # fmt: skip


class Surroundings:
    """Looks at what stands around the journal. `local` is the concurrency of pools that work in this process."""

    def __init__(
        self,
        journal: Journal,
        *,
        fleet: Fleet | None = None,
        transport: Transport | None = None,
        local: dict[str, int] | None = None,
        telemetry: Tracing | None = None,
        refused: Mapping[str, int] | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._journal, self._fleet, self._transport = journal, fleet, transport
        self._local, self._telemetry, self._timer = dict(local or {}), telemetry, timer
        self._refused = refused
        self._replicas: dict[str, int] | None = None  #: at the look before

    async def look(self, values: Values) -> None:
        """Set every gauge anew. A fleet that does not answer leaves its gauges out, which an alert can see."""
        values.clear(*GAUGES)
        began = self._timer()
        await self._journal.runs(RunQuery(limit=1))
        values.set("journal_latency_seconds", to=self._timer() - began)
        try:
            await self._look_at_pools(values)
        except OrchestratorError:
            values.clear("transport_latency_seconds")
        if self._telemetry is not None:
            for outcome, count in self._telemetry.counts.items():
                values.set("telemetry_spans_total", outcome, to=count)
        for reason, count in (self._refused or {}).items():
            values.set("refusals_total", reason, to=count)

    async def _look_at_pools(self, values: Values) -> None:
        began = self._timer()
        if self._fleet is not None:
            backlogs: Sequence[Backlog] = await self._fleet.backlog()
            values.set("transport_latency_seconds", to=self._timer() - began)
            workers = await self._fleet.workers()
            for pool, count in (await self._fleet.dead()).items():
                values.set("dead_letters", pool, to=count)
            replicas, places = _offered(workers)
        elif self._transport is not None:
            backlogs = await self._transport.backlog()
            values.set("transport_latency_seconds", to=self._timer() - began)
            replicas, places = dict.fromkeys(self._local, 1), self._local
            for pool in self._local:
                values.set("dead_letters", pool, to=0)  # one process has none
        else:
            return
        self._pools(values, backlogs, replicas, places)

    def _pools(
        self, values: Values, backlogs: Sequence[Backlog], replicas: dict[str, int], places: dict[str, int]
    ) -> None:
        by_pool = {str(one.pool): one for one in backlogs}
        for pool in sorted({*by_pool, *places}):
            one = by_pool.get(pool) or Backlog(pool=pool)  # type: ignore[arg-type]  # a name is a name
            values.set("pool_backlog", pool, to=one.waiting + one.delayed + one.running)
            for state, count in (("waiting", one.waiting), ("delayed", one.delayed), ("running", one.running)):
                values.set("pool_tasks", pool, state, to=count)
            values.set("pool_oldest_wait_seconds", pool, to=one.oldest_wait_s)
            values.set("pool_replicas", pool, to=replicas.get(pool, 0))
            values.set("pool_concurrency", pool, to=places.get(pool, 0))
            values.set("pool_utilisation", pool, to=min(one.running / places[pool], 1.0) if places.get(pool) else 0.0)
        before, self._replicas = self._replicas, replicas
        if before is None:
            before = replicas
        for pool in sorted({*before, *replicas}):
            change = replicas.get(pool, 0) - before.get(pool, 0)
            for direction, count in (("up", max(change, 0)), ("down", max(-change, 0))):
                values.add("scaler_events_total", pool, direction, by=count)


def look_at_runs(values: Values, runs: Sequence[Seen], behind: int, now_s: float) -> None:
    """Gauges about open runs, from what was read of them."""
    values.set("metrics_behind_runs", to=behind)
    for run in runs:
        accepted = run.accepted
        if run.top:
            values.add("runs_open", accepted.tenant, accepted.plan)
        if not run.questions:
            quiet_s = max(now_s - run.last_at_s, 0.0)
            known = values.of("oldest_quiet_seconds").get((accepted.plan,), 0.0)
            values.set("oldest_quiet_seconds", accepted.plan, to=max(quiet_s, known))


def look_at_cases(values: Values, cases: dict[str, float]) -> None:
    """The accuracy of each set of an evaluation, from the latest rating of each of its cases."""
    sets: dict[str, list[bool]] = {}
    for about, score in cases.items():
        sets.setdefault(about.rpartition("/")[0] or about, []).append(score >= 0.5)
    for name, right in sets.items():
        values.set("eval_accuracy", name, to=sum(right) / len(right))


def _offered(workers: Sequence[WorkerSeen]) -> tuple[dict[str, int], dict[str, int]]:
    replicas: dict[str, int] = {}
    places: dict[str, int] = {}
    for worker in workers:
        if worker.offer.leaving:
            continue
        for pool, places_here in worker.offer.concurrency.items():
            if pool not in worker.offer.refused:
                replicas[pool] = replicas.get(pool, 0) + 1
                places[pool] = places.get(pool, 0) + places_here
    return replicas, places


__all__ = ["Surroundings", "look_at_cases", "look_at_runs"]
