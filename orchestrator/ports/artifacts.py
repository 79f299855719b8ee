"""The artifact port: large outputs, kept once by the digest of their bytes."""

from collections.abc import Set as AbstractSet
from typing import Protocol

from orchestrator.ids import ArtifactDigest


class Artifacts(Protocol):
    """Bytes by digest. Equal bytes are kept once."""

    async def put(self, data: bytes) -> ArtifactDigest:
        """Keep `data`; return its `sha256:` digest."""
        ...

    async def get(self, digest: ArtifactDigest) -> bytes:
        """The bytes of `digest`, checked against it.

        Raises:
            ArtifactMissing: unknown, or its bytes do not fit the digest.
        """
        ...

    async def sweep(self, keep: AbstractSet[ArtifactDigest]) -> int:
        """Delete every artifact not in `keep` and not referred to by the journal; return the bytes freed."""
        ...
