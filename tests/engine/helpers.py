"""Workers of the engine's tests, and looks into a run's journal."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import pytest

from orchestrator.core import facts as f
from orchestrator.engine.handle import Run
from orchestrator.ports.journal import Journal, Recorded
from workers import Pool, WorkContext

F = TypeVar("F", bound=f.Fact)
virtual = pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)  #: only where time jumps
real = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)  #: threads and processes need true time


def pool_of(*functions: Callable[..., object], name: str = "p", concurrency: int = 1000) -> Pool:
    """A pool of async functions."""
    pool = Pool(name, concurrency=concurrency)
    for function in functions:
        pool.worker(function)  # type: ignore[call-overload]  # a decorator used as a call
    return pool


async def double(ctx: WorkContext, x: int) -> int:
    """Twice; negative numbers are refused."""
    if x < 0:
        raise ValueError(f"no negative numbers: {x}")
    return 2 * x


async def total(ctx: WorkContext, xs: list[int]) -> int:
    """The sum."""
    return sum(xs)


async def sleep_for(ctx: WorkContext, seconds: float) -> float:
    """Take a while."""
    await anyio.sleep(seconds)
    return seconds


async def hang(ctx: WorkContext) -> int:
    """Never answer."""
    await anyio.sleep_forever()
    return 0


async def records_of(journal: Journal, run_id: str) -> list[Recorded]:
    """Everything in a run's journal."""
    return await journal.read(run_id, limit=1_000_000)  # type: ignore[arg-type]  # an id


async def facts_of(run: Run, kind: type[F]) -> list[F]:
    """All facts of a kind in a run's journal."""
    return [r.fact for r in await records_of(run._engine.journal, run.id) if isinstance(r.fact, kind)]


async def kinds_of(run: Run, *leave_out: str) -> list[str]:
    """The kinds of all facts of a run, in order."""
    kinds = [r.fact.KIND for r in await records_of(run._engine.journal, run.id)]
    return [kind for kind in kinds if kind not in leave_out]


async def until(run: Run, kind: type[f.Fact], count: int = 1) -> None:
    """Wait until a run has journaled `count` facts of a kind."""
    async for record in run.events():
        count -= isinstance(record.fact, kind)
        if count == 0:
            return
    raise AssertionError(f"the run ended without {kind.__name__}")
