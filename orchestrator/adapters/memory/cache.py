"""Kept answers in this process; the reference of the port."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from time import time

from orchestrator.adapters.cached import CacheLimits, size_of
from orchestrator.adapters.likeness import SCOPE_MAX, nearest
from orchestrator.ports.cache import NEAR_MAX, SEEN_MAX, CacheEntry, Near, Observation
from orchestrator.ports.embeddings import Vector, packed

_Name = tuple[str, str]  #: tenant, key


class MemoryCache:
    """`Cache` in dictionaries, in the order of use."""

    def __init__(self, limits: CacheLimits | None = None, now_s: Callable[[], float] = time) -> None:
        self._limits, self._now_s = limits or CacheLimits(), now_s
        self._entries: OrderedDict[_Name, tuple[CacheEntry, int]] = OrderedDict()
        self._scopes: dict[_Name, dict[str, bytes]] = {}
        self._bytes = 0

    async def get(self, tenant: str, key: str) -> CacheEntry | None:
        return self._find((tenant, key))

    def _find(self, name: _Name) -> CacheEntry | None:
        held = self._entries.get(name)
        if held is None:
            return None
        if held[0].expires_at_s <= self._now_s():
            self._forget(name)
            return None
        self._entries.move_to_end(name)
        return held[0]

    async def put(self, entry: CacheEntry) -> None:
        name = entry.tenant, entry.key
        before = self._find(name)
        if before is not None and not entry.seen:
            entry = replace(entry, seen=before.seen)
        self._forget(name)
        size = size_of(entry)
        if size > self._limits.bytes_max:
            return
        self._entries[name] = entry, size
        self._bytes += size
        if entry.scope and entry.vector:
            scope = self._scopes.setdefault((entry.tenant, entry.scope), {})
            scope[entry.key] = packed(entry.vector)
            if len(scope) > SCOPE_MAX:
                self._forget((entry.tenant, next(iter(scope))))
        while len(self._entries) > self._limits.entries_max or self._bytes > self._limits.bytes_max:
            self._forget(next(iter(self._entries)))

    async def near(self, tenant: str, scope: str, vector: Vector, most: int = NEAR_MAX) -> tuple[Near, ...]:
        rows = self._scopes.get((tenant, scope), {})
        found = nearest(rows.items(), vector, most)
        held = ((self._find((tenant, key)), similarity) for key, similarity in found)
        return tuple(Near(entry=entry, similarity=similarity) for entry, similarity in held if entry is not None)

    async def observe(self, tenant: str, key: str, seen: Observation) -> None:
        held = self._entries.get((tenant, key))
        if held is not None:
            entry = replace(held[0], seen=(*held[0].seen, seen)[-SEEN_MAX:])
            self._entries[tenant, key] = entry, held[1]

    async def drop(self, tenant: str, *, key: str | None = None, tag: str | None = None) -> int:
        names = [
            name
            for name, (entry, _) in self._entries.items()
            if name[0] == tenant and (name[1] == key or (tag is not None and tag in entry.tags))
        ]
        for name in names:
            self._forget(name)
        return len(names)

    async def aclose(self) -> None:
        self._entries.clear()
        self._scopes.clear()
        self._bytes = 0

    def _forget(self, name: _Name) -> None:
        held = self._entries.pop(name, None)
        if held is None:
            return
        entry, size = held
        self._bytes -= size
        scope = self._scopes.get((entry.tenant, entry.scope))
        if scope is not None:
            scope.pop(entry.key, None)
            if not scope:
                del self._scopes[entry.tenant, entry.scope]
