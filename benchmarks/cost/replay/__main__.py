"""`python -m benchmarks.cost.replay`: one mixed workload with everything that saves money off, and on.

Calls, tokens, USD, p50 and p95, and wrong answers delivered, by kind of request; what was spared is told by what spared
it, from the journal, and the bill is held against the endpoint's own ledger.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import Final

from benchmarks.cost.cache.measures import wilson
from benchmarks.cost.cache.pairs import ensured
from benchmarks.cost.replay.endpoint import ADMITS, UNSURE
from benchmarks.cost.replay.plans import plans, pools
from benchmarks.cost.replay.workload import SHARES, Request, requests
from orchestrator.app import Engine
from orchestrator.core.costs import SAVERS, Spent
from orchestrator.core.results import Degraded, Succeeded
from orchestrator.service.costing import costs_of
from orchestrator.settings import Settings

AT_ONCE: Final = 48  #: requests under way
RUNS_MAX: Final = 1_000_000  #: read back from the journal
SEED: Final = 7
SUCCESS: Final = 0.95  #: asked of routing: chosen on other requests by `benchmarks.cost.replay.calibrate`
BOLD_SUCCESS: Final = 0.9  #: the default of the settings, where the checks are believed to miss nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What is on."""

    name: str
    cache: str = "none"
    routing: bool = False
    compression: bool = False
    batch: bool = False
    delta: float = 0.01
    success: float = SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one replay brought."""

    ways: Ways
    seconds: float
    calls: int
    served: int
    tokens: int
    usd: float
    spared: dict[str, float]
    p50_s: float
    p95_s: float
    wrong: dict[str, int]  #: by kind: another answer than the true one was delivered
    unanswered: dict[str, int]  #: by kind: none was, or the model said that it is not sure
    wrong_at: tuple[int, ...]  #: numbers of the requests, so that two replays can be compared one by one
    bill_usd: float  #: the endpoint's own
    bill_calls: int


def main() -> int:
    """Replay twice or more; 1 where the journal and the endpoint's ledger differ."""
    parser = argparse.ArgumentParser(prog="benchmarks.cost.replay", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--without", action="append", default=[], choices=("routing", "compression", "batch"))
    parser.add_argument("--only", choices=("off", "exact", "semantic", "bold"), help="one of the replays alone")
    given = parser.parse_args()
    everything = {part: part not in given.without for part in ("routing", "compression", "batch")}
    ways = [
        Ways(name="off"),
        Ways(name="exact", cache="exact", **everything),
        Ways(name="semantic", cache="semantic", delta=1.0, **everything),
        Ways(name="bold", cache="exact", success=BOLD_SUCCESS, **everything),
    ]
    asked = requests(given.requests, given.seed)
    counts = Counter(one.kind for one in asked)
    print(f"{len(asked):,} requests: " + ", ".join(f"{counts[kind]:,} {kind}" for kind in SHARES))
    outcomes = []
    for one in ways:
        if given.only in (None, one.name):
            outcomes.append(asyncio.run(replay(one, asked, given.requests, given.seed)))
            _show(outcomes[-1], len(asked), outcomes[0])
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes]))
    apart = [one.ways.name for one in outcomes if abs(one.usd - one.bill_usd) > 1e-6 * max(one.bill_usd, 1)]
    if len(outcomes) > 1:
        for outcome in outcomes[1:]:
            print(f"{outcome.ways.name}: {1 - outcome.usd / outcomes[0].usd:.1%} less than off")
    if apart:
        print(f"the journal and the endpoint's ledger differ: {', '.join(apart)}")
    return 1 if apart else 0


async def replay(ways: Ways, asked: list[Request], count: int, seed: int) -> Outcome:
    """Send requests through one engine: all or some of the `count` that `seed` makes, which the endpoint knows."""
    with _endpoint(count, seed) as (port, ledger):
        made = plans(cache=ways.cache, routing=ways.routing, batch=ways.batch)
        took: list[float] = []
        wrong: Counter[str] = Counter()
        unanswered: Counter[str] = Counter()
        wrong_at: list[int] = []
        began = time.perf_counter()
        async with Engine(_settings(port, ways), pools=pools(compression=ways.compression)) as engine:
            turn = asyncio.Semaphore(AT_ONCE)

            async def one(number: int, request: Request) -> None:
                start = time.perf_counter()
                run = await engine.submit(made[request.kind], {"q": request.text})
                result = await run.result()
                took.append(time.perf_counter() - start)
                said = result.output if isinstance(result, Succeeded | Degraded) else None
                if said in (None, UNSURE):
                    unanswered[request.kind] += 1
                elif said != request.truth:
                    wrong[request.kind] += 1
                    wrong_at.append(number)
                turn.release()

            async with asyncio.TaskGroup() as group:
                for number, request in enumerate(asked):
                    await turn.acquire()
                    group.create_task(one(number, request))
            seconds = time.perf_counter() - began
            total = (await costs_of(engine.runs.journal, runs_max=RUNS_MAX)).costs.total
        bill = ledger()
    return _outcome(ways, seconds, total, took, wrong, unanswered, wrong_at, bill)


def _outcome(
    ways: Ways,
    seconds: float,
    total: Spent,
    took: list[float],
    wrong: Counter[str],
    unanswered: Counter[str],
    wrong_at: list[int],
    bill: dict[str, float],
) -> Outcome:
    cuts = quantiles(took, n=20)
    return Outcome(
        ways=ways,
        seconds=seconds,
        calls=total.calls,
        served=total.served,
        tokens=total.tokens,
        usd=total.usd,
        spared=dict(total.saved),
        p50_s=cuts[9],
        p95_s=cuts[18],
        wrong=dict(wrong),
        unanswered=dict(unanswered),
        wrong_at=tuple(sorted(wrong_at)),
        bill_usd=bill["usd"],
        bill_calls=int(bill["calls"]),
    )


def _settings(port: int, ways: Ways) -> Settings:
    prices = {"cheap": (0.15, 0.075, 0.60), "strong": (2.50, 1.25, 10.00)}
    tiers = {
        tier: {"model": model, "price": dict(zip(("input", "cached", "output"), prices[model], strict=True))}
        for tier, model in (("cheap", "cheap"), ("standard", "cheap"), ("strong", "strong"))
    }
    models: dict[str, object] = {
        "endpoints": {
            "default": {
                "base_url": f"http://127.0.0.1:{port}/v1",
                "api_key_env": "",
                "stream": False,
                "concurrency": 256,
                **({"batches": True} if ways.batch else {}),
            }
        },
        "tiers": tiers,
        "cache": {"delta": ways.delta},
    }
    if ways.cache == "semantic":
        models["cache"] = {"delta": ways.delta, "embeddings": {"folder": ensured("minilm")}}
    if ways.routing:
        models["routing"] = {
            "tiers": ("cheap", "strong"),
            "fallback": "strong",
            "detection": ADMITS,
            "success": ways.success,
        }
    if ways.batch:
        models["batch"] = {"gather_s": 1.0, "poll_s": 0.5}
    return Settings(store="memory:", open_runs_max=10_000, models=models)  # type: ignore[arg-type]  # pydantic reads it


@contextmanager
def _endpoint(count: int, seed: int) -> Iterator[tuple[int, Callable[[], dict[str, float]]]]:
    command = [sys.executable, "-m", "benchmarks.cost.replay.endpoint", str(count), str(seed)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    port = int(process.stdout.readline())

    def ledger() -> dict[str, float]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        told: dict[str, float] = json.loads(process.stdout.readline())
        return told

    try:
        yield port, ledger
    finally:
        process.kill()
        process.wait()


def _show(outcome: Outcome, of: int, first: Outcome) -> None:
    ways = outcome.ways
    on = [name for name in ("routing", "compression", "batch") if getattr(ways, name)]
    asked = f"; success asked of routing {ways.success:.0%}" if ways.routing else ""
    print(f"\n{ways.name}: cache {ways.cache}{''.join(f', {name}' for name in on)}{asked}")
    print(f"  {outcome.calls:,} calls, {outcome.served:,} answers without one")
    print(f"  {outcome.tokens:,} tokens, {outcome.usd:.4f} USD")
    spared = ", ".join(f"{saver} {outcome.spared[saver]:.4f}" for saver in SAVERS)
    print(f"  spared by: {spared} USD")
    print(f"  p50 {outcome.p50_s * 1e3:.0f} ms, p95 {outcome.p95_s * 1e3:.0f} ms, {outcome.seconds:.1f} s in all")
    wrong, silent = sum(outcome.wrong.values()), sum(outcome.unanswered.values())
    low, high = wilson(wrong, of)
    print(
        f"  wrong answers delivered: {wrong} {outcome.wrong or ''}, {wrong / of:.2%} of all ({low:.2%} to {high:.2%}); "
        f"no answer: {silent} {outcome.unanswered or ''}"
    )
    if outcome is not first:
        now, then = set(outcome.wrong_at), set(first.wrong_at)
        print(f"  against {first.ways.name}: {len(now - then)} more are wrong, {len(then - now)} are right instead")
    print(f"  the endpoint's own ledger: {outcome.bill_calls:,} calls, {outcome.bill_usd:.4f} USD")


if __name__ == "__main__":
    sys.exit(main())
