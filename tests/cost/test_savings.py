"""What routing and compression spared is booked with the call, against the call without them."""

import random
from dataclasses import replace

import anyio
import pytest

from orchestrator.adapters.memory.limiter import MemoryLimiter
from orchestrator.models.breaker import Breaker
from orchestrator.models.gateway import Gateway
from orchestrator.models.retry import Backoff
from orchestrator.models.routes import Line, OwnPrice, Route
from orchestrator.ports.endpoint import ChatReply, Usage
from orchestrator.ports.model import NOTHING_SAVED, Message, Prompt, Saved, Shortened, Tier
from orchestrator.testing import Purse
from tests.models.fakes import FakeEndpoint

pytestmark = pytest.mark.anyio
CHEAP = OwnPrice(version="settings", input=1.0, output=2.0, cached=0.5)
STRONG = OwnPrice(version="settings", input=10.0, output=20.0, cached=5.0)
REPLY = ChatReply(text="yes", finish="stop", usage=Usage(tokens_in=1_000, tokens_out=100, tokens_cached=0))
ASKED = Prompt(tier="cheap", messages=(Message(role="user", content="x" * 3_000),), routed=True)


def gateway(unrouted: Tier | None = "strong") -> Gateway:
    def route(model: str, price: OwnPrice) -> Route:
        breaker = Breaker(5, 30.0, anyio.current_time)
        line = Line(name="e", endpoint=FakeEndpoint(after=REPLY), breaker=breaker, permits=anyio.Semaphore(4))
        return Route(line=line, model=model, price=lambda: price)

    routes: dict[Tier, tuple[Route, ...]] = {"cheap": (route("c", CHEAP),), "strong": (route("s", STRONG),)}
    return Gateway(
        routes,
        MemoryLimiter({}),
        tries=1,
        backoff=Backoff(first_s=0.1, most_s=1.0),
        chance=random.Random(1),
        unrouted=unrouted,
    )


async def saved(prompt: Prompt, unrouted: Tier | None = "strong") -> Saved:
    purse = Purse()
    await gateway(unrouted).complete(prompt, purse)
    (call,) = purse.calls
    return call.saved


async def test_routing_is_told_against_the_tier_that_would_have_been_asked() -> None:
    cheap, strong = (0.001 + 0.0002), (0.01 + 0.002)
    assert (await saved(ASKED)).routing == pytest.approx(strong - cheap)
    assert (await saved(replace(ASKED, tier="strong"), "cheap")).routing == pytest.approx(cheap - strong)
    assert await saved(replace(ASKED, tier="strong")) == NOTHING_SAVED  # the tier it would have been
    assert await saved(replace(ASKED, routed=False)) == NOTHING_SAVED
    assert await saved(ASKED, None) == NOTHING_SAVED


async def test_compression_is_told_against_the_longer_conversation_with_its_prefix_cached() -> None:
    cut = Shortened(size=2_000, spared=6_000, repeated=7_000)  # the agent counts two tokens where the server counts one
    found = await saved(replace(ASKED, routed=False, shortened=cut))
    whole, repeated = 1_000 + 3_000, 3_500
    without = ((whole - repeated) * 1.0 + repeated * 0.5) / 1_000_000
    assert found.compression == pytest.approx(without - 0.001)
    added = await saved(replace(ASKED, routed=False, shortened=Shortened(size=1_000, spared=-100, repeated=0)))
    assert added.compression == pytest.approx(-0.0001)  # a tool was added, and nothing was cut yet
