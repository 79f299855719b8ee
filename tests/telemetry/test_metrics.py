"""After a day of load every metric is there and says what the journal says, counted another way."""

import asyncio
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace

import anyio
import anyio.to_thread
import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.app.telemetry import open_metrics
from orchestrator.core import facts as f
from orchestrator.core.summary import summary
from orchestrator.errors import JournalCorrupt, PromiseError, TransportUnreachable
from orchestrator.ids import PoolName, RunId, StepId
from orchestrator.ports.fleet import Offer, WorkerSeen
from orchestrator.ports.journal import Append, Recorded
from orchestrator.ports.tasks import Backlog
from orchestrator.service.http.metrics import opener
from orchestrator.service.metrics import kept
from orchestrator.service.metrics.reader import JournalReader
from orchestrator.service.metrics.seen import Surroundings
from orchestrator.service.metrics.table import BY_NAME, METRICS
from orchestrator.service.metrics.tally import Tally
from orchestrator.service.metrics.values import OTHER, VALUES_MAX, Values
from orchestrator.testing import facts as made_up
from tests.service.http.house import house, until_ended
from tests.telemetry.collecting import Collector
from tests.telemetry.day import Day, play_day

pytestmark = pytest.mark.anyio
Series = dict[tuple[str, ...], float]


@pytest.fixture(scope="module")
def day() -> Day:
    return play_day()


def exported(text: str) -> dict[str, Series]:
    """Numbers by metric and labels; of histograms their counts, sums under `name_sum`."""
    found: dict[str, Series] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.endswith(("_bucket", "_created")):
                continue
            name = sample.name.removeprefix("orchestrator_").removesuffix("_count")
            metric = BY_NAME[name.removesuffix("_sum")]
            found[name][tuple(sample.labels[label] for label in metric.labels)] = sample.value
    return found


# ---- the same figures, counted from the facts of the day in another way


def runs_of(day: Day) -> list[tuple[f.RunAccepted, list[f.Fact]]]:
    return [(facts[0], facts) for facts in day.facts.values()]  # type: ignore[misc]  # a run begins with it


def counted(day: Day, keys: Callable[[f.RunAccepted, list[f.Fact]], Iterable[tuple[str, ...]]]) -> Series:
    found: Counter[tuple[str, ...]] = Counter()
    for accepted, facts in runs_of(day):
        found.update(keys(accepted, facts))
    return {key: float(value) for key, value in found.items()}


def summed(day: Day, keys: Callable[[f.RunAccepted, list[f.Fact]], Iterable[tuple[tuple[str, ...], float]]]) -> Series:
    found: dict[tuple[str, ...], float] = defaultdict(float)
    for accepted, facts in runs_of(day):
        for key, value in keys(accepted, facts):
            found[key] += value
    return {key: value for key, value in found.items() if value}


def of(facts: list[f.Fact], *kinds: type) -> list[f.Fact]:
    return [fact for fact in facts if isinstance(fact, kinds)]


def end_of(facts: list[f.Fact]) -> f.RunEnded | None:
    found = of(facts, f.RunEnded)
    return found[0] if found else None  # type: ignore[return-value]  # just chosen


def ended(day: Day) -> list[tuple[f.RunAccepted, list[f.Fact], f.RunEnded]]:
    return [(a, facts, end) for a, facts in runs_of(day) if a.parent is None and (end := end_of(facts)) is not None]


def calls(facts: list[f.Fact]) -> list[f.ModelCalled]:
    return of(facts, f.ModelCalled)  # type: ignore[return-value]  # just chosen


def asked(facts: list[f.Fact]) -> list[f.ModelCalled]:
    return [one for one in calls(facts) if not one.served]


SETTLED = {
    f.StepPassed: "passed", f.StepGap: "gap", f.StepSkipped: "skipped", f.StepFailed: "failed",
    f.StepCancelled: "cancelled",
}  # fmt: skip


def settled(a: f.RunAccepted, facts: list[f.Fact]) -> list[tuple[str, ...]]:
    mapped = {one.step for one in facts if isinstance(one, f.StepExpanded)}
    return [
        (a.plan, SETTLED[type(one)])
        for one in facts
        if type(one) in SETTLED and not (one.branch == -1 and one.step in mapped)  # type: ignore[attr-defined]  # steps
    ]


def attempts(facts: list[f.Fact]) -> list[tuple[str, str, float, float | None]]:
    """Pool, outcome, seconds of work, and seconds of waiting where they are known."""
    found = []
    for place, fact in enumerate(facts):
        if not isinstance(fact, f.StepProduced | f.AttemptFailed):
            continue
        same = [
            one
            for one in facts[:place]
            if isinstance(one, f.StepDispatched | f.StepStarted)
            and (one.step, one.branch, one.attempt, one.sample) == (fact.step, fact.branch, fact.attempt, fact.sample)
        ]
        sent = next(one for one in same if isinstance(one, f.StepDispatched) and one.purpose == "work")
        began = [one.at_s for one in same if isinstance(one, f.StepStarted)]
        if not sent.pool:
            continue
        start_s = began[0] if began else fact.started_at_s or None
        outcome = fact.error if isinstance(fact, f.AttemptFailed) else "ok"
        waited = None if start_s is None else max(start_s - sent.at_s, 0.0)
        found.append((sent.pool, outcome, fact.at_s - (sent.at_s if start_s is None else start_s), waited))
    return found


def votes(facts: list[f.Fact]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for place, fact in enumerate(facts):
        if not isinstance(fact, f.JudgeVoted):
            continue
        verdict = next(
            one for one in facts[place:]
            if isinstance(one, f.CheckVerdict)
            and (one.step, one.branch, one.attempt, one.check) == (fact.step, fact.branch, fact.attempt, fact.check)
        )  # fmt: skip
        assert verdict.score is not None
        found.append(("yes" if abs(fact.score - verdict.score) <= 0.2 else "no",))
    return found


def expected(day: Day) -> dict[str, Series]:
    def one(name: str, value: float) -> Series:
        return {(name,): value}

    asks = {(a.run, q.step, q.branch): q.subject for a, fs in runs_of(day) for q in of(fs, f.ApprovalAsked)}
    cases: dict[str, float] = {}
    for _, facts in runs_of(day)[::-1]:
        cases |= {r.about: r.score for r in of(facts, f.RunRated) if r.source == "eval"}
    tokens = summed(
        day,
        lambda _, fs: [
            ((c.model, kind), float(n))
            for c in calls(fs)
            for kind, n in (("in", c.tokens_in), ("out", c.tokens_out), ("cached", c.tokens_cached))
        ],
    )
    resolved = [(a, fs) for a, fs, end in ended(day) if end.status in {"succeeded", "degraded"}]
    top = [(a, fs) for a, fs in runs_of(day) if a.parent is None]
    return {
        "runs_accepted_total": dict(Counter((a.tenant, a.plan, a.lane) for a, _ in top)),
        "runs_total": dict(Counter((a.tenant, a.plan, end.status) for a, _, end in ended(day))),
        "runs_open": dict(Counter((a.tenant, a.plan) for a, fs in top if end_of(fs) is None)),
        "run_seconds": dict(Counter((a.plan, end.status) for a, _, end in ended(day))),
        "steps_total": counted(day, settled),
        "attempts_total": counted(day, lambda _, fs: [(pool, outcome) for pool, outcome, _, _ in attempts(fs)]),
        "attempt_seconds": counted(day, lambda _, fs: [(pool,) for pool, _, _, _ in attempts(fs)]),
        "queue_wait_seconds": counted(
            day, lambda _, fs: [(pool,) for pool, _, _, waited in attempts(fs) if waited is not None]
        ),
        "retries_total": counted(
            day,
            lambda _, fs: [
                (d.pool, d.cause) for d in of(fs, f.StepDispatched) if d.purpose == "work" and d.cause != "first"
            ],
        ),
        "escalations_total": counted(
            day, lambda a, fs: [(a.plan, "pool" if e.pool else "tier") for e in of(fs, f.StepEscalated)]
        ),
        "guard_trips_total": counted(
            day,
            lambda _, fs: [
                *((f"limit:{hit.limit}", "block") for hit in of(fs, f.LimitHit)),
                *(("repeat", "block") for rejected in of(fs, f.StepRejected) if rejected.repeat),
            ],
        ),
        "tool_errors_total": counted(day, lambda _, fs: [(t.tool, t.error) for t in of(fs, f.ToolFailed)]),  # type: ignore[attr-defined]  # just chosen
        "tool_calls_total": counted(day, lambda _, fs: [(t.tool,) for t in of(fs, f.ToolCalled)]),
        "model_calls_total": counted(day, lambda _, fs: [(c.model, c.endpoint, c.outcome) for c in asked(fs)]),
        "model_tokens_total": tokens,
        "model_usd_total": summed(day, lambda a, fs: [((c.model, a.tenant), c.usd) for c in calls(fs)]),
        "model_request_tokens": counted(day, lambda _, fs: [(c.model,) for c in asked(fs)]),
        "model_request_usd": counted(day, lambda _, fs: [(c.model,) for c in asked(fs)]),
        "model_rate_limits_total": counted(
            day, lambda _, fs: [(c.model, c.endpoint) for c in asked(fs) if c.outcome == "rate_limited"]
        ),
        "model_seconds": counted(day, lambda _, fs: [(c.model,) for c in asked(fs)]),
        "model_first_token_seconds": counted(day, lambda _, fs: [(c.model,) for c in asked(fs) if c.first_s]),
        "model_served_total": counted(
            day, lambda _, fs: [(c.served or ("batch" if c.saved_batch_usd else "model"),) for c in calls(fs)]
        ),
        "model_saved_usd_total": summed(
            day,
            lambda _, fs: [
                ((by,), usd)
                for c in calls(fs)
                for by, usd in (
                    ("cache", c.saved_cache_usd),
                    ("routing", c.saved_routing_usd),
                    ("compression", c.saved_compression_usd),
                    ("batch", c.saved_batch_usd),
                )
            ],
        ),
        "verdicts_total": counted(day, lambda _, fs: [(v.name, v.verdict) for v in of(fs, f.CheckVerdict)]),
        "rejections_total": counted(day, lambda a, fs: [(a.plan,) for _ in of(fs, f.StepRejected)]),
        "grounded_total": counted(
            day,
            lambda _, fs: [
                ("grounded" if v.verdict == "pass" else "ungrounded",)
                for v in of(fs, f.CheckVerdict)
                if v.name == "grounded"
            ],
        ),
        "judge_votes_total": counted(day, lambda _, fs: votes(fs)),
        "thumbs_total": counted(
            day,
            lambda a, fs: [
                (a.tenant, a.plan, "up" if r.score else "down") for r in of(fs, f.RunRated) if r.source == "thumb"
            ],
        ),
        "people_asked_total": counted(day, lambda _, fs: [(q.subject,) for q in of(fs, f.ApprovalAsked)]),
        "people_answered_total": counted(
            day,
            lambda a, fs: [
                (asks[a.run, q.step, q.branch], "expired" if isinstance(q, f.ApprovalExpired) else "answered")
                for q in of(fs, f.ApprovalAnswered, f.ApprovalExpired)
            ],
        ),
        "quarantined_total": counted(day, lambda a, fs: [(a.plan,) for _ in of(fs, f.StepQuarantined)]),
        "run_usd_total": summed(
            day,
            lambda a, fs: [((a.tenant, a.plan, end.status), end.usd)] if (end := end_of(fs)) and not a.parent else [],
        ),
        "runs_resolved_total": dict(Counter((a.tenant, a.plan) for a, _ in resolved)),
        "runs_deflected_total": dict(Counter((a.tenant, a.plan) for a, fs in resolved if not of(fs, f.ApprovalAsked))),
        "eval_cases_total": counted(
            day,
            lambda _, fs: [
                ("daily", "right" if r.score else "wrong") for r in of(fs, f.RunRated) if r.source == "eval"
            ],
        ),
        "eval_accuracy": one("daily", sum(cases.values()) / len(cases)),
    }


def test_every_metric_appears_and_is_what_the_journal_says(day: Day) -> None:
    found = exported(day.text)
    assert {metric.name for metric in METRICS} - set(found) == set()
    for name, series in expected(day).items():
        assert found[name] == pytest.approx(series), name
        assert series, f"{name}: the day has none, so nothing is shown"


def test_sums_of_histograms_are_those_of_the_facts(day: Day) -> None:
    found = exported(day.text)
    assert found["run_seconds_sum"] == pytest.approx(
        summed(day, lambda a, fs: [((a.plan, e.status), e.at_s - a.at_s)] if (e := end_of(fs)) and not a.parent else [])
    )
    assert found["attempt_seconds_sum"] == pytest.approx(
        summed(day, lambda _, fs: [((pool,), seconds) for pool, _, seconds, _ in attempts(fs)])
    )
    assert found["model_request_usd_sum"] == pytest.approx(
        summed(day, lambda _, fs: [((c.model,), c.usd) for c in asked(fs)])
    )


def test_money_agrees_with_what_cost_tells(day: Day) -> None:
    """`cost` adds up each run's summary, sub-plans within their parents."""
    spent: dict[str, float] = defaultdict(float)
    for accepted, facts in runs_of(day):
        if accepted.parent is None:
            records = [Recorded(run_id=accepted.run, seq=n, epoch=1, fact=fact, prev_hash="", hash="")
                       for n, fact in enumerate(facts, 1)]  # fmt: skip
            usage = summary(records)["usage"]
            assert isinstance(usage, dict)
            spent[accepted.tenant] += float(usage["usd"])  # type: ignore[arg-type]  # a number
    by_tenant: dict[str, float] = defaultdict(float)
    for (tenant, _), usd in exported(day.text)["spent_usd_total"].items():
        by_tenant[tenant] += usd
    under_way = sum(
        c.usd for a, fs in runs_of(day) if a.parent is not None and end_of(fs) is None for c in of(fs, f.BudgetSettled)
    )
    assert sum(by_tenant.values()) == pytest.approx(sum(spent.values()) + under_way)


def test_counters_never_fall(day: Day) -> None:
    before, after = exported(day.halfway), exported(day.text)
    for metric in METRICS:
        if metric.kind == "counter":
            for labels, value in before.get(metric.name, {}).items():
                assert after[metric.name][labels] >= value, metric.name


# ---- restarts


async def journal_of(day: Day) -> MemoryJournal:
    """The facts of the day, and none of what the end of its engine added."""
    journal = MemoryJournal()
    for run, facts in day.facts.items():
        assert not await journal.append([Append(run_id=RunId(run), first_seq=1, epoch=1, facts=tuple(facts))])
    return journal


async def read_in_lives(day: Day, chance: random.Random, lives: int) -> JournalReader:
    """Facts come in any portions, and the process ends at any of them, with or without its last portion kept."""
    journal, reader = MemoryJournal(), None
    document = JournalReader(journal).document()
    positions = {RunId(run): 0 for run in day.facts}
    while any(positions[run] < len(day.facts[run]) for run in positions):
        if reader is None or chance.random() < lives / 40:
            reader = JournalReader(journal)
            reader.resume(document)
        for run in chance.sample(sorted(positions), k=chance.randint(1, len(positions))):
            at = positions[run]
            some = day.facts[run][at : at + chance.randint(1, 12)]
            if some:
                assert not await journal.append([Append(run_id=run, first_seq=at + 1, epoch=1, facts=tuple(some))])
                positions[run] += len(some)
        await reader.catch_up()
        if chance.random() < 0.5:
            document = reader.document()
    last = JournalReader(journal)
    last.resume(document)
    await last.catch_up()
    return last


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("seed", range(6))
async def test_no_fact_counts_twice_or_never_whatever_dies(day: Day, seed: int) -> None:
    at_once = JournalReader(await journal_of(day))
    await at_once.catch_up()
    in_lives = await read_in_lives(day, random.Random(seed), lives=10)
    once, lives = at_once.tally.values, in_lives.tally.values
    assert set(lives.numbers) == set(once.numbers)
    for name, series in once.numbers.items():
        assert lives.numbers[name] == pytest.approx(series), name
    for name, spreads in once.spreads.items():
        assert {k: s.counts for k, s in lives.spreads[name].items()} == {k: s.counts for k, s in spreads.items()}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_counts_of_another_journal_are_thrown_away(day: Day, tmp_path) -> None:  # type: ignore[no-untyped-def]  # a path
    path = tmp_path / "journal.db.metrics.json"
    reader = JournalReader(day.journal)
    await reader.catch_up()
    kept.save(reader, path)
    assert path.stat().st_mode & 0o777 == 0o600, "names of tenants are nobody else's business"
    run = next(run for run in day.facts if "." not in run)
    other = MemoryJournal()
    await other.append([Append(run_id=RunId(run), first_seq=1, epoch=1, facts=tuple(day.facts[run][:2]))])
    again = JournalReader(other)
    assert kept.load(again, path)
    with pytest.raises(JournalCorrupt, match="another journal"):
        await again.catch_up()
    fresh = await kept.catch_up(again, JournalReader(other))
    assert sum(fresh.tally.values.of("runs_accepted_total").values()) == 1


def test_a_file_that_cannot_be_read_is_no_reason_to_stop(tmp_path) -> None:  # type: ignore[no-untyped-def]  # a path
    path = tmp_path / "metrics.json"
    reader = JournalReader(MemoryJournal())
    assert not kept.load(reader, path)
    for text in ("", "{}", '{"version": 99}', '{"version": 1, "values": {"numbers": {"gone": []}, "spreads": {}}}'):
        path.write_text(text)
        assert not kept.load(reader, path)
    asyncio.run(reader.catch_up())


def test_what_code_calls_its_evidence_is_no_label_unless_it_has_the_form_of_a_tool() -> None:
    tally = Tally()
    run = tally.begin(made_up.accepted())
    for seq, name in enumerate(("search", "ann@example.org.pdf", "letter of Ann Smith", ""), 1):
        tally.add(run, seq, f.ToolCalled(at_s=1.0, step=StepId("s"), attempt=1, tool=name, result=None))
    assert tally.values.of("tool_calls_total") == {("search",): 1, (OTHER,): 3}


def test_what_a_guard_found_is_counted_by_its_verdict() -> None:
    tally = Tally()
    run = tally.begin(made_up.accepted())
    for seq, verdict in enumerate(("block", "signal", "signal"), 1):
        fact = f.GuardTripped(at_s=1.0, step=StepId("a"), attempt=1, guard="pii", stage="output", verdict=verdict)  # type: ignore[arg-type]  # one of its words
        tally.add(run, seq, fact)
        tally.add(run, seq, fact)
    assert tally.values.of("guard_trips_total") == {("pii", "block"): 1.0, ("pii", "signal"): 2.0}


# ---- what no journal tells


class Board:
    """A fleet as far as metrics look at it."""

    def __init__(self) -> None:
        self.workers_here = 2
        self.away = False

    async def backlog(self) -> list[Backlog]:
        if self.away:
            raise TransportUnreachable("redis", "gone")
        return [Backlog(pool=PoolName("desk"), waiting=5, delayed=2, running=3, oldest_wait_s=7.5)]

    async def workers(self) -> list[WorkerSeen]:
        offer = Offer(concurrency={"desk": 2, "shut": 1}, refused={"shut": ["does not fit"]})
        leaving = WorkerSeen(name="old", beat_age_s=0, running=0, offer=replace(offer, leaving=True))
        return [WorkerSeen(name=f"w{n}", beat_age_s=0, running=1, offer=offer) for n in range(self.workers_here)] + [
            leaving
        ]

    async def dead(self) -> dict[str, int]:
        return {"desk": 4}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_queues_and_workers_are_seen_and_a_fleet_that_is_away_is_left_out() -> None:
    board, values = Board(), Values()
    ticks = iter(range(1_000))
    around = Surroundings(MemoryJournal(), fleet=board, timer=lambda: next(ticks) / 8)  # type: ignore[arg-type]  # in part
    await around.look(values)
    board.workers_here = 5
    await around.look(values)
    board.workers_here = 1
    await around.look(values)
    desk = {
        "pool_backlog": 10.0, "pool_oldest_wait_seconds": 7.5, "pool_replicas": 1.0, "pool_concurrency": 2.0,
        "pool_utilisation": 1.0, "dead_letters": 4.0,
    }  # fmt: skip
    assert {name: dict(values.of(name)) for name in desk} == {name: {("desk",): value} for name, value in desk.items()}
    assert values.of("pool_tasks") == {("desk", "waiting"): 5, ("desk", "delayed"): 2, ("desk", "running"): 3}
    assert values.of("scaler_events_total") == {("desk", "up"): 3, ("desk", "down"): 4}
    assert values.of("journal_latency_seconds") == values.of("transport_latency_seconds") == {(): 0.125}
    board.away = True
    await around.look(values)
    assert not values.of("pool_backlog")
    assert not values.of("transport_latency_seconds")
    assert values.of("journal_latency_seconds")


# ---- over HTTP


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_metrics_are_for_keys_with_that_scope_and_thumbs_for_the_tenant_of_the_run() -> None:
    async with house() as made, opener(made.service, made.engine) as parts:
        made.app.state.service = replace(made.service, parts=parts)
        async with made.client() as acme, made.client("other") as other:
            run = (await acme.post("/v1/runs", json={"plan": "double"})).json()["id"]
            await until_ended(acme, run)
            place = f"/v1/runs/{run}/thumbs"
            told = [(await acme.post(place, json={"value": value})).json() for value in ("up", "up", "down")]
            assert told == [
                {"id": run, "value": "up", "new": True},
                {"id": run, "value": "up", "new": False},
                {"id": run, "value": "down", "new": True},
            ]
            assert (await acme.post(place, json={"value": "up", "by": "bob"})).json()["new"]
            assert (await other.post(place, json={"value": "up"})).status_code == 404
            assert (await acme.post(place, json={"value": "sideways"})).status_code == 422
            reader = await made.key("acme", "read", "run")
            async with made.client(key=reader) as limited:
                assert (await limited.get("/metrics")).status_code == 403
            text = (await acme.get("/metrics")).text
        found = exported(text)
        assert found["thumbs_total"] == {("acme", "double", "up"): 2.0, ("acme", "double", "down"): 1.0}
        assert found["runs_total"] == {("acme", "double", "succeeded"): 1.0}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_open_run_is_not_rated() -> None:
    async with house() as made, made.client() as acme:
        run = (await acme.post("/v1/runs", json={"plan": "gated"})).json()["id"]
        said = await acme.post(f"/v1/runs/{run}/thumbs", json={"value": "up"})
        assert (said.status_code, said.json()["type"]) == (409, "urn:hierarchical-orchestrator:conflict")
        made.gates.open()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_without_the_extra_the_answer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    async with house() as made, opener(made.service, made.engine) as parts:
        made.app.state.service = replace(made.service, parts=parts)
        async with made.client() as acme:
            said = await acme.get("/metrics")
    assert said.status_code == 501
    assert said.json()["remedy"] == "install hierarchical-orchestrator[prometheus]"


# ---- over OTLP


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_is_pushed_is_what_is_asked_for(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = JournalReader(await journal_of(day))
    await reader.catch_up()
    values = reader.tally.values
    with Collector().open() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        sink = open_metrics()
        assert sink is not None
        assert await anyio.to_thread.run_sync(sink.send, values.seen(), day.now_s)
        sink.close()
    for name, series in values.numbers.items():
        pushed = collector.metrics[BY_NAME[name].full.removesuffix("_total")]
        assert {labels: value for labels, (value, _) in pushed.items()} == pytest.approx(dict(series)), name
    for name, spreads in values.spreads.items():
        pushed = collector.metrics[BY_NAME[name].full]
        assert {labels: counts for labels, (_, counts) in pushed.items()} == {
            labels: tuple(spread.counts) for labels, spread in spreads.items()
        }


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_service_pushes_and_a_collector_that_is_away_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "20")
    with Collector().open() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{collector.url}/v1/metrics")
        async with house() as made, opener(made.service, made.engine), made.client() as acme:
            run = (await acme.post("/v1/runs", json={"plan": "double"})).json()["id"]
            await until_ended(acme, run)
            with anyio.fail_after(30):
                while not collector.metrics.get("orchestrator_runs"):  # noqa: ASYNC110  # nothing tells of it
                    await anyio.sleep(0.01)
            assert collector.metrics["orchestrator_runs"] == {("acme", "double", "succeeded"): (1.0, ())}
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "1")
    sink = open_metrics()
    assert sink is not None
    assert not await anyio.to_thread.run_sync(sink.send, Values().seen(), 1.0)
    sink.close()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, "/metrics is there for Prometheus"),
        ({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"}, "'grpc' is not spoken here"),
    ],
)
def test_an_exporter_that_there_is_not_is_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(PromiseError, match=words):
        open_metrics(environment)
    assert open_metrics({}) is None
    assert open_metrics({"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}) is None


# ---- limits


def test_a_flood_of_names_ends_in_one_series() -> None:
    values = Values()
    for number in range(VALUES_MAX * 2):
        values.add("tool_calls_total", f"tool-{number}")
    assert len(values.of("tool_calls_total")) == VALUES_MAX + 1
    assert values.of("tool_calls_total")[OTHER,] == VALUES_MAX
    again = Values.read(values.document())
    again.add("tool_calls_total", "one more")
    assert again.of("tool_calls_total")[OTHER,] == VALUES_MAX + 1
