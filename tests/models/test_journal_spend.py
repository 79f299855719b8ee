"""A run whose agents meet a failing endpoint: its journal and the endpoint's ledger agree on every token."""

from decimal import Decimal

import pytest

from orchestrator import Engine, Plan
from orchestrator.core import facts as f
from orchestrator.core.results import Succeeded
from orchestrator.plan.parts import Budget
from orchestrator.ports.model import Message, Prompt
from orchestrator.ports.model_errors import ModelError
from tests.engine.helpers import facts_of
from tests.models.faults import GOOD, cut, odd_retry_after, ok, reset_before, says, status, tricked_usage
from tests.models.faulty_endpoint import Exchange, FaultyEndpoint
from tests.models.test_faults import settings_for
from tests.sizes import SIZES
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio

BRANCHES = 200 if SIZES.name == "prove" else 20
MIX = (
    ok,
    ok,
    ok,
    status(500, 503),
    cut,
    reset_before,
    says(GOOD, usage=None, told="silent"),
    tricked_usage,
    odd_retry_after,
)


@pytest.fixture
def anyio_backend() -> str:
    """Real sockets."""
    return "asyncio"


async def mixed(x: Exchange) -> None:
    """Any of the faults, by chance."""
    await x.chance.choice(MIX)(x)


async def ask(ctx: WorkContext, number: int) -> str:
    """Ask once; an answer that never came is a word."""
    asked = Prompt(tier="standard", messages=(Message(role="user", content=f"question {number}"),), tokens_max=64)
    try:
        found = await ctx.models.complete(asked)
    except ModelError as error:
        return error.kind
    assert found.text == GOOD
    return "ok"


async def test_the_journal_and_the_ledger_agree_on_every_token() -> None:
    pool = Pool("p", concurrency=20)
    pool.worker(ask)
    with Plan("asking", inputs={"numbers": {"type": "array", "items": {"type": "integer"}}}) as plan:
        asked = plan.map(ask, over=plan.inputs.numbers, as_="number")
        plan.result(asked)
    async with FaultyEndpoint() as endpoint:
        endpoint.set(mixed, 11)
        settings = settings_for(endpoint.url, stream=True)
        patient = settings.models.model_copy(update={"failures_to_open": 10_000})  # by chance five in a row are bad
        settings = settings.model_copy(update={"store": "memory:", "models": patient})
        async with Engine(settings, pools=[pool]) as engine:
            run = await engine.submit(plan.freeze(), {"numbers": list(range(BRANCHES))}, budget=Budget(usd=1_000))
            result = await run.result()
            calls = await facts_of(run, f.ModelCalled)

    assert isinstance(result, Succeeded)
    assert isinstance(result.output, list)
    assert "ok" in result.output
    ledger = endpoint.ledger
    known = [call for call in calls if not call.unknown and not call.estimated]
    told = [entry for entry in ledger if entry.told == "told"]
    assert len(calls) == len(ledger) > BRANCHES
    assert len({call.charge for call in calls}) == len(calls)
    assert sum(Decimal(call.usd).quantize(Decimal("1e-12")) for call in known) == sum(entry.usd for entry in told)
    assert sum(call.tokens_in + call.tokens_out for call in known) == sum(entry.tokens for entry in told)
    assert len([call for call in calls if call.unknown]) == len([entry for entry in ledger if entry.told == "hidden"])
    assert len([call for call in calls if call.estimated]) == len([entry for entry in ledger if entry.told == "silent"])
    assert sum(call.usd for call in calls) >= float(sum(entry.usd for entry in ledger))
    assert result.usage.usd == pytest.approx(sum(call.usd for call in calls))
