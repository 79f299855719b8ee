"""Artifacts in memory, once per content."""

import hashlib
from collections.abc import Set as AbstractSet

from orchestrator.errors import ArtifactMissing
from orchestrator.ids import ArtifactDigest


class MemoryArtifacts:
    """`Artifacts` that live and die with the process. The memory journal keeps facts whole, so it refers to none."""

    def __init__(self) -> None:
        self._bytes: dict[ArtifactDigest, bytes] = {}

    async def put(self, data: bytes) -> ArtifactDigest:
        digest = ArtifactDigest("sha256:" + hashlib.sha256(data).hexdigest())
        self._bytes[digest] = bytes(data)
        return digest

    async def get(self, digest: ArtifactDigest) -> bytes:
        try:
            return self._bytes[digest]
        except KeyError:
            raise ArtifactMissing(digest, "not in this store") from None

    async def sweep(self, keep: AbstractSet[ArtifactDigest]) -> int:
        dropped = [digest for digest in self._bytes if digest not in keep]
        return sum(len(self._bytes.pop(digest)) for digest in dropped)
