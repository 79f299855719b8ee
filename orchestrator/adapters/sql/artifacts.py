"""Artifacts in the file of the SQLite journal, once per content."""

from collections.abc import Set as AbstractSet

from orchestrator.adapters.sql.writer import Writer
from orchestrator.ids import ArtifactDigest


class SqliteArtifacts:
    """`Artifacts` beside the facts; open and close the journal they belong to."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def put(self, data: bytes) -> ArtifactDigest:
        return await self._writer.submit(lambda store: store.put_artifact(data)).answer()

    async def get(self, digest: ArtifactDigest) -> bytes:
        return await self._writer.submit(lambda store: store.get_artifact(digest)).answer()

    async def sweep(self, keep: AbstractSet[ArtifactDigest]) -> int:
        return await self._writer.submit(lambda store: store.sweep_artifacts(keep)).answer()
