"""Letting submissions in: how much of a tenant may be open, in a lane and altogether, before the next one is refused.

A run counts from the moment it is admitted, under the id it will have, so that many at once do not slip past a limit
together. Where other processes take submissions for the same journal, each knows what the others let in a second later.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from orchestrator.ids import RunId
from orchestrator.ports.journal import RunQuery
from orchestrator.service.http.access import Caller
from orchestrator.service.http.limits import RETRY_AFTER_S
from orchestrator.service.http.parts import Service
from orchestrator.service.http.problems import Problem, retry_after

LOOK_S: Final = 1.0  #: between two looks at what is open
LOOK_AGAIN_S: Final = 0.05  #: the same, before somebody is refused for what may have ended meanwhile
COUNTED_MAX: Final = 100_000  #: open runs that are counted
Place = tuple[str, str]  #: tenant and lane


class Admission:
    """The open runs of a service by tenant and lane."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._counts: Counter[Place] = Counter()
        self._late: dict[RunId, Place] = {}  #: admitted since the last look began, or not in the journal yet
        self._entering: dict[RunId, Place] = {}
        self._looked_s = float("-inf")

    async def look(self, who: Caller, lane: str) -> None:
        """Refuse a submission for which there is no room.

        Raises:
            Problem: there is none, or the caller may not use the lane.
        """
        if who.caps.lanes is not None and lane not in who.caps.lanes:
            said = f"the key {who.key_id} may use the lanes {', '.join(who.caps.lanes)}, not {lane}"
            raise Problem(403, "forbidden", said, remedy="name one of these lanes, or use another key")
        await self._count(LOOK_S)
        if self._refusal(who, lane) is not None:
            await self._count(LOOK_AGAIN_S)
        refusal = self._refusal(who, lane)
        if refusal is not None:
            raise refusal

    @contextmanager
    def place(self, who: Caller, lane: str, run_id: RunId) -> Iterator[None]:
        """Count a run that is about to be submitted; where the block fails, it is not counted any more.

        Raises:
            Problem: there is no room.
        """
        refusal = self._refusal(who, lane)
        if refusal is not None:
            raise refusal
        spot = (str(who.tenant), lane)
        self._counts[spot] += 1
        self._late[run_id] = self._entering[run_id] = spot
        try:
            yield
        except BaseException:
            self.drop(run_id)
            raise
        finally:
            self._entering.pop(run_id, None)

    def rename(self, run_id: RunId, real: RunId) -> None:
        """A run that was counted has another id. If it was there before, it counts twice until the next look."""
        spot = self._late.pop(run_id, None)
        if spot is not None:
            self._counts[spot] -= real in self._late
            self._late[real] = spot

    def drop(self, run_id: RunId) -> None:
        """A run that was counted does not exist."""
        spot = self._late.pop(run_id, None)
        if spot is not None:
            self._counts[spot] -= 1

    def _refusal(self, who: Caller, lane: str) -> Problem | None:
        limits = self._service.limits
        in_lane = self._counts[str(who.tenant), lane]
        if in_lane >= limits.queue_depth:
            most = f"{limits.queue_depth:,} may be"
            return _full(f"{in_lane:,} runs of the tenant are open in the lane {lane}, and {most}")
        capped = limits.open_runs_per_tenant if who.caps.open_runs is None else who.caps.open_runs
        together = sum(count for place, count in self._counts.items() if place[0] == who.tenant)
        if together >= capped:
            return _full(f"{together:,} runs of the tenant are open, and {capped:,} may be")
        return None

    async def _count(self, older_s: float) -> None:
        """See what is open, if the last look is longer ago than this."""
        engine, now_s = self._service.engine, self._service.clock.now_s()
        if 0 <= now_s - self._looked_s < older_s:
            return
        self._looked_s, self._late = now_s, dict(self._entering)
        if engine.owning is None:
            drivers = (driver for driver in engine.drivers() if driver.accepted.parent is None and not driver.over)
            found = {driver.run_id: (driver.tenant, driver.accepted.lane) for driver in drivers}
        else:
            query = RunQuery(status=("open",), top_level=True, limit=COUNTED_MAX)
            found = {row.run_id: (str(row.tenant), row.lane) for row in await self._service.journal.runs(query)}
        self._counts = Counter((found | self._late).values())


def _full(said: str) -> Problem:
    remedy = "try again after the time that Retry-After names"
    return Problem(429, "queue-full", said, remedy=remedy, headers=retry_after(RETRY_AFTER_S))
