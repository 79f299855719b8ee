"""Copies made while many runs are under way: each is whole, keeps every rule, and lacks nothing that was signed."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from orchestrator import Engine, Plan
from orchestrator.core.checkpoints import Ledger
from orchestrator.service.audit_drill import drill
from orchestrator.service.audit_examine import examine, news
from orchestrator.settings import Settings
from tests.audit.conftest import KEY, Asker, Report
from workers import Pool

pytestmark = pytest.mark.anyio
COPIES = 20

pool = Pool("busy", concurrency=64)


@pool.worker
async def double(n: int) -> int:
    await anyio.lowlevel.checkpoint()
    return n * 2


def plan() -> Plan:
    with Plan("busy") as p:
        one = p.step(double, n=1)
        two = p.step(double, n=one.output)
        p.result(two)
    return p


async def test_twenty_copies_under_load_are_sound(tmp_path: Path, report: Report) -> None:
    settings = Settings(store=f"sqlite:///{tmp_path}/journal.db")
    frozen, sound, records, begun, allowed = plan().freeze(), [], [], 0, 0
    async with Engine(settings, pools=[pool]) as engine:
        asker = Asker(engine.runs.journal)
        done = anyio.Event()

        async def load() -> None:
            nonlocal begun
            while not done.is_set():
                if begun >= allowed:  # the load waits for the drills, or they would have more to check each time
                    await anyio.sleep(0.001)
                    continue
                run = await engine.submit(frozen)
                begun += 1
                await run.result()

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(load)
            ledger = Ledger((KEY,))
            for n in range(COPIES):
                if n % 5 == 0:
                    found = await examine(asker, ledger)
                    assert found.damaged == []
                    ledger.sign("checkpoint", news(ledger, found), at_s=float(n))
                copy = tmp_path / f"copy-{n}.db"
                allowed += 16
                while begun < allowed - 8:  # noqa: ASYNC110 # eight loaders, and a look now and then
                    await anyio.sleep(0.0005)
                await asker.ask("backup", file=str(copy))

                told = await drill(copy, settings, ledger)
                sound.append((told.sound, told.found.damaged, told.broken))
                records.append(told.found.records)
            done.set()
    whole = sound.count((True, [], []))
    report("backups under load", COPIES, missed=COPIES - whole, runs=begun, records_last=records[-1])
    assert sound == [(True, [], [])] * COPIES
    assert records == sorted(records)
    assert len(set(records)) == COPIES  # the load went on while each was made
