"""Engines for tests: memory journal, pools of the test, virtual time under trio."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.app import Engine
from workers import Pool

OpenEngine = Callable[..., AbstractAsyncContextManager[Engine]]


@pytest.fixture
def open_engine() -> OpenEngine:
    """Open an engine on a memory journal (a given one, to open a second engine on the same).

    All engines of a test share one clock: where time jumps, the wall clock would not have followed.
    """
    clocks: list[SystemClock] = []

    @asynccontextmanager
    async def opened(*pools: Pool, journal: MemoryJournal | None = None, **options: object) -> AsyncIterator[Engine]:
        clocks.extend([] if clocks else [SystemClock()])
        options.setdefault("drain_s", 0.0)
        options.setdefault("clock", clocks[0])
        async with Engine(pools=pools, journal=journal or MemoryJournal(), **options) as engine:  # type: ignore[arg-type]  # options of Engine
            yield engine

    return opened
