"""Sessions in memory: the reference for every other store. They end with the process."""

from collections.abc import Sequence

from orchestrator.adapters.session_rows import is_next
from orchestrator.ids import TenantId
from orchestrator.ports.sessions import SWEEP_MAX, TURNS_READ_MAX, SessionHead, SessionKey, Turn


class MemorySessions:
    """`Sessions` for one process."""

    def __init__(self) -> None:
        self._held: dict[SessionKey, tuple[SessionHead, list[Turn]]] = {}

    async def read(self, key: SessionKey, now_s: float) -> SessionHead | None:
        found = self._held.get(key)
        return found[0] if found is not None and found[0].expires_at_s > now_s else None

    async def write(self, head: SessionHead, turns: Sequence[Turn], over: SessionHead | None) -> bool:
        is_next(head, len(turns), over)
        found = self._held.get(head.key)
        live = found is not None and found[0].expires_at_s > head.updated_at_s
        if over is None:
            if live:
                return False
            self._held[head.key] = head, list(turns)
            return True
        if found is None or not live or found[0].stamp != over.stamp:
            return False
        self._held[head.key] = head, [*found[1], *turns]
        return True

    async def turns(self, key: SessionKey, after: int, limit: int = TURNS_READ_MAX) -> list[Turn]:
        found = self._held.get(key)
        return found[1][max(after, 0) :][:limit] if found is not None else []

    async def page(self, tenant: TenantId, after: str, limit: int, now_s: float) -> list[SessionHead]:
        rows = [
            head
            for key, (head, _) in self._held.items()
            if key.tenant == tenant and key.id > after and head.expires_at_s > now_s
        ]
        return sorted(rows, key=lambda head: head.key.id)[:limit]

    async def delete(self, key: SessionKey) -> bool:
        return self._held.pop(key, None) is not None

    async def sweep(self, now_s: float, limit: int = SWEEP_MAX) -> int:
        gone = [key for key, (head, _) in self._held.items() if head.expires_at_s <= now_s][:limit]
        for key in gone:
            del self._held[key]
        return len(gone)
