"""The three step bodies of the eagerness measurement, and the delays that they saw."""

import asyncio
import time

from benchmarks.performance.cell import Probe

SLOW_S = 1.0
QUICK_S = 0.05


class EagerClock:
    """Notes when the quick step ended and when its dependent started, per run."""

    def __init__(self) -> None:
        self.ended_s: dict[int, float] = {}
        self.started_s: dict[int, float] = {}
        self.slow_ended_s: dict[int, float] = {}

    async def slow(self, run: int) -> int:
        """The sibling that takes a second."""
        await asyncio.sleep(SLOW_S)
        self.slow_ended_s[run] = time.perf_counter()
        return run

    async def quick(self, run: int) -> int:
        """The step that takes 50 ms."""
        await asyncio.sleep(QUICK_S)
        self.ended_s[run] = time.perf_counter()
        return run

    async def dependent(self, run: int) -> int:
        """The step that needs only the quick one."""
        self.started_s[run] = time.perf_counter()
        return run


def report(clock: EagerClock, probe: Probe) -> None:
    """Put the delays, seconds, into the probe's facts.

    Raises:
        AssertionError: some run did not run all three steps.
    """
    runs = probe.job["runs"]
    if not len(clock.ended_s) == len(clock.started_s) == len(clock.slow_ended_s) == runs:
        raise AssertionError(f"{runs} runs, but {len(clock.started_s)} dependents started")
    probe.facts["delays_s"] = [clock.started_s[run] - clock.ended_s[run] for run in sorted(clock.started_s)]
