"""Every fault of an endpoint ends as specified, in time, and is paid for to the last token."""

import random
from collections.abc import AsyncIterator
from decimal import Decimal

import anyio
import pytest

from orchestrator.app import open_models
from orchestrator.ids import JsonValue
from orchestrator.ports.model import Completion, Message, ModelCall, Prompt, ToolSpec
from orchestrator.ports.model_errors import ModelBadRequest, ModelError, ModelUnavailable
from orchestrator.settings import EndpointSettings, GatewaySettings, ModelSettings, PriceSettings, Settings
from orchestrator.testing.purse import Purse
from tests.models.faults import AT_ONCE, CASES, REPLY_BYTES_MAX, STREAMED, TRIES, Case
from tests.models.faulty_endpoint import USD_CACHED, USD_IN, USD_OUT, Entry, FaultyEndpoint
from tests.sizes import SIZES

pytestmark = pytest.mark.anyio

SEEDS = 40 if SIZES.name == "prove" else 2
GRACE_S = 1.0  #: how far a call may outlive its deadline
SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "score": {"type": "integer", "maximum": 10}},
    "required": ["title", "score"],
}
LOOK = ToolSpec(name="look", description="Looks something up", parameters={"type": "object", "properties": {}})


@pytest.fixture
def anyio_backend() -> str:
    """Real sockets."""
    return "asyncio"


@pytest.fixture
async def endpoint() -> AsyncIterator[FaultyEndpoint]:
    async with FaultyEndpoint() as serving:
        yield serving


def settings_for(url: str, *, stream: bool) -> Settings:
    price = PriceSettings(input=float(USD_IN), cached=float(USD_CACHED), output=float(USD_OUT))
    return Settings(
        models=GatewaySettings(
            endpoints={
                "faulty": EndpointSettings(base_url=url, api_key_env="", stream=stream, reply_bytes_max=REPLY_BYTES_MAX)
            },
            tiers={"standard": (ModelSettings(model="m", endpoint="faulty", price=price),)},
            tries=TRIES,
            backoff_first_s=0.01,
            backoff_most_s=0.02,
        )
    )


def prompt_for(case: Case, chance: random.Random) -> Prompt:
    return Prompt(
        tier="standard",
        messages=(
            Message(role="system", content="Be brief."),
            Message(role="user", content="secret words " * chance.randint(1, 20)),
        ),
        tools=(LOOK,) if case.asked == "tools" else (),
        output_schema=SCHEMA if case.asked == "schema" else None,
        tokens_max=chance.choice([64, 512, 4_096]),
        deadline_s=case.deadline_s,
    )


class Stalls:
    """By how much the loop itself was late: a busy machine's time, not the gateway's."""

    def __init__(self) -> None:
        self.total_s = 0.0

    async def watch(self) -> None:
        while True:
            before = anyio.current_time()
            await anyio.sleep(0.05)
            self.total_s += max(anyio.current_time() - before - 0.06, 0.0)


async def outcome_of(case: Case, url: str, seed: int, stream: bool) -> tuple[Completion | ModelError, Purse, float]:
    """What came of one call, who paid what, and by how much it outlived its deadline."""
    purse, stalls = Purse(usd=1_000.0), Stalls()
    prompt = prompt_for(case, random.Random(seed))
    async with open_models(settings_for(url, stream=stream)) as models, anyio.create_task_group() as group:
        group.start_soon(stalls.watch)
        began = anyio.current_time()
        try:
            found: Completion | ModelError = await models.complete(prompt, purse)
        except ModelError as error:
            found = error
        over_s = anyio.current_time() - began - prompt.deadline_s - stalls.total_s
        group.cancel_scope.cancel()
    return found, purse, over_s


def assert_paid(entry: Entry, call: ModelCall) -> None:
    """One call of the meter against one entry of the endpoint's ledger."""
    match entry.told:
        case "told":
            assert (call.unknown, call.estimated) == (False, False)
            assert Decimal(call.usd).quantize(Decimal("1e-12")) == entry.usd.quantize(Decimal("1e-12"))
            assert call.tokens_in + call.tokens_out == entry.tokens
        case "silent":
            assert (call.unknown, call.estimated) == (False, True)
            assert call.usd >= entry.usd
        case "hidden":
            assert (call.unknown, call.estimated) == (True, False)
            assert call.usd >= entry.usd


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_fault_ends_as_specified_and_is_paid_to_the_last_token(case: Case, endpoint: FaultyEndpoint) -> None:
    for seed in range(SEEDS):
        endpoint.set(case.fault, seed)
        stream = case.name in STREAMED or (case.name not in AT_ONCE and seed % 2 == 0)

        found, purse, over_s = await outcome_of(case, endpoint.url, seed, stream)

        assert type(found) is (case.outcome or Completion), f"seed {seed}: {found!r}"
        assert over_s < GRACE_S, f"seed {seed} outlived its deadline by {over_s:.2f} s"
        assert len(endpoint.ledger) == case.requests, f"seed {seed}"
        assert purse.held == {}, f"seed {seed}: reservations that nobody settled"
        for entry, call in zip(endpoint.ledger, purse.calls, strict=True):
            assert_paid(entry, call)
        if isinstance(found, ModelError):
            assert "secret" not in str(found) + repr(found.args)
        elif case.asked == "schema":
            assert found.data == {"title": "Heat", "score": 7}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_connection_that_is_refused_costs_nothing(stream: bool) -> None:
    async with FaultyEndpoint() as gone:
        url = gone.url

    found, purse, _ = await outcome_of(CASES[0], url, 0, stream)

    assert type(found) is ModelUnavailable
    assert [(call.outcome, call.usd, call.unknown) for call in purse.calls] == [("unavailable", 0.0, False)] * TRIES


async def test_a_prompt_that_is_no_text_is_never_sent(endpoint: FaultyEndpoint) -> None:
    purse = Purse()
    asked = Prompt(tier="standard", messages=(Message(role="user", content="\ud800"),))

    async with open_models(settings_for(endpoint.url, stream=True)) as models:
        with pytest.raises(ModelBadRequest, match="nothing was sent"):
            await models.complete(asked, purse)

    assert (endpoint.ledger, [call.usd for call in purse.calls]) == ([], [0.0])


def test_there_are_faults_enough() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert len([case for case in CASES if not case.name.startswith("none")]) >= 25
