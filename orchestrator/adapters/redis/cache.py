"""Kept answers that a fleet shares. Like ones are found by the server's vector sets where it has them, else here."""

from collections.abc import Callable
from dataclasses import replace
from time import time
from typing import Final, cast

from orchestrator.adapters.cached import CacheLimits, entry_bytes, entry_of, size_of
from orchestrator.adapters.likeness import SCOPE_MAX, nearest
from orchestrator.adapters.redis import scripts
from orchestrator.adapters.redis.limits import NAMESPACE
from orchestrator.adapters.redis.wire import Argument, Wire, mapping_of
from orchestrator.errors import CacheError, TransportError
from orchestrator.ports.cache import NEAR_MAX, SEEN_MAX, CacheEntry, Near, Observation
from orchestrator.ports.embeddings import Vector, packed, unpacked

SPARE: Final = 4  #: neighbours asked for beyond those wanted: some may be gone by now


class RedisCache:
    """`Cache` on one server; one command at a time, each under the deadline of a call. Expired entries make room when
    they are met, or when the limits are."""

    def __init__(
        self,
        url: str,
        limits: CacheLimits | None = None,
        *,
        namespace: str = NAMESPACE,
        now_s: Callable[[], float] = time,
    ) -> None:
        self._wire = Wire(url, name="orchestrator-cache")
        self._limits, self._ns, self._now_s = limits or CacheLimits(), namespace, now_s
        self._vector_sets: bool | None = None  #: None: the server was not asked yet

    async def get(self, tenant: str, key: str) -> CacheEntry | None:
        found = cast(list[bytes], await self._run("get", tenant, key))
        if not found:
            return None
        body, vector, *seen = found
        entry = entry_of(body, self._wire.where)
        return replace(entry, vector=unpacked(vector), seen=tuple(map(_observed, seen)))

    async def put(self, entry: CacheEntry) -> None:
        scope = entry.scope if entry.vector else ""
        sets = bool(scope) and await self.has_vector_sets()
        await self._run(
            "put",
            entry.tenant,
            entry.key,
            entry_bytes(entry),
            repr(entry.expires_at_s),
            size_of(entry),
            self._limits.entries_max,
            self._limits.bytes_max,
            SEEN_MAX,
            scope,
            packed(entry.vector),
            1 if sets else 0,
            SCOPE_MAX,
            len(entry.seen),
            *map(_told, entry.seen),
            *entry.tags,
        )

    async def near(self, tenant: str, scope: str, vector: Vector, most: int = NEAR_MAX) -> tuple[Near, ...]:
        if await self.has_vector_sets():
            asked = ("VSIM", self._named("v", tenant, scope), "FP32", packed(vector), "WITHSCORES", "COUNT")
            answer = mapping_of(await self._call(*asked, most + SPARE))
            # The server's score is (1 + cosine) / 2.
            rows = [(key.decode(), 2.0 * float(score) - 1.0) for key, score in answer.items()]
            rows.sort(key=lambda row: -row[1])
        else:
            held = mapping_of(await self._call("HGETALL", self._named("w", tenant, scope)))
            rows = nearest(((key.decode(), data) for key, data in held.items()), vector, most + SPARE)
        found: list[Near] = []
        for key, similarity in rows:
            entry = await self.get(tenant, key)
            if entry is not None:
                found.append(Near(entry=entry, similarity=similarity))
            if len(found) == most:
                break
        return tuple(found)

    async def observe(self, tenant: str, key: str, seen: Observation) -> None:
        await self._run("see", tenant, key, _told(seen), SEEN_MAX)

    async def drop(self, tenant: str, *, key: str | None = None, tag: str | None = None) -> int:
        return cast(int, await self._run("drop", tenant, key or "", tag or ""))

    async def aclose(self) -> None:
        await self._wire.close()

    async def has_vector_sets(self) -> bool:
        """Whether the server finds like vectors itself: asked, never guessed from a version."""
        if self._vector_sets is None:
            (row,) = cast(list[object], await self._call("COMMAND", "INFO", "VSIM"))
            self._vector_sets = bool(row)
        return self._vector_sets

    def _named(self, part: str, tenant: str, name: str) -> str:
        return f"{self._ns}:cache:{part}:{len(tenant.encode())}:{tenant}:{name}"

    async def _run(self, operation: str, *words: Argument) -> object:
        try:
            return await self._wire.run(scripts.CACHE, self._ns, operation, repr(self._now_s()), *words)
        except TransportError as error:
            raise CacheError(self._wire.where, str(error)) from error

    async def _call(self, *words: Argument) -> object:
        try:
            return await self._wire.call(*words)
        except TransportError as error:
            raise CacheError(self._wire.where, str(error)) from error


def _told(seen: Observation) -> str:
    return f"{seen.similarity:.4f}{'+' if seen.same else '-'}"


def _observed(data: bytes) -> Observation:
    return Observation(similarity=float(data[:-1]), same=data.endswith(b"+"))
