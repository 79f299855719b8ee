"""Schedules in memory: the reference for the other stores."""

from dataclasses import replace

from orchestrator.ids import TenantId
from orchestrator.ports.schedules import Schedule


class MemorySchedules:
    """`Schedules` that live and die with the process."""

    def __init__(self) -> None:
        self._held: dict[str, Schedule] = {}

    async def save(self, schedule: Schedule) -> bool:
        held = self._held.get(schedule.id)
        if (held.version if held is not None else 0) != schedule.version:
            return False
        self._held[schedule.id] = replace(schedule, version=schedule.version + 1)
        return True

    async def of_tenant(self, tenant: TenantId) -> list[Schedule]:
        found = [one for one in self._held.values() if one.tenant == tenant]
        return sorted(found, key=lambda one: (one.created_at_s, one.id))

    async def get(self, tenant: TenantId, schedule_id: str) -> Schedule | None:
        held = self._held.get(schedule_id)
        return held if held is not None and held.tenant == tenant else None

    async def due(self, now_s: float, limit: int) -> list[Schedule]:
        found = [(one.wake_s, one.id, one) for one in self._held.values() if one.wake_s is not None]
        return [one for wake_s, _, one in sorted(found, key=lambda due: due[:2]) if wake_s <= now_s][:limit]

    async def remove(self, tenant: TenantId, schedule_id: str) -> bool:
        if await self.get(tenant, schedule_id) is None:
            return False
        del self._held[schedule_id]
        return True
