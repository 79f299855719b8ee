"""Floor of the sessions: bare asyncio tasks, nothing else."""

import asyncio

from benchmarks.performance.cell import Job, Probe, main, sessions, sleeping_step


async def session(run: int, sleep_s: float) -> int:
    """Three sleeping steps in a row."""
    number = run
    for _ in range(3):
        number = await sleeping_step(number, sleep_s)
    return number


async def start_all(runs: int, sleep_s: float) -> list[int]:
    """All sessions at once."""
    return list(await asyncio.gather(*(session(run, sleep_s) for run in range(runs))))


async def many_sessions(_job: Job, probe: Probe) -> None:
    """Sessions at once."""
    await sessions(probe, start_all)


if __name__ == "__main__":
    main({"sessions": many_sessions})
