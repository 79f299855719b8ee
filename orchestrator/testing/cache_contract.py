"""What any cache must do. Subclasses supply the `caches` fixture: a factory over limits and a clock."""

from collections.abc import Awaitable
from dataclasses import replace
from math import sqrt
from typing import Protocol

import pytest

from orchestrator.ports.cache import Answer, Cache, CacheEntry, Observation
from orchestrator.ports.embeddings import Vector
from orchestrator.ports.model import ToolCall

SIZE = 8  #: of the vectors


class CacheFactory(Protocol):
    """Opens a cache: empty, with these limits, on this clock."""

    def __call__(self, *, entries_max: int = 100, bytes_max: int = 1 << 20) -> Awaitable[Cache]: ...


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def unit(*numbers: float) -> Vector:
    """A vector of length one, filled up with zeros."""
    length = sqrt(sum(n * n for n in numbers))
    return (*(n / length for n in numbers), *([0.0] * (SIZE - len(numbers))))


def kept(key: str, text: str = "an answer", **changes: object) -> CacheEntry:
    """An entry; `changes` are its other fields."""
    entry = CacheEntry(
        tenant="default",
        key=key,
        answer=Answer(text=text, finish="stop"),
        model="m",
        usd=0.01,
        tokens=30,
        stored_at_s=1_000.0,
        expires_at_s=1_000.0 + 3_600,
    )
    return replace(entry, **changes)  # type: ignore[arg-type]  # fields of the entry


class CacheContract:
    """The rules of the port."""

    @pytest.mark.anyio
    async def test_an_entry_comes_back_whole_for_its_tenant_alone(self, caches: CacheFactory) -> None:
        cache = await caches()
        answer = Answer(
            text='{"a":1}',
            finish="tool_calls",
            data={"a": [1, None, "é"]},
            tool_calls=(ToolCall(id="1", name="t", arguments="{"),),
        )
        entry = kept("k", answer=answer, tags=("plan:p",), endpoint="e")
        assert await cache.get("default", "k") is None
        await cache.put(entry)
        assert await cache.get("default", "k") == entry
        assert await cache.get("other", "k") is None

    @pytest.mark.anyio
    async def test_an_entry_whose_time_is_over_is_gone(self, caches: CacheFactory, clock: Clock) -> None:
        cache = await caches()
        await cache.put(kept("k", expires_at_s=clock.now_s + 60))
        clock.now_s += 59
        assert await cache.get("default", "k") is not None
        clock.now_s += 1
        assert await cache.get("default", "k") is None

    @pytest.mark.anyio
    async def test_the_one_used_longest_ago_goes_first(self, caches: CacheFactory, clock: Clock) -> None:
        cache = await caches(entries_max=3)
        for key in "abc":
            clock.now_s += 1
            await cache.put(kept(key))
        clock.now_s += 1
        assert await cache.get("default", "a") is not None
        clock.now_s += 1
        await cache.put(kept("d"))
        found = [key for key in "abcd" if await cache.get("default", key) is not None]
        assert found == ["a", "c", "d"]

    @pytest.mark.anyio
    async def test_sizes_are_bounded_too(self, caches: CacheFactory, clock: Clock) -> None:
        cache = await caches(bytes_max=16_000)
        for number in range(12):
            clock.now_s += 1
            await cache.put(kept(str(number), text="x" * 4_000))
        found = [number for number in range(12) if await cache.get("default", str(number)) is not None]
        assert found[-1] == 11
        assert 1 <= len(found) <= 4
        await cache.put(kept("huge", text="x" * 20_000))
        assert await cache.get("default", "huge") is None

    @pytest.mark.anyio
    async def test_entries_are_dropped_by_key_and_by_tag(self, caches: CacheFactory) -> None:
        cache = await caches()
        await cache.put(kept("a", tags=("plan:p", "step:x")))
        await cache.put(kept("b", tags=("plan:p",)))
        await cache.put(kept("c", tags=("plan:q",)))
        await cache.put(kept("b", tenant="other", tags=("plan:p",)))
        assert await cache.drop("default", tag="plan:p") == 2
        assert await cache.drop("default", tag="plan:p") == 0
        assert await cache.drop("default", key="c") == 1
        assert [await cache.get("default", key) for key in "abc"] == [None, None, None]
        assert await cache.get("other", "b") is not None

    @pytest.mark.anyio
    async def test_near_entries_come_nearest_first_from_their_scope_and_tenant(self, caches: CacheFactory) -> None:
        cache = await caches()
        for key, vector, scope, tenant in (
            ("far", unit(0, 1), "s", "default"),
            ("near", unit(1, 0.1), "s", "default"),
            ("nearer", unit(1, 0.05), "s", "default"),
            ("elsewhere", unit(1), "t", "default"),
            ("theirs", unit(1), "s", "other"),
        ):
            await cache.put(kept(key, vector=vector, scope=scope, tenant=tenant, question=key))
        await cache.put(kept("plain"))
        found = await cache.near("default", "s", unit(1), 2)
        assert [one.entry.key for one in found] == ["nearer", "near"]
        assert found[0].similarity == pytest.approx(1 / sqrt(1 + 0.05**2), abs=0.01)
        assert found[0].entry.question == "nearer"
        assert await cache.near("default", "nothing", unit(1)) == ()

    @pytest.mark.anyio
    async def test_what_is_gone_is_near_no_more(self, caches: CacheFactory, clock: Clock) -> None:
        cache = await caches()
        await cache.put(kept("dropped", vector=unit(1), scope="s"))
        await cache.put(kept("over", vector=unit(1, 0.1), scope="s", expires_at_s=clock.now_s + 1))
        await cache.put(kept("there", vector=unit(1, 0.2), scope="s"))
        await cache.drop("default", key="dropped")
        clock.now_s += 2
        assert [one.entry.key for one in await cache.near("default", "s", unit(1))] == ["there"]

    @pytest.mark.anyio
    async def test_observations_stay_with_an_entry_that_is_kept_anew(self, caches: CacheFactory) -> None:
        cache = await caches()
        seen = [Observation(similarity=0.9, same=True), Observation(similarity=0.75, same=False)]
        await cache.put(kept("k", vector=unit(1), scope="s"))
        for one in seen:
            await cache.observe("default", "k", one)
        await cache.observe("default", "gone", seen[0])
        await cache.put(kept("k", text="another", vector=unit(1), scope="s"))
        (near,) = await cache.near("default", "s", unit(1))
        assert (near.entry.seen, near.entry.answer.text) == (tuple(seen), "another")
        assert await cache.get("default", "gone") is None
