"""What any store of keys must do, as a suite: subclass `KeysContract` and supply the fixture `keys`. Needs pytest."""

from dataclasses import replace

import pytest

from orchestrator.ids import TenantId
from orchestrator.ports.keys import SCOPES, ApiKey, Caps, Keys
from orchestrator.ports.tasks import LANES

PLAIN = ApiKey(
    id="aaaaaaaaaaaa", name="ci", tenant=TenantId("acme"), scopes=("read",), digest="0" * 64, created_at_s=2.0
)
CAPPED = ApiKey(
    id="bbbbbbbbbbbb",
    name="Zoë's phone, 電話",
    tenant=TenantId("other"),
    scopes=SCOPES,
    digest="f" * 64,
    created_at_s=1.0,
    caps=Caps(requests_per_minute=60, open_runs=3, usd_per_day=0.25, lanes=LANES),
    expires_at_s=1e9,
)


@pytest.mark.anyio
class KeysContract:
    """Subclasses supply the fixture `keys`: an empty store."""

    async def test_a_key_comes_back_as_it_was_kept(self, keys: Keys) -> None:
        assert await keys.add(PLAIN)
        assert await keys.add(CAPPED)
        assert await keys.get(PLAIN.id) == PLAIN
        assert await keys.get(CAPPED.id) == CAPPED
        assert await keys.get("cccccccccccc") is None

    async def test_an_id_is_taken_once(self, keys: Keys) -> None:
        assert await keys.add(PLAIN)
        assert not await keys.add(replace(CAPPED, id=PLAIN.id))
        assert await keys.get(PLAIN.id) == PLAIN

    async def test_all_are_told_oldest_first(self, keys: Keys) -> None:
        assert list(await keys.all()) == []
        for key in (PLAIN, CAPPED):
            await keys.add(key)
        assert list(await keys.all()) == [CAPPED, PLAIN]

    async def test_a_key_is_revoked_once_and_stays_known(self, keys: Keys) -> None:
        await keys.add(PLAIN)
        assert await keys.revoke(PLAIN.id, 5.0)
        assert await keys.revoke(PLAIN.id, 9.0)
        assert await keys.get(PLAIN.id) == replace(PLAIN, revoked_at_s=5.0)
        assert not await keys.revoke("cccccccccccc", 5.0)
        await keys.close()
        await keys.close()

    async def test_what_is_asked_is_data(self, keys: Keys) -> None:
        await keys.add(PLAIN)
        hostile = "x' OR '1'='1"
        assert await keys.get(hostile) is None
        assert not await keys.revoke(hostile, 1.0)
        assert await keys.get(PLAIN.id) == PLAIN
