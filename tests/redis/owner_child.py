"""A process that owns one run: `python -m tests.redis.owner_child STORE TRANSPORT LEASE_S MOMENT`. It says `run ID`.

With MOMENT `before` or `after` it kills itself around the append that would journal the first result; with `never` it
waits until somebody else does.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import anyio

from orchestrator import Plan
from orchestrator.adapters.postgres.journal import PostgresJournal
from orchestrator.app import Engine
from orchestrator.core import facts as f
from orchestrator.ids import RunId
from orchestrator.plan.models import Plan as FrozenPlan
from orchestrator.ports.journal import Append
from orchestrator.settings import Settings
from workers import Pool, WorkContext

BRANCHES = 6
USD = 0.25  #: of each branch
GATE: list[anyio.Event] = []
WITNESS: list[int] = []  #: every start of a branch, where the workers are

pool = Pool("owned", concurrency=BRANCHES)


@pool.worker
async def work(ctx: WorkContext, number: int) -> int:
    """Spend money, then wait for the test's word; number 0 does not wait."""
    WITNESS.append(number)
    ctx.cost(usd=USD)
    if number:
        await GATE[0].wait()
    return number


def plan() -> FrozenPlan:
    """One wide step."""
    with Plan("owned") as p:
        p.result(p.map(work, id="wide", over=list(range(BRANCHES))))
    return p.freeze()


class DyingJournal(PostgresJournal):
    """Its process dies around the append that holds the first result."""

    moment = "never"

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        last = any(isinstance(fact, f.StepProduced) for entry in entries for fact in entry.facts)
        if last and self.moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        refused = await super().append(entries)
        if last and self.moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return refused


async def main() -> None:
    """Own one run until killed."""
    store, transport, lease_s, moment = sys.argv[1:]
    journal = await DyingJournal.open(store)
    journal.moment = moment  # type: ignore[attr-defined] # `open` makes one of this class
    settings = Settings(store=store, transport=transport, lease_s=float(lease_s))
    async with Engine(settings, pools=[pool], journal=journal, recover=False) as engine:
        run = await engine.submit(plan())
        print("run", run.id, flush=True)
        await run.result()


if __name__ == "__main__":
    asyncio.run(main())
