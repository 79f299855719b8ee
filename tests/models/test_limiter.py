"""The memory limiter keeps the contract, and its rates under any order of calls."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.memory.limiter import MemoryLimiter
from orchestrator.ports.limiter import Rates
from orchestrator.testing.limiter_contract import LimiterContract, MakeLimiter

pytestmark = pytest.mark.anyio


class HandClock:
    """Time that goes on by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class TestMemoryLimiter(LimiterContract):
    @pytest.fixture
    def make(self) -> MakeLimiter:
        self.clock = HandClock()

        async def make(rates: Mapping[str, Rates]) -> MemoryLimiter:
            return MemoryLimiter(rates, self.clock)

        return make

    async def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds


@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from(["reserve", "start", "cool", "settle", "drop"]),
            st.integers(0, 300),
            st.floats(0.0, 30.0, allow_nan=False),
        ),
        max_size=60,
    )
)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_order_of_calls_gets_more_out_of_a_bucket_than_went_in(
    moves: list[tuple[str, int, float]],
) -> None:
    clock = HandClock()
    began = clock.now
    limiter = MemoryLimiter({"a": Rates(requests_per_minute=6, tokens_per_minute=600)}, clock)
    waiting, running, starts, cooled_until = [], [], [], 0.0
    used = 0
    for move, number, seconds in moves:
        match move:
            case "reserve":
                waiting.append((await limiter.reserve("a", number), number))
            case "start" if waiting:
                slot, tokens = waiting.pop(number % len(waiting))
                slot = await limiter.start(slot)
                clock.now += slot.wait_s
                assert clock.now >= cooled_until - 1e-6
                assert (await limiter.start(slot)).wait_s == 0.0
                starts.append(clock.now)
                running.append((slot, tokens))
                used += tokens
            case "settle" if running:
                slot, tokens = running.pop(number % len(running))
                await limiter.settle(slot, spent := min(tokens, number))
                used -= tokens - spent
            case "drop" if waiting:
                slot, _ = waiting.pop(number % len(waiting))
                await limiter.settle(slot, 0, sent=False)
            case "cool":
                await limiter.cool_down("a", seconds)
                cooled_until = max(cooled_until, clock.now + seconds)
            case _:
                pass
        clock.now += seconds / 10

    minutes = (clock.now - began) / 60
    assert len(starts) <= 6 + 6 * minutes + 1e-6
    assert used <= 600 + 600 * minutes + 1e-6
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            assert last - first + 1 <= 6 + 6 * (starts[last] - starts[first]) / 60 + 1 + 1e-6
