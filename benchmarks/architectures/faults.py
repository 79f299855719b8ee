"""Injected faults: workers that die and answers that are wrong on purpose, and what is left of a run after them."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from orchestrator import Budget, Engine, Plan
from orchestrator.core import facts as f
from workers import Pool, WorkContext

mortals = Pool("mortals", concurrency=2, isolation="process")


@mortals.worker
def square(ctx: WorkContext, number: int, deadly: bool, folder: str) -> int:
    """The square of a number; a deadly task kills its process with SIGKILL the first time."""
    mark = Path(folder) / f"died-{number}"
    if deadly and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What became of a run whose workers died."""

    right: int
    of: int
    killed: int
    seconds: float


async def killed_workers(count: int, deadly: int, folder: Path) -> Recovered:
    """`count` steps in child processes, of which `deadly` are killed in the middle of their first attempt."""
    with Plan("mortals", inputs={"items": {"type": "array"}}) as plan:
        step = plan.map(
            square,
            over=plan.inputs.items,
            with_={
                "number": "${{ item.number }}",
                "deadly": "${{ item.deadly }}",
                "folder": str(folder),
            },
            retry={"attempts": 3, "backoff": "10ms..20ms", "errors": ["resource", "worker"]},
        )
        plan.result(step)
    items = [{"number": number, "deadly": number < deadly} for number in range(count)]
    async with Engine(pools=[mortals], store="memory:") as engine:
        run = await engine.submit(plan.freeze(), {"items": items}, budget=Budget(steps=count + 10))  # type: ignore[dict-item]  # plain data
        await run.result()
        records = await engine.runs.journal.read(run.id, limit=100_000)
    ended = records[-1].fact
    output = ended.output if isinstance(ended, f.RunEnded) and isinstance(ended.output, list) else []
    return Recovered(
        right=sum(value == number * number for number, value in enumerate(output)),
        of=count,
        killed=sum((folder / f"died-{number}").exists() for number in range(count)),  # a few local files
        seconds=records[-1].fact.at_s - records[0].fact.at_s,
    )
