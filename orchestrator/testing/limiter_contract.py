"""What any limiter must do: subclass `LimiterContract`, supply the fixture `make`. Needs pytest."""

from collections.abc import Awaitable, Callable, Mapping

import anyio
import pytest

from orchestrator.ports.limiter import Limiter, Rates, Slot

MakeLimiter = Callable[[Mapping[str, Rates]], Awaitable[Limiter]]


class LimiterContract:
    """What any limiter must do. Subclasses supply the fixture `make`: a new limiter for the rates of some endpoints.

    Limiters on a clock of their own override `pass_time` and `slack_s`. No test lets more than a second pass.
    """

    slack_s = 1e-6  #: how far a wait may be off

    async def pass_time(self, seconds: float) -> None:
        """Let the limiter's clock go on."""
        await anyio.sleep(seconds)

    def near(self, seconds: float) -> object:
        """Equal within the slack."""
        return pytest.approx(seconds, abs=self.slack_s)

    async def test_a_minutes_worth_of_requests_begins_at_once_and_the_rest_in_order(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(requests_per_minute=3)})

        waits = [(await limiter.reserve("a", 10_000)).wait_s for _ in range(6)]

        assert waits == [0.0, 0.0, 0.0, self.near(20.0), self.near(40.0), self.near(60.0)]

    async def test_tokens_have_a_rate_of_their_own(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(requests_per_minute=100, tokens_per_minute=1_000)})

        waits = [(await limiter.reserve("a", 600)).wait_s for _ in range(3)]

        assert waits == [0.0, self.near(12.0), self.near(48.0)]

    async def test_more_than_a_minutes_worth_of_tokens_waits_for_them(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(tokens_per_minute=100)})

        assert (await limiter.reserve("a", 150)).wait_s == self.near(30.0)

    async def test_what_a_call_did_not_use_is_there_for_the_next(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(tokens_per_minute=1_000)})
        slot = await limiter.reserve("a", 900)

        await limiter.settle(slot, 100)

        assert (await limiter.reserve("a", 900)).wait_s == 0.0
        assert (await limiter.reserve("a", 600)).wait_s == self.near(36.0)

    async def test_what_a_call_used_beyond_its_slot_is_missing_for_the_next(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(tokens_per_minute=1_000)})
        slot = await limiter.reserve("a", 100)

        await limiter.settle(slot, 700)

        assert (await limiter.reserve("a", 900)).wait_s == self.near(36.0)

    async def test_a_call_that_was_never_sent_gives_back_its_request(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(requests_per_minute=1, tokens_per_minute=100)})
        slot = await limiter.reserve("a", 100)

        await limiter.settle(slot, 0, sent=False)

        assert (await limiter.reserve("a", 100)).wait_s == 0.0
        assert (await limiter.reserve("a", 100)).wait_s == self.near(60.0)

    async def test_a_slot_settles_once(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(tokens_per_minute=100)})
        slot = await limiter.reserve("a", 100)
        await limiter.settle(slot, 50)

        await limiter.settle(slot, 0, sent=False)

        assert (await limiter.reserve("a", 100)).wait_s == self.near(30.0)

    async def test_giving_back_never_fills_beyond_a_minutes_worth(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(tokens_per_minute=60_000)})
        slot = await limiter.reserve("a", 300)
        await self.pass_time(0.4)

        await limiter.settle(slot, 0)

        assert (await limiter.reserve("a", 60_000)).wait_s == 0.0
        assert (await limiter.reserve("a", 60_000)).wait_s == pytest.approx(60.0, abs=max(self.slack_s, 0.01))

    async def test_the_bucket_fills_with_time(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(tokens_per_minute=60_000)})
        await limiter.reserve("a", 60_000)

        await self.pass_time(0.5)

        assert (await limiter.reserve("a", 1_000)).wait_s == pytest.approx(0.5, abs=max(self.slack_s, 0.01))

    async def test_a_slot_may_begin_when_its_time_has_come_and_not_before(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(tokens_per_minute=60_000)})
        now = await limiter.reserve("a", 60_000)
        later = await limiter.reserve("a", 400)

        assert (await limiter.start(now)).wait_s == 0.0
        early = await limiter.start(later)
        assert (early.ticket, early.wait_s) == (later.ticket, self.near(0.4))
        await self.pass_time(early.wait_s)
        assert await limiter.start(later) == Slot(ticket=later.ticket, wait_s=0.0)

    async def test_nothing_begins_while_an_endpoint_cools_down(self, make: MakeLimiter) -> None:
        limiter = await make({})
        before = await limiter.reserve("a", 1)

        await limiter.cool_down("a", 0.5)

        assert (await limiter.start(before)).wait_s == self.near(0.5)
        assert (await limiter.reserve("a", 1)).wait_s == self.near(0.5)
        await self.pass_time(0.5)
        assert (await limiter.start(before)).wait_s == 0.0
        assert (await limiter.reserve("a", 1)).wait_s == 0.0

    async def test_a_shorter_cool_down_does_not_end_a_longer_one(self, make: MakeLimiter) -> None:
        limiter = await make({})
        await limiter.cool_down("a", 30.0)

        await limiter.cool_down("a", 1.0)

        assert (await limiter.reserve("a", 1)).wait_s == self.near(30.0)

    async def test_those_who_wait_come_after_a_cool_down_in_their_order_and_a_rate_apart(
        self, make: MakeLimiter
    ) -> None:
        limiter = await make({"a": Rates(requests_per_minute=2)})
        started, unstarted, *waiting = [await limiter.reserve("a", 0) for _ in range(4)]
        await limiter.start(started)

        await limiter.cool_down("a", 100.0)

        assert [(await limiter.start(slot)).wait_s for slot in (unstarted, *waiting)] == [
            self.near(130.0),
            self.near(160.0),
            self.near(190.0),
        ]
        assert (await limiter.reserve("a", 0)).wait_s == self.near(220.0)

    async def test_a_call_in_flight_is_not_moved_by_a_cool_down(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(tokens_per_minute=100)})
        running = await limiter.reserve("a", 60)
        await limiter.start(running)

        await limiter.cool_down("a", 10.0)
        await limiter.settle(running, 0)

        # Empty at the end of the cool-down, but for what the call in flight gave back.
        assert (await limiter.reserve("a", 60)).wait_s == self.near(10.0)

    async def test_endpoints_do_not_wait_for_each_other(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(requests_per_minute=1), "b": Rates(requests_per_minute=1)})
        await limiter.reserve("a", 1)
        await limiter.cool_down("a", 9.0)

        assert (await limiter.reserve("b", 1)).wait_s == 0.0

    async def test_an_endpoint_without_rates_has_no_limit(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(requests_per_minute=1)})

        assert [(await limiter.reserve("b", 1_000_000)).wait_s for _ in range(100)] == [0.0] * 100

    async def test_a_slot_that_nobody_knows_any_more_may_begin(self, make: MakeLimiter) -> None:
        limiter = await make({"a": Rates(requests_per_minute=1)})
        slot = await limiter.reserve("a", 1)
        await limiter.settle(slot, 1)

        assert (await limiter.start(slot)).wait_s == 0.0
