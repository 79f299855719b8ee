"""Artifacts in the database of the journal, once per content."""

import hashlib
from collections.abc import Set as AbstractSet

from orchestrator.adapters.postgres import keeping
from orchestrator.adapters.postgres.connecting import Server
from orchestrator.adapters.records import raw_digest
from orchestrator.errors import ArtifactMissing
from orchestrator.ids import ArtifactDigest


class PostgresArtifacts:
    """`Artifacts` beside the facts; open and close the journal they belong to."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def put(self, data: bytes) -> ArtifactDigest:
        digest = hashlib.sha256(data).digest()
        await self._server.do(
            lambda connection: connection.execute(
                "INSERT INTO artifacts (digest, held, body) VALUES ($1, true, $2) "
                "ON CONFLICT (digest) DO UPDATE SET held = true",
                digest,
                data,
            )
        )
        return ArtifactDigest("sha256:" + digest.hex())

    async def get(self, digest: ArtifactDigest) -> bytes:
        raw = raw_digest(digest)
        body: bytes | None = await self._server.do(
            lambda connection: connection.fetchval("SELECT body FROM artifacts WHERE digest = $1", raw)
        )
        if body is None:
            raise ArtifactMissing(digest, "not in this store")
        if hashlib.sha256(body).digest() != raw:
            raise ArtifactMissing(digest, "its bytes were changed after they were stored")
        return body

    async def sweep(self, keep: AbstractSet[ArtifactDigest]) -> int:
        kept = [raw_digest(digest) for digest in keep]
        return await self._server.do(lambda connection: keeping.sweep(connection, kept))
