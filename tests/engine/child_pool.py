"""A pool whose work runs in child processes: they import it by name."""

import time

from workers import Pool, WorkContext

pool = Pool("children", concurrency=2)


@pool.worker(isolation="process")
def doze(ctx: WorkContext, seconds: float) -> float:
    """Take a while in a process of its own."""
    time.sleep(seconds)
    return seconds
