"""A storm, start to end: a fleet under load, faults from a seed, quiet, and then the account.

Usage: python -m tests.fleet.storm.storm [--steps N] [--faults N] [--minutes M] [--seed S] [--pause S]
       [--report DIR] [--keep FILE]

It goes on until all three are reached: so many steps ended, so many faults struck, so many minutes of faults went by.
`--keep` writes the figures once more to where they are kept: tests/fleet/storm/report.json is those of the full proof.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import anyio

from orchestrator.app import Engine
from orchestrator.engine.handle import Run
from orchestrator.errors import OrchestratorError
from orchestrator.plan.files import read_plan_file
from orchestrator.plan.models import Plan
from orchestrator.settings import Settings
from tests.fleet.storm import door_check, witness
from tests.fleet.storm.account import WASTE_MAX, Account, DoorAccount, Storm
from tests.fleet.storm.canaries import leaks
from tests.fleet.storm.checker import STEPS_BESIDE, check, proven
from tests.fleet.storm.door import Door, door
from tests.fleet.storm.fleet import HANDS, PLANS, POOLS, StormFleet
from tests.fleet.storm.model import BillingModel, most_in_a_window
from tests.fleet.storm.nemesis import Nemesis
from tests.service.webhooks.receiver import Receiver, receiving

ROOT = Path(__file__).resolve().parents[3]
LEFT_S = 120.0  #: after which nothing may be left in Redis: some leases, and a worker that is thawed
LOOK_S = 0.05  #: between two looks at what is due
TENANTS = ("acme", "zenith")


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
    async with receiving() as first, receiving() as second, BillingModel(storm.seed) as model:
        receivers = dict(zip(TENANTS, (first, second), strict=True))
        hooks = [one.allowed for one in receivers.values()]
        made = HANDS.submit(StormFleet, folder, ROOT, lease_s=storm.lease_s, model=model.url, hooks=hooks)
        fleet = await anyio.to_thread.run_sync(made.result)
        try:
            return await _storm(storm, fleet, model, receivers)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(fleet.close)


async def _storm(storm: Storm, fleet: StormFleet, model: BillingModel, receivers: dict[str, Receiver]) -> Account:
    from tests.fleet.storm import storm_pool

    plan = read_plan_file(PLANS / "storm.plan.yaml").plan
    client, nemesis = Client(storm, plan), Nemesis(fleet, storm.seed, storm.freeze_s)
    await anyio.to_thread.run_sync(fleet.start)
    keys = {name: await anyio.to_thread.run_sync(fleet.key, name) for name in TENANTS}
    began_s = time.monotonic()
    settings = Settings(store=fleet.store, transport="memory:", pools=(POOLS,))
    pools = [storm_pool.calculating, storm_pool.publishing, storm_pool.asking]
    async with (
        Engine(settings, pools=pools, recover=False, owns="nothing") as engine,
        door(fleet.url, keys, receivers, storm.seed) as tenants,
    ):
        await tenants.begin()
        calm_s = await _weather(storm, engine, client, nemesis, tenants)
        findings, records_of = await check(
            engine.runs.journal, client.acknowledged, seen := witness.lines_of(fleet.witness)
        )
        wrong = findings.wrong
        wrong += await client.again(engine)
        wrong += await door_check.shown(tenants)
        wrong += await left_behind(fleet)
        for tenant in tenants.tenants:
            for run in sorted(tenant.runs):
                records_of[run] = await proven(engine.runs.journal, run, wrong)
            for job in tenant.jobs:
                wrong += door_check.journaled(job, records_of[job.run])
        wrong += door_check.strangers_work(tenants, seen)
        wrong += most_in_a_window(model.asked, nemesis.forgot_s())
        attempts = witness.attempts_of(records_of, wrong)
        bills = door_check.billed(model.asked, {run: records_of[run] for t in tenants.tenants for run in t.runs}, wrong)
        scanned, found = await leaks(fleet, tenants, records_of)
        wrong += found
        jobs = [job for tenant in tenants.tenants for job in tenant.jobs]
        at_door = DoorAccount(
            jobs=len(jobs),
            cancelled=sum(job.told.get("status") == "cancelled" for job in jobs),
            conversations=len({(tenant.name, name) for tenant in tenants.tenants for name, _ in tenant.turns}),
            turns=sum(len(tenant.turns) for tenant in tenants.tenants),
            streams=sum(job.followed for job in jobs),
            reconnects=sum(tenant.reconnects for tenant in tenants.tenants),
            messages=sum(len(tenant.receiver.got) for tenant in tenants.tenants),
            told_again=sum(door_check.told_again(tenant, nemesis.struck, wrong) for tenant in tenants.tenants),
            summaries=bills["summaries"],
            calls=bills["calls"],
            calls_unknown=bills["unknown"],
            bypass=door_check.bypassed(jobs, seen, records_of, wrong),
            scanned_bytes=scanned,
            answers=dict(sum((tenant.replies for tenant in tenants.tenants), Counter[str]())),
        )
    return Account(
        storm=storm, findings=findings, door=at_door, results=witness.results_of(seen, attempts, wrong),
        at_once=witness.both_at_once(seen, nemesis.struck, storm.lease_s, wrong),
        faults=nemesis.counts, lasted_s=time.monotonic() - began_s,
        faults_s=nemesis.lasted_s(), gaps_s=nemesis.gaps_s(), calm_s=calm_s,
        restarts=sum(member.starts for member in fleet.members),
        repeated=len(client.requests), log=nemesis.said,
    )  # fmt: skip


async def _weather(storm: Storm, engine: Engine, client: Client, nemesis: Nemesis, tenants: Door) -> float:
    """The load and the faults, until it is enough and everything has ended; seconds from the last fault to that."""
    draw, began_s, ended = random.Random(storm.seed + 2), time.monotonic(), anyio.Event()

    async def load() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(client.load, engine)
            group.start_soon(tenants.load, lambda: client.enough)
        ended.set()

    async with anyio.create_task_group() as group:
        group.start_soon(load)
        while not client.ended and time.monotonic() - began_s < storm.calm_s:  # noqa: ASYNC110  # faults go on beside
            await anyio.sleep(0.1)  # the first run has ended: everybody is up
        due_s = time.monotonic() + draw.uniform(*storm.every_s)
        while not client.enough:
            while time.monotonic() < due_s:
                await anyio.to_thread.run_sync(nemesis.look)
                await anyio.sleep(min(LOOK_S, max(due_s - time.monotonic(), 0.0)))
            await anyio.to_thread.run_sync(nemesis.strike)
            due_s = nemesis.struck_s[-1] + draw.uniform(*storm.every_s)
            client.enough = (
                client.ended * (storm.branches + STEPS_BESIDE) >= storm.steps
                and len(nemesis.struck_s) >= storm.faults_min
                and nemesis.lasted_s() >= storm.faults_s
            )
        await anyio.to_thread.run_sync(nemesis.end)
        calm_from_s = time.monotonic()
        with anyio.move_on_after(storm.calm_s) as patience:
            while not ended.is_set():
                await anyio.to_thread.run_sync(nemesis.fleet.keep_alive)
                await anyio.sleep(0.1)
        if patience.cancelled_caught:
            group.cancel_scope.cancel()
    return time.monotonic() - calm_from_s


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
    parser.add_argument("--pause", type=float, default=0.05, help="seconds that a pure step takes")
    parser.add_argument("--report", type=Path, default=Path("storm-report"))
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that servers and processes end too
    given.report.mkdir(parents=True, exist_ok=True)
    storm = Storm(
        steps=given.steps,
        seed=given.seed,
        faults_min=given.faults,
        faults_s=given.minutes * 60,
        lease_s=given.lease,
        pause_s=given.pause,
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
