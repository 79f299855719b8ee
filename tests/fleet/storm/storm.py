"""A storm, start to end: a fleet under load, faults from a seed, quiet, and then the account.

Usage: python -m tests.fleet.storm.storm [--steps N] [--faults N] [--minutes M] [--seed S] [--report DIR] [--keep FILE]

It goes on until all three are reached: so many steps ended, so many faults struck, so many minutes of faults went by.
`--keep` writes the figures once more to where they are kept: tests/fleet/storm/report.json is those of the full proof.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from orchestrator.app import Engine
from orchestrator.engine.handle import Run
from orchestrator.errors import OrchestratorError
from orchestrator.plan.files import read_plan_file
from orchestrator.plan.models import Plan
from orchestrator.settings import Settings
from tests.fleet.storm.checker import RULES, STEPS_BESIDE, Findings, check
from tests.fleet.storm.fleet import POOLS, StormFleet
from tests.fleet.storm.nemesis import Nemesis

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
LEFT_S = 120.0  #: after which nothing may be left in Redis: some leases, and a worker that is thawed
WASTE_MAX = 0.05  #: of all steps, executed beyond once


@dataclass(frozen=True, kw_only=True)
class Storm:
    """How large, and how hard."""

    steps: int
    seed: int
    branches: int = 24  #: per run
    pause_s: float = 0.05  #: of a pure step
    open_runs: int = 12  #: at the same time
    every_s: tuple[float, float] = (1.0, 5.0)  #: between two faults
    freeze_s: tuple[float, float] = (1.0, 20.0)
    lease_s: float = 10.0  #: the product's default
    calm_s: float = 600.0  #: after the last fault every run must end within this
    faults_min: int = 0  #: the load goes on until so many faults struck
    faults_s: float = 0.0  #: and until there were faults for so long


@dataclass(kw_only=True)
class Account:
    """What a storm came to."""

    storm: Storm
    findings: Findings
    faults: Counter[str]
    lasted_s: float
    faults_s: float  #: from the first fault to the last
    gaps_s: list[float]  #: between the beginnings of two faults
    calm_s: float  #: from the last fault to the last end
    restarts: int
    repeated: int  #: requests sent once more afterwards, each answered with the run that it had made
    log: list[str] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        found = self.findings
        return {
            "seed": self.storm.seed, "runs": found.runs, "steps": found.steps, "executions": found.begun,
            "waste": round(found.waste, 5), "waste_max": WASTE_MAX, "effects": found.effects,
            "effects_begun": found.effects_begun, "effects_landed_late": found.landed_late,
            "pure_begun_after_passed": found.late,
            "adoptions": found.adoptions, "leases_lost": found.lost, "faults": dict(self.faults.most_common()),
            "faults_total": sum(self.faults.values()), "processes_started": self.restarts,
            "faults_s": round(self.faults_s, 1), "fault_each_s": quantiles(self.gaps_s),
            "date": time.strftime("%Y-%m-%d"), "rules": RULES, "repeated": self.repeated,
            "lasted_s": round(self.lasted_s, 1), "calm_s": round(self.calm_s, 1),
            "wrong": found.wrong[:100],
            "cores": os.cpu_count(), "load_1m": os.getloadavg()[0],
        }  # fmt: skip

    def markdown(self) -> str:
        found = self.findings
        rows = "\n".join(f"| {name} | {count} |" for name, count in self.faults.most_common())
        wrong = "\n".join(f"- {line}" for line in found.wrong[:100]) or "Nothing."
        return (
            f"# Kill storm, seed {self.storm.seed}\n\n"
            f"{found.runs:,} runs, {found.steps:,} steps in {self.lasted_s:.0f} s on {os.cpu_count()} cores; "
            f"{sum(self.faults.values())} faults in {self.faults_s:.0f} s; every run had "
            f"ended {self.calm_s:.0f} s after the last one.\n\n"
            f"Executions {found.begun:,}: waste {found.waste:.2%} (at most {WASTE_MAX:.0%}), of it {found.late} pure "
            f"ones begun after their step had passed. {found.effects:,} effects in {found.effects_begun:,} attempts; "
            f"{found.landed_late} landed after their step had passed, from a worker frozen in the middle of one. "
            f"{found.adoptions} adoptions, {found.lost} attempts lost, {self.restarts} processes started.\n\n"
            f"| Fault | Times |\n| --- | --- |\n{rows}\n\n## What was wrong\n\n{wrong}\n"
        )


def quantiles(values: list[float]) -> dict[str, float]:
    """The least, the middle and the most of some seconds; of none, nothing."""
    ordered = sorted(values)
    places = {"least": 0, "middle": len(ordered) // 2, "most": -1}
    return {name: round(ordered[place], 2) for name, place in places.items()} if ordered else {}


class Client:
    """Hands runs in until enough steps are on their way; whatever is acknowledged must come to its end."""

    def __init__(self, storm: Storm, plan: Plan) -> None:
        self._storm, self._plan = storm, plan
        self._draw = random.Random(storm.seed + 1)
        self.acknowledged: dict[str, list[int]] = {}  #: of each run: what it squares
        self.requests: dict[str, str] = {}  #: of each idempotency key: the run that it made
        self.ended = 0
        self.enough = False

    async def one(self, engine: Engine, number: int) -> None:
        """A run: handed in until it is acknowledged, waited for until it has ended."""
        numbers = [self._draw.randrange(1_000) for _ in range(self._storm.branches)]
        key = f"storm-{self._storm.seed}-{number}"
        run = await self._hand_in(engine, key, numbers)
        self.acknowledged[run.id], self.requests[key] = numbers, run.id
        while True:
            try:
                await run.result()
                break
            except OrchestratorError:
                await anyio.sleep(0.2)
        self.ended += 1

    async def _hand_in(self, engine: Engine, key: str, numbers: list[int]) -> Run:
        inputs = {"numbers": numbers, "pause": self._storm.pause_s}
        while True:
            try:
                return await engine.submit(self._plan, inputs, idempotency_key=key)  # type: ignore[arg-type]  # JSON
            except OrchestratorError:
                await anyio.sleep(0.2)

    async def again(self, engine: Engine) -> list[str]:
        """Every request once more: what is wrong with the answers."""
        wrong = []
        for key, run_id in self.requests.items():
            found = await self._hand_in(engine, key, self.acknowledged[run_id])
            if found.id != run_id:
                wrong.append(f"{run_id}: its request, sent once more, made {found.id}")
        return wrong

    async def load(self, engine: Engine) -> None:
        """Keep so many runs open until their steps are enough."""
        per_run = self._storm.branches + STEPS_BESIDE
        numbers = iter(range(10**9))

        async def lane() -> None:
            while not (self.enough and len(self.acknowledged) * per_run >= self._storm.steps):
                await self.one(engine, next(numbers))

        async with anyio.create_task_group() as group:
            for _ in range(self._storm.open_runs):
                group.start_soon(lane)


async def run_storm(storm: Storm, folder: Path) -> Account:
    """Let it happen; the account says what was wrong."""
    from tests.fleet.storm import storm_pool

    fleet = await anyio.to_thread.run_sync(lambda: StormFleet(folder, ROOT, lease_s=storm.lease_s))
    try:
        return await _storm(storm, fleet, [storm_pool.calculating, storm_pool.publishing])
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(fleet.close)


async def _storm(storm: Storm, fleet: StormFleet, pools: list[object]) -> Account:
    plan = read_plan_file(HERE / "storm.plan.yaml").plan
    client, nemesis = Client(storm, plan), Nemesis(fleet, storm.seed, storm.freeze_s)
    draw = random.Random(storm.seed + 2)
    await anyio.to_thread.run_sync(fleet.start)
    began_s = time.monotonic()
    settings = Settings(store=fleet.store, transport="memory:", pools=(POOLS,))
    async with Engine(settings, pools=pools, recover=False, owns="nothing") as engine:  # type: ignore[arg-type]  # pools
        async with anyio.create_task_group() as group:
            group.start_soon(client.load, engine)
            while not client.ended and time.monotonic() - began_s < storm.calm_s:  # noqa: ASYNC110  # faults go on beside
                await anyio.sleep(0.1)  # the first run has ended: everybody is up
            while not client.enough:
                pause_until = time.monotonic() + draw.uniform(*storm.every_s)
                while time.monotonic() < pause_until:
                    await anyio.to_thread.run_sync(nemesis.look)
                    await anyio.sleep(0.1)
                await anyio.to_thread.run_sync(nemesis.strike)
                steps = client.ended * (storm.branches + STEPS_BESIDE)
                client.enough = (
                    steps >= storm.steps
                    and len(nemesis.struck_s) >= storm.faults_min
                    and nemesis.lasted_s() >= storm.faults_s
                )
            await anyio.to_thread.run_sync(nemesis.end)
            calm_from_s = time.monotonic()
            with anyio.move_on_after(storm.calm_s) as patience:
                while client.ended < len(client.acknowledged):
                    await anyio.to_thread.run_sync(fleet.keep_alive)
                    await anyio.sleep(0.1)
            calm_s = time.monotonic() - calm_from_s
            if patience.cancelled_caught:
                group.cancel_scope.cancel()
        findings = await check(engine.runs.journal, client.acknowledged, fleet.witness)
        findings.wrong += await client.again(engine)
        findings.wrong += await left_behind(fleet)
    return Account(
        storm=storm, findings=findings, faults=nemesis.counts, lasted_s=time.monotonic() - began_s,
        faults_s=nemesis.lasted_s(), gaps_s=nemesis.gaps_s(), calm_s=calm_s,
        restarts=sum(member.starts for member in fleet.members),
        repeated=len(client.requests), log=nemesis.said,
    )  # fmt: skip


async def left_behind(fleet: StormFleet) -> list[str]:
    """What still waits or is held in Redis although every run has ended; it is given time to be taken back."""
    until_s = time.monotonic() + LEFT_S
    while left := await anyio.to_thread.run_sync(fleet.left):
        if time.monotonic() > until_s:
            return [f"{left} tasks are left in Redis"]
        await anyio.sleep(1.0)
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description="A kill storm on real processes.")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--lease", type=float, default=10.0)
    parser.add_argument("--report", type=Path, default=Path("storm-report"))
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that servers and processes end too
    given.report.mkdir(parents=True, exist_ok=True)
    storm = Storm(
        steps=given.steps, seed=given.seed, faults_min=given.faults, faults_s=given.minutes * 60, lease_s=given.lease
    )
    with tempfile.TemporaryDirectory(prefix="storm-") as folder:
        account = anyio.run(run_storm, storm, Path(folder))
        for log in Path(folder).glob("*.log"):
            (given.report / log.name).write_bytes(log.read_bytes())
    figures = json.dumps(account.document(), indent=1) + "\n"
    for path in [given.report / "storm.json", *([given.keep] if given.keep else [])]:
        path.write_text(figures)
    (given.report / "storm.md").write_text(account.markdown())
    (given.report / "faults.txt").write_text("\n".join(account.log) + "\n")
    print(account.markdown())
    raise SystemExit(bool(account.findings.wrong) or account.findings.waste > WASTE_MAX)


if __name__ == "__main__":
    main()
