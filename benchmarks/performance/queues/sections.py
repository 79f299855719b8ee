"""What is measured: throughput, round trips, a killed worker, pools that grow; others stand beside."""

import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from benchmarks.performance.queues.peers_runner import PEERS, Peer, answers_of, producer, workers_of
from benchmarks.performance.queues.site import Site, our_producer, our_workers
from benchmarks.performance.report import Verdict, at_least, table

WORKERS: Final = 2
OURS: Final = "ours"
FLOORS: Final = ("raw", "raw-single")
CELL_S: Final = 180.0  #: one measurement at most
KILL_JOBS: Final = 200
Facts = dict[str, object]


@dataclass(slots=True)
class Options:
    """What the command line asked for."""

    jobs: int
    reps: int
    contestants: tuple[str, ...]
    folder: Path
    scale_runs: int = 10_000
    kill_wait_s: float = 60.0


@dataclass(slots=True)
class Section:
    """What one section found."""

    title: str
    table: str = ""
    facts: dict[str, list[Facts]] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)


def chosen(options: Options) -> list[Peer]:
    """The contestants that were asked for."""
    return [peer for peer in PEERS if not options.contestants or peer.name in options.contestants]


def number(facts: Facts, key: str) -> float:
    """A figure of a measurement."""
    value = facts[key]
    assert isinstance(value, int | float)
    return float(value)


def percentile(facts: Facts, share: float) -> float:
    """Of the round trips, in milliseconds."""
    times = cast(list[float], facts["times_ms"])
    return times[min(int(len(times) * share), len(times) - 1)] if times else float("nan")


def _peer_cell(site: Site, peer: Peer, jobs: int, in_flight: int) -> Facts:
    with site.redis() as redis, workers_of(peer, redis.url, workers=WORKERS, slots=peer.slots) as workers:
        before_s = workers.cpu_s()
        facts = answers_of(producer(peer, redis.url, "quick", jobs, min(in_flight, peer.in_flight_max)), CELL_S)
        facts["workers_cpu_s"] = workers.cpu_s() - before_s
        return facts


def _our_cell(site: Site, way: str, jobs: int, in_flight: int) -> Facts:
    with site.redis() as redis, our_workers(redis.url, workers=WORKERS, concurrency=100) as workers:
        before_s = workers.cpu_s()
        facts = answers_of(our_producer(site, redis.url, way, "quick", jobs, in_flight), CELL_S)
        facts["workers_cpu_s"] = workers.cpu_s() - before_s
        return facts


def _rate(facts: list[Facts]) -> float:
    good = [number(one, "done") / number(one, "seconds") for one in facts if "failure" not in one]
    return statistics.median(good) if good else 0.0


def throughput(site: Site, options: Options) -> Section:
    """Jobs that do nothing, two workers, every result back at the producer; contestants take turns."""
    found = Section("throughput: jobs per second, 2 workers, results back at the producer")
    ways = {f"{OURS} (map of one run)": "map", f"{OURS} (a run per job)": "runs"}
    for _ in range(options.reps):
        for peer in chosen(options):
            jobs = options.jobs * (4 if peer.name == "raw" else 1)
            found.facts.setdefault(peer.name, []).append(_peer_cell(site, peer, jobs, 1_000))
        for name, way in ways.items():
            found.facts.setdefault(name, []).append(_our_cell(site, way, options.jobs, 1_000))
    rates = {name: _rate(facts) for name, facts in found.facts.items()}
    raw = rates.get("raw", 0.0)
    rows = []
    for name, facts in sorted(found.facts.items(), key=lambda item: -rates[item[0]]):
        good = [one for one in facts if "failure" not in one]
        last = good[-1] if good else {}
        cpu = (
            f"{number(last, key) / number(last, 'done') * 1e6:,.0f}" if last else "-"
            for key in ("cpu_s", "workers_cpu_s")
        )
        note = "; ".join(str(one["failure"]) for one in facts if "failure" in one)
        lost = sum(int(number(one, "failed")) for one in good)
        note = f"{lost} lost " * bool(lost) + note
        rows.append([name, f"{rates[name]:,.0f}", f"{rates[name] / raw:.3f}" if raw else "-", *cpu, note])
    found.table = table(["contestant", "jobs/s", "x raw", "us/job producer", "us/job workers", "note"], rows)
    peers = {name: rate for name, rate in rates.items() if not name.startswith(OURS) and name not in FLOORS}
    best_ours = max(rate for name, rate in rates.items() if name.startswith(OURS))
    if peers:
        fastest = max(peers, key=lambda name: peers[name])
        found.verdicts.append(
            at_least(f"jobs/s, journaled, against {fastest} without a journal:", best_ours, peers[fastest], digits=0)
        )
    if raw:
        found.verdicts.append(at_least("share of bare pipelined redis-py", best_ours / raw, 0.1, digits=3))
    return found


def round_trips(site: Site, options: Options) -> Section:
    """One at a time, and a hundred in flight; ours is a whole run, from submission to its journaled result."""
    found = Section("round trip in ms, one at a time and at 100 in flight")
    rows = []
    alone, many = max(options.jobs // 20, 100), max(options.jobs // 2, 500)
    for peer in chosen(options):
        one, hundred = _peer_cell(site, peer, alone, 1), _peer_cell(site, peer, many, 100)
        found.facts[peer.name] = [one, hundred]
        rows.append(_trip_row(peer.name, one, hundred, min(100, peer.in_flight_max)))
    one, hundred = _our_cell(site, "runs", alone, 1), _our_cell(site, "runs", many, 100)
    found.facts[OURS] = [one, hundred]
    rows.append(_trip_row(f"{OURS}: a run", one, hundred, 100))
    chain = _our_cell(site, "chain", 200, 1)
    found.facts["ours: a step"] = [chain]
    per_step = "-" if "failure" in chain else f"{number(chain, 'seconds') / 200 * 1000:.2f} mean"
    rows.append([f"{OURS}: a step of a chain", per_step, "-", "-", "-", str(chain.get("failure", ""))])
    found.table = table(["contestant", "p50 alone", "p99 alone", "p50 of 100", "p99 of 100", "note"], rows)
    return found


def _trip_row(name: str, one: Facts, hundred: Facts, in_flight: int) -> list[str]:
    cells = []
    for facts in (one, hundred):
        cells += ["-" if "failure" in facts else f"{percentile(facts, share):.2f}" for share in (0.5, 0.99)]
    note = f"{in_flight} in flight" if in_flight != 100 else ""
    return [name, *cells, f"{note} {one.get('failure', '')}{hundred.get('failure', '')}".strip()]


def killed_worker(site: Site, options: Options) -> Section:
    """SIGKILL of one of two workers halfway through 200 jobs of 200 ms; another is started at once."""
    found = Section(f"SIGKILL of one of two workers amid {KILL_JOBS} jobs of 200 ms")
    rows = []
    cells: list[tuple[str, Peer | None, bool]] = []
    for peer in chosen(options):
        if peer.name == "raw-single":
            continue
        cells += [(peer.name, peer, False)] + ([(f"{peer.name}, tuned", peer, True)] if peer.tuned else [])
    for name, peer, tuned in [*cells, (f"{OURS}, lease 3 s", None, False)]:
        facts = _kill_cell(site, options, peer, tuned)
        found.facts[name] = [facts]
        rows.append([
            name, f"{facts['results']} of {KILL_JOBS}", str(facts["again"]), str(facts["twice"]),
            _seconds(facts["first_again_s"]), _seconds(facts["all_in_s"]),
        ])  # fmt: skip
    ours = found.facts[f"{OURS}, lease 3 s"][0]
    found.verdicts.append(at_least("results after a killed worker", number(ours, "results"), KILL_JOBS, digits=0))
    first = cast(float | None, ours["first_again_s"])
    found.verdicts.append(
        Verdict(
            target="redelivery starts within lease + 1 s: 4.0 s",
            measured="never" if first is None else f"{first:.2f} s",
            met=first is not None and first <= 4.0,
        )
    )
    found.table = table(
        ["contestant", "results", "run again", "ended twice", "first again after", "all in after"], rows
    )
    return found


def _seconds(value: object) -> str:
    return "never" if value is None else f"{value:.1f} s"


def _kill_cell(site: Site, options: Options, peer: Peer | None, tuned: bool) -> Facts:
    witness = options.folder / f"witness-{time.monotonic_ns()}"
    witness.touch()
    with site.redis() as redis:
        if peer is None:
            made = our_workers(redis.url, workers=WORKERS, concurrency=10, witness=witness)
        else:
            made = workers_of(peer, redis.url, workers=WORKERS, slots=peer.kill_slots, witness=witness, tuned=tuned)  # type: ignore[assignment]  # either kind of workers
        with made as workers:
            if peer is None:
                child = our_producer(site, redis.url, "map", "slow", KILL_JOBS, KILL_JOBS)
            else:
                wait_s = options.kill_wait_s
                child = producer(
                    peer, redis.url, "slow", KILL_JOBS, min(KILL_JOBS, peer.in_flight_max), witness=witness,
                    tuned=tuned, patience_s=wait_s,
                )  # fmt: skip
            end_s = time.monotonic() + options.kill_wait_s
            while _lines(witness, "ended") < KILL_JOBS // 2 and time.monotonic() < end_s:
                time.sleep(0.01)
            victim = workers.processes[0]
            killed_at_s = time.time()
            workers.kill(victim)
            workers.start()
            facts = answers_of(child, options.kill_wait_s + 30)
    return {**facts, **_after_kill(witness, killed_at_s, facts)}


def _lines(witness: Path, word: str) -> int:
    return witness.read_text().count(f" {word} ")


def _after_kill(witness: Path, killed_at_s: float, facts: Facts) -> Facts:
    began: dict[str, list[float]] = {}
    ended: dict[str, list[float]] = {}
    for line in witness.read_text().splitlines():
        at, word, job, _pid = line.split()
        (began if word == "began" else ended).setdefault(job, []).append(float(at))
    again = [times[1] for times in began.values() if len(times) > 1]
    results = (
        KILL_JOBS
        if "failure" not in facts and not facts.get("failed")
        else int(number(facts, "done"))
        if "done" in facts
        else 0
    )
    last = max((times[0] for times in ended.values()), default=killed_at_s)
    return {
        "results": results,
        "again": len(again),
        "twice": sum(len(times) > 1 for times in ended.values()),
        "first_again_s": min(again) - killed_at_s if again else None,
        "all_in_s": last - killed_at_s if results == KILL_JOBS else None,
    }


def growing(site: Site, options: Options) -> Section:
    """The same jobs on one, two and four workers."""
    found = Section(
        "a pool of 1, 2 and 4 workers: jobs of 200 ms, 10 at a time each (ideal 50/s per worker); jobs of nothing"
    )
    rows = []
    for workers in (1, 2, 4):
        with site.redis() as redis, our_workers(redis.url, workers=workers, concurrency=10):
            slow = answers_of(our_producer(site, redis.url, "map", "slow", 150 * workers, 200), CELL_S)
        with site.redis() as redis, our_workers(redis.url, workers=workers, concurrency=100):
            quick = answers_of(our_producer(site, redis.url, "map", "quick", options.jobs, 1_000), CELL_S)
        found.facts[str(workers)] = [slow, quick]
        rows.append([str(workers), f"{_rate([slow]):,.1f}", f"{_rate([quick]):,.0f}"])
    found.table = table(["workers", "jobs of 200 ms/s", "jobs of nothing/s"], rows)
    rates = [_rate([found.facts[str(workers)][0]]) for workers in (1, 2, 4)]
    found.verdicts.append(
        at_least("2 workers against 1, where workers are the limit", rates[1] / max(rates[0], 1e-9), 1.8)
    )
    found.verdicts.append(
        at_least("4 workers against 1, where workers are the limit", rates[2] / max(rates[0], 1e-9), 3.2)
    )
    return found


__all__ = ["Options", "Section", "growing", "killed_worker", "round_trips", "throughput"]
