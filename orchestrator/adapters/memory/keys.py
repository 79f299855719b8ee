"""API keys that live and die with the process."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.ports.keys import ApiKey


class MemoryKeys:
    """See `Keys`. For one event loop; it never awaits anything."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}

    async def add(self, key: ApiKey) -> bool:
        if key.id in self._keys:
            return False
        self._keys[key.id] = key
        return True

    async def get(self, key_id: str) -> ApiKey | None:
        return self._keys.get(key_id)

    async def all(self) -> Sequence[ApiKey]:
        return sorted(self._keys.values(), key=lambda key: (key.created_at_s, key.id))

    async def revoke(self, key_id: str, at_s: float) -> bool:
        found = self._keys.get(key_id)
        if found is not None and found.revoked_at_s is None:
            self._keys[key_id] = replace(found, revoked_at_s=at_s)
        return found is not None

    async def close(self) -> None:
        """Nothing is held."""
