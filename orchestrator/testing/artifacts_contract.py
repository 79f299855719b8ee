"""What any store of artifacts must do: subclass `ArtifactsContract`, supply the fixture `artifacts`. Needs pytest."""

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import ArtifactMissing
from orchestrator.ids import ArtifactDigest
from orchestrator.ports.artifacts import Artifacts


def digest_of_bytes(data: bytes) -> ArtifactDigest:
    """The name of these bytes."""
    return ArtifactDigest("sha256:" + hashlib.sha256(data).hexdigest())


class ArtifactsContract:
    """What any store of artifacts must do. Subclasses supply the fixture `artifacts`: open and empty."""

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.binary(max_size=2_000))
    async def test_bytes_come_back_under_their_digest(self, artifacts: Artifacts, data: bytes) -> None:
        digest = await artifacts.put(data)

        assert digest == digest_of_bytes(data)
        assert await artifacts.get(digest) == data

    async def test_equal_bytes_are_kept_once(self, artifacts: Artifacts) -> None:
        data = b"x" * 100_000
        assert await artifacts.put(data) == await artifacts.put(bytes(data))

        assert await artifacts.sweep(set()) == 100_000

    @pytest.mark.parametrize("digest", [digest_of_bytes(b"never put"), "sha256:ab", "md5:" + "0" * 64, "", "sha256:zz"])
    async def test_what_is_not_there_is_missing(self, artifacts: Artifacts, digest: str) -> None:
        with pytest.raises(ArtifactMissing):
            await artifacts.get(ArtifactDigest(digest))

    async def test_sweeping_keeps_what_it_is_told_to_keep(self, artifacts: Artifacts) -> None:
        kept, dropped = await artifacts.put(b"kept"), await artifacts.put(b"dropped")

        assert await artifacts.sweep({kept, digest_of_bytes(b"never put")}) == len(b"dropped")

        assert await artifacts.get(kept) == b"kept"
        with pytest.raises(ArtifactMissing):
            await artifacts.get(dropped)
        assert await artifacts.put(b"dropped") == dropped
        assert await artifacts.get(dropped) == b"dropped"
