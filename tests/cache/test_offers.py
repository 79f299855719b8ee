"""What the owner of a run does with offers: bounded, by attempt, for its own tenant, and never in the way."""

from collections.abc import Callable, Coroutine

import pytest

from orchestrator.adapters.memory.cache import MemoryCache
from orchestrator.core import facts as f
from orchestrator.engine.offers import OFFERS_MAX, Offers
from orchestrator.errors import CacheError
from orchestrator.ids import StepId
from orchestrator.ports.cache import CacheEntry, Observation, Offer
from orchestrator.ports.tasks import TaskKey, TaskOffered
from orchestrator.testing.cache_contract import Clock, kept
from orchestrator.testing.facts import accepted

pytestmark = pytest.mark.anyio
RUN = accepted()
Work = Callable[[], Coroutine[object, object, None]]


class Bench:
    """Offers whose writing is done when asked."""

    def __init__(self, cache: MemoryCache | None = None) -> None:
        self.cache = cache or MemoryCache(now_s=Clock())
        self.work: list[Work] = []
        self.offers = Offers(self.cache, self.work.append)

    def offer(self, key: str, *, attempt: int = 1, tenant: str = "default", offer: Offer | None = None) -> None:
        entry = kept(key, tenant=tenant)
        at = TaskKey(RUN.run, StepId("a"), -1, attempt)
        self.offers.offered(TaskOffered(key=at, worker="w", offer=offer or Offer(entry=entry)))

    async def tell(self, *facts: f.Fact) -> None:
        self.offers.journaled(RUN, facts)
        work, self.work[:] = list(self.work), []
        for one in work:
            await one()

    async def has(self, *keys: str) -> list[bool]:
        return [await self.cache.get("default", key) is not None for key in keys]


def passed(attempt: int = 1) -> f.StepPassed:
    return f.StepPassed(at_s=1.0, step=StepId("a"), attempt=attempt, digest="sha256:0")  # type: ignore[arg-type]  # a digest


def rejected(attempt: int = 1) -> f.StepRejected:
    return f.StepRejected(at_s=1.0, step=StepId("a"), attempt=attempt)


async def test_offers_are_kept_when_their_attempt_passes_and_no_other() -> None:
    bench = Bench()
    bench.offer("refused")
    await bench.tell(rejected())
    bench.offer("good", attempt=2)
    bench.offer("theirs", attempt=2, tenant="other")
    await bench.tell(passed(2))
    await bench.tell(passed(2))
    assert await bench.has("refused", "good") == [False, True]
    assert await bench.cache.get("other", "theirs") is None


async def test_what_was_learnt_about_a_neighbour_counts_once_the_step_has_passed() -> None:
    bench = Bench()
    await bench.cache.put(kept("n"))
    seen = Observation(similarity=0.9, same=True)
    bench.offer("k", offer=Offer(entry=kept("k"), neighbour="n", observed=seen))
    assert (await bench.cache.get("default", "n")).seen == ()  # type: ignore[union-attr]  # it is there
    await bench.tell(passed())
    assert (await bench.cache.get("default", "n")).seen == (seen,)  # type: ignore[union-attr]  # it is there


async def test_an_attempt_offers_no_more_than_so_much() -> None:
    bench = Bench()
    for number in range(OFFERS_MAX + 5):
        bench.offer(str(number))
    await bench.tell(passed())
    assert await bench.has("0", str(OFFERS_MAX - 1), str(OFFERS_MAX)) == [True, True, False]


class Broken(MemoryCache):
    async def put(self, entry: CacheEntry) -> None:
        raise CacheError("here", "no room")


async def test_a_cache_that_takes_nothing_harms_nobody() -> None:
    bench = Bench(Broken())
    bench.offer("k")
    await bench.tell(passed())
    await bench.offers.settle()
    assert await bench.has("k") == [False]
