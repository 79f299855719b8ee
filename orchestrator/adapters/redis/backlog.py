"""Work per pool, as the server counts it."""

from typing import cast

from orchestrator.ids import PoolName
from orchestrator.ports import tasks as t


def backlog_of(row: list[object], now_s: float) -> t.Backlog:
    """One line of what backlog.lua says."""
    name, delayed, lanes, kept = cast(tuple[bytes, int, list[tuple[int, int, bytes]], int], row)
    oldest = [float(sent) for _waiting, _running, sent in lanes if sent]
    return t.Backlog(
        pool=PoolName(name.decode()),
        waiting=sum(waiting for waiting, _running, _sent in lanes),
        delayed=delayed,
        running=kept + sum(running for _waiting, running, _sent in lanes),
        oldest_wait_s=max(now_s - min(oldest), 0.0) if oldest else 0.0,
        by_lane={lane: waiting for lane, (waiting, _running, _sent) in zip(t.LANES, lanes, strict=True)},
    )
