"""How many workers a pool should have: the autoscaler's rule, as a pure function of the backlog and the time.

Growing is at once, for work that waits costs its users; shrinking waits until the need has been lower for a whole
cool-down, for a worker that was just stopped costs a start. Nothing here starts or stops anything.
"""

from dataclasses import dataclass, replace
from typing import Final

from orchestrator.errors import PromiseError

COOLDOWN_S: Final = 30.0  #: a pool shrinks to what it needed at most within so many seconds
WORKERS_MAX: Final = 10_000  #: of one pool; a slip of the finger must not start a million processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Between what a pool is scaled.

    Raises:
        PromiseError: a number outside its range.
    """

    pool: str
    least: int  #: workers that are always there; 0 lets the pool go away while it has nothing to do
    most: int
    slots: int  #: tasks that one worker does at the same time
    cooldown_s: float = COOLDOWN_S

    def __post_init__(self) -> None:
        if not (0 <= self.least <= self.most and 1 <= self.most <= WORKERS_MAX):
            raise PromiseError(
                f"pool {self.pool}: scale is {self.least}..{self.most}",
                f"use 0 <= least <= most, with most from 1 to {WORKERS_MAX:,}",
            )
        if self.slots < 1:
            raise PromiseError(f"pool {self.pool}: {self.slots} tasks per worker", "use 1 or more")
        if not 0 <= self.cooldown_s <= 86_400:
            raise PromiseError(f"pool {self.pool}: the cool-down is {self.cooldown_s} s", "use 0 to 86,400 seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a pool has to do: the scaling signal and its parts."""

    waiting: int = 0
    delayed: int = 0
    running: int = 0

    @property
    def total(self) -> int:
        """Every task that needs, or will need, a worker. Running ones count, or a pool would shrink under its last."""
        return self.waiting + self.delayed + self.running


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the rule remembers of a pool between two looks: needs that no later one has reached, oldest first."""

    needs: tuple[tuple[float, int], ...] = ()  #: (when, workers needed), falling


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many workers a pool should have now, and why it is not the number it has."""

    workers: int
    reason: str  #: empty when nothing is to change


def needed(bounds: Bounds, load: Load) -> int:
    """Workers that this load alone asks for, within the bounds."""
    return min(max(-(-load.total // bounds.slots), bounds.least), bounds.most)


def decide(bounds: Bounds, memory: Memory, load: Load, have: int, now_s: float) -> tuple[Memory, Decision]:
    """What to do about a pool that has `have` workers, at `now_s` seconds of a clock that does not go back.

    The answer is never below what the load needs, never outside the bounds, and below `have` only where the need was
    lower during the whole cool-down: then it is the highest need within it.

    Source: the stabilisation window of Kubernetes' HorizontalPodAutoscaler, which takes the highest recommendation.
    """
    now_needed = needed(bounds, load)
    kept = tuple((at_s, need) for at_s, need in memory.needs if need > now_needed and now_s - at_s < bounds.cooldown_s)
    memory = replace(memory, needs=(*kept, (now_s, now_needed)))
    highest = memory.needs[0][1]
    if now_needed > have:
        tasks = f"{load.waiting} waiting, {load.delayed} delayed, {load.running} running"
        return memory, Decision(workers=now_needed, reason=f"{tasks}; {bounds.slots} per worker")
    if highest < have:
        why = f"needed at most {highest} for {bounds.cooldown_s:g} s" if have <= bounds.most else "above its bound"
        return memory, Decision(workers=highest, reason=why)
    return memory, Decision(workers=have, reason="")
