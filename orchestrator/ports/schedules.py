"""The schedules port: when which plan is to be started, and which starts are owed, kept in the store of the journal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from orchestrator.ids import JsonValue, TenantId

Missed = Literal["skip", "last", "all"]
ScheduleState = Literal["active", "paused", "done"]
NOTE_CHARS_MAX: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A plan and the moments at which it is to be started."""

    id: str
    tenant: TenantId
    name: str  #: for people
    cron: str | None = None  #: five fields; exactly one of `cron` and `at_s` is set
    at_s: float | None = None  #: once
    zone: str = "UTC"  #: IANA name in which the five fields are read
    plan: str | dict[str, JsonValue] = field(repr=False)  #: a plan's name, or a whole plan
    inputs: Mapping[str, JsonValue] = field(repr=False, default_factory=dict)
    budget: Mapping[str, JsonValue] | None = None
    lane: str = "normal"
    by: str = ""  #: the id of the key that made it, whose caps hold for its runs; empty: no key is asked for
    missed: Missed = "last"
    missed_max: int = 10  #: starts owed at most, of those missed under `all`
    state: ScheduleState = "active"
    created_at_s: float
    version: int = 0  #: of what is kept; each change counts one up
    seen_s: float  #: all moments up to here have been decided on
    owed: tuple[float, ...] = ()  #: moments that were decided on and not started yet, oldest first
    last_at_s: float | None = None  #: the newest moment that was started
    last_run: str = ""  #: its run
    note: str = ""  #: why the newest start failed
    wake_s: float | None = None  #: when it has to be looked at next; None: there is nothing to do until it changes


class Schedules(Protocol):
    """Schedules, changed by compare-and-set: of two processes that decide at once, one decides."""

    async def save(self, schedule: Schedule) -> bool:
        """Keep a schedule as its next version; False: that of this one's is not the newest any more.

        Version 0 is a new schedule. What is returned by the other methods has the version that the next `save` names.
        """
        ...

    async def of_tenant(self, tenant: TenantId) -> list[Schedule]:
        """All schedules of a tenant, oldest first."""
        ...

    async def get(self, tenant: TenantId, schedule_id: str) -> Schedule | None:
        """One schedule; None: the tenant has none of this id."""
        ...

    async def due(self, now_s: float, limit: int) -> list[Schedule]:
        """Schedules of all tenants that have to be looked at now, at most `limit`, the longest waiting first."""
        ...

    async def remove(self, tenant: TenantId, schedule_id: str) -> bool:
        """Delete a schedule; what it owes is not started any more. False: there was none."""
        ...
