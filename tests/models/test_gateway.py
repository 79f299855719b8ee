"""Retries, routes, deadlines, money and limits of the gateway, without a network."""

import contextlib
from dataclasses import replace

import anyio
import pytest
import trio.testing

from orchestrator.adapters.memory.limiter import MemoryLimiter
from orchestrator.errors import BudgetExceeded, PlanError, RetryableError, TerminalError, TransportUnreachable
from orchestrator.models.usage import tokens_in_estimate
from orchestrator.ports.endpoint import ChatReply, ChatRequest, Usage
from orchestrator.ports.limiter import Rates, Slot
from orchestrator.ports.model import Completion, Message, ModelCall, Prompt, ToolCall, ToolSpec
from orchestrator.ports.model_errors import (
    ModelBadOutput,
    ModelContextTooLong,
    ModelError,
    ModelInterrupted,
    ModelNotConfigured,
    ModelNotFound,
    ModelRateLimited,
    ModelRefused,
    ModelTimeout,
    ModelTruncated,
    ModelUnauthorised,
    ModelUnavailable,
    ModelUnpriced,
)
from orchestrator.testing.purse import Purse
from tests.models.fakes import DEAR, FakeEndpoint, gateway, prompt, reply

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """The loop whose clock jumps; the faults of real endpoints run on the other one."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


DOWN = ModelUnavailable("m0", "HTTP 503")


def outcomes(purse: Purse) -> list[tuple[str, str]]:
    return [(call.endpoint, call.outcome) for call in purse.calls]


async def test_an_answer_comes_with_its_call() -> None:
    endpoint, purse = (
        FakeEndpoint([ChatReply(text="yes", finish="stop", usage=Usage(tokens_in=10, tokens_out=5, tokens_cached=4))]),
        Purse(),
    )

    found = await gateway(endpoint, price=DEAR).complete(prompt(), purse)

    call = ModelCall(
        charge="charge-1",
        model="m0",
        endpoint="e0",
        outcome="ok",
        usd=(6 * 10 + 4 * 1 + 5 * 20) / 1e6,
        tokens_in=10,
        tokens_out=5,
        tokens_cached=4,
        prices="settings",
        seconds=found.calls[0].seconds,
    )
    assert found == Completion(text="yes", finish="stop", calls=(call,))
    assert (purse.calls, purse.held, purse.deltas) == ([call], {}, ["yes"])


async def test_a_failed_try_is_made_again_after_a_wait_with_jitter() -> None:
    endpoint, purse = FakeEndpoint([DOWN, DOWN, DOWN]), Purse()

    await gateway(endpoint).complete(prompt(), purse)

    waits = [later - sooner for sooner, later in zip(endpoint.asked_at, endpoint.asked_at[1:], strict=False)]
    assert outcomes(purse) == [("e0", "unavailable")] * 3 + [("e0", "ok")]
    assert all(0.0 < wait < ceiling for wait, ceiling in zip(waits, (1.0, 2.0, 4.0), strict=True))


async def test_tries_are_bounded_and_the_last_error_is_told() -> None:
    endpoint, purse = FakeEndpoint(after=DOWN), Purse()

    with pytest.raises(ModelUnavailable) as raised:
        await gateway(endpoint, tries=3).complete(prompt(), purse)

    assert raised.value is DOWN
    assert len(endpoint.asked) == 3


@pytest.mark.parametrize(
    "error", [ModelRefused("m0"), ModelTruncated("m0", text="ha"), ModelNotFound("m0"), ModelUnauthorised("m0")]
)
async def test_what_another_try_cannot_help_is_tried_once(error: ModelError) -> None:
    endpoint = FakeEndpoint([error])

    with pytest.raises(type(error)):
        await gateway(endpoint).complete(prompt(), Purse())

    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    "error", [DOWN, ModelRateLimited("m0", "", 60.0), ModelNotFound("m0"), ModelContextTooLong("m0")]
)
async def test_another_endpoint_stands_in_at_once(error: ModelError) -> None:
    first, second, purse = FakeEndpoint([error]), FakeEndpoint(), Purse()

    await gateway(first, second).complete(prompt(), purse)

    assert outcomes(purse) == [("e0", error.kind), ("e1", "ok")]
    assert second.asked_at == first.asked_at
    assert [request.model for request in second.asked] == ["m1"]


async def test_a_refusal_is_not_taken_to_another_endpoint() -> None:
    first, second = FakeEndpoint([ModelRefused("m0")]), FakeEndpoint()

    with pytest.raises(ModelRefused):
        await gateway(first, second).complete(prompt(), Purse())

    assert second.asked == []


async def test_the_endpoints_word_on_waiting_is_kept() -> None:
    endpoint = FakeEndpoint([ModelRateLimited("m0", "", 30.0)])

    await gateway(endpoint).complete(prompt(), Purse())

    assert 30.0 <= endpoint.asked_at[1] - endpoint.asked_at[0] <= 33.0


async def test_a_rate_limit_holds_back_everyone_who_shares_the_endpoint() -> None:
    endpoint = FakeEndpoint([ModelRateLimited("m0", "", 30.0)])
    models = gateway(endpoint)
    async with anyio.create_task_group() as group:
        group.start_soon(models.complete, prompt(), Purse())
        await anyio.sleep(1.0)
        for _ in range(20):
            group.start_soon(models.complete, prompt(), Purse())

    began, *others = endpoint.asked_at
    assert all(at >= began + 30.0 - 1e-6 for at in others)
    assert len(others) == 21


async def test_no_wait_that_would_be_in_vain() -> None:
    endpoint = FakeEndpoint(after=ModelRateLimited("m0", "", 300.0))
    began = anyio.current_time()

    with pytest.raises(ModelRateLimited) as raised:
        await gateway(endpoint).complete(prompt(deadline_s=120.0), Purse())

    assert raised.value.retry_after_s == 300.0
    assert anyio.current_time() - began < 1.0


@pytest.mark.parametrize("silence", [500.0, 121.0])
async def test_the_deadline_is_one_for_everything(silence: float) -> None:
    endpoint, purse = FakeEndpoint([DOWN, silence]), Purse()
    began = anyio.current_time()

    with pytest.raises(ModelTimeout):
        await gateway(endpoint, price=DEAR).complete(prompt(deadline_s=120.0), purse)

    assert anyio.current_time() - began == pytest.approx(120.0, abs=0.01)
    assert [(call.outcome, call.unknown) for call in purse.calls] == [("unavailable", False), ("timeout", True)]
    assert (purse.held, endpoint.in_flight) == ({}, 0)


async def test_a_single_try_may_have_a_limit_of_its_own_and_leave_time_for_another() -> None:
    endpoint, purse = FakeEndpoint([500.0]), Purse()
    began = anyio.current_time()

    await gateway(endpoint, attempt_s=10.0).complete(prompt(deadline_s=120.0), purse)

    assert 10.0 <= anyio.current_time() - began < 12.0
    assert [(call.outcome, call.unknown) for call in purse.calls] == [("timeout", True), ("ok", False)]


async def test_waiting_for_the_limiter_counts_against_the_deadline() -> None:
    endpoint = FakeEndpoint()
    models = gateway(endpoint, rates={"e0": Rates(requests_per_minute=1)})
    await models.complete(prompt(), Purse())
    purse = Purse()

    with pytest.raises(ModelRateLimited) as raised:
        await models.complete(prompt(deadline_s=59.0), purse)

    assert raised.value.retry_after_s == pytest.approx(60.0, abs=0.1)
    assert purse.calls == []
    await models.complete(prompt(deadline_s=61.0), purse)
    assert endpoint.asked_at[1] - endpoint.asked_at[0] == pytest.approx(60.0, abs=0.1)


async def test_waiting_for_a_permit_counts_against_the_deadline() -> None:
    endpoint, purse = FakeEndpoint([1_000.0]), Purse()
    models = gateway(endpoint, concurrency=1)
    async with anyio.create_task_group() as group:
        group.start_soon(models.complete, prompt(deadline_s=2_000.0), Purse())
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ModelTimeout):
            await models.complete(prompt(deadline_s=5.0), purse)
        group.cancel_scope.cancel()

    assert purse.calls == []


async def test_calls_in_flight_stay_under_their_limit_with_a_hundred_callers() -> None:
    endpoint = FakeEndpoint(after=1.0)
    models, purse = gateway(endpoint, concurrency=7, price=DEAR), Purse()
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(models.complete, prompt(), purse)

    assert endpoint.most_in_flight == 7
    assert (len(purse.calls), purse.held) == (100, {})


async def test_rates_hold_with_a_hundred_callers() -> None:
    endpoint = FakeEndpoint()
    models = gateway(endpoint, rates={"e0": Rates(requests_per_minute=20)})
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(models.complete, prompt(deadline_s=600.0), Purse())

    at = sorted(endpoint.asked_at)
    assert at[19] - began < 1.0
    assert [at[n + 1] - at[n] == pytest.approx(3.0, abs=0.1) for n in range(20, 99)] == [True] * 79


async def test_unused_tokens_are_given_back_to_the_limiter() -> None:
    endpoint = FakeEndpoint(after=reply(tokens_in=10, tokens_out=5))
    models = gateway(endpoint, rates={"e0": Rates(tokens_per_minute=1_000)})
    began = anyio.current_time()

    for _ in range(5):
        await models.complete(prompt(tokens_max=900), Purse())

    assert anyio.current_time() - began < 1.0


@pytest.mark.parametrize("limits", [{"usd": 0.001}, {"tokens": 100}])
async def test_what_the_budget_does_not_hold_is_not_sent(limits: dict[str, float]) -> None:
    endpoint, purse = FakeEndpoint(), Purse(**limits)  # type: ignore[arg-type]  # one field or the other
    models = gateway(endpoint, price=DEAR, rates={"e0": Rates(requests_per_minute=1)})

    with pytest.raises(BudgetExceeded):
        await models.complete(prompt(), purse)

    assert (endpoint.asked, purse.calls) == ([], [])
    await models.complete(prompt(deadline_s=1.0), Purse())  # the limiter's slot was given back


async def test_the_reservation_is_the_worst_case() -> None:
    asked = prompt(tokens_max=100)
    estimate = tokens_in_estimate(ChatRequest(model="m0", messages=asked.messages, tokens_max=100), len("why?"))
    spent = Purse(usd=1.0)
    with pytest.raises(ModelInterrupted):
        await gateway(FakeEndpoint(after=ModelInterrupted("m0", may_be_billed=True)), tries=1, price=DEAR).complete(
            asked, spent
        )

    assert [(call.unknown, call.tokens_in, call.tokens_out) for call in spent.calls] == [(True, estimate, 100)]
    assert spent.spent_usd == pytest.approx((estimate * 10 + 100 * 20) / 1e6)


async def test_a_cancelled_call_stays_charged_in_full() -> None:
    endpoint, purse = FakeEndpoint([1_000.0]), Purse()
    models = gateway(endpoint, price=DEAR, concurrency=1)
    async with anyio.create_task_group() as group:
        group.start_soon(models.complete, prompt(deadline_s=5_000.0), purse)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()

    assert [(call.outcome, call.unknown, call.usd > 0) for call in purse.calls] == [("cancelled", True, True)]
    assert purse.held == {}
    await models.complete(prompt(), Purse())  # the permit is free again


async def test_a_watcher_that_breaks_is_not_the_endpoints_fault() -> None:
    endpoint, purse = FakeEndpoint(), Purse()

    def broken(_text: str) -> None:
        raise LookupError("the watcher broke")

    with pytest.raises(LookupError):
        await gateway(endpoint).complete(prompt(), purse, broken)

    assert len(endpoint.asked) == 1
    assert [(call.outcome, call.unknown) for call in purse.calls] == [("cancelled", True)]


async def test_an_endpoint_that_keeps_failing_is_left_alone_and_probed_by_one() -> None:
    endpoint = FakeEndpoint(after=DOWN)
    models = gateway(endpoint, tries=1, failures_to_open=3)
    for _ in range(3):
        with pytest.raises(ModelUnavailable):
            await models.complete(prompt(), Purse())

    with pytest.raises(ModelUnavailable, match="circuits of e0 are open") as raised:
        await models.complete(prompt(), Purse())
    assert raised.value.retry_after_s == pytest.approx(30.0, abs=0.1)
    assert len(endpoint.asked) == 3

    await anyio.sleep(30.0)
    endpoint.after = 5.0
    refused = []

    async def ask() -> None:
        try:
            await models.complete(prompt(), Purse())
        except ModelUnavailable:
            refused.append(1)

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(ask)
    assert (len(endpoint.asked), len(refused)) == (4, 9)
    await models.complete(prompt(), Purse())  # the probe closed it


async def test_while_a_circuit_is_open_the_other_endpoint_answers() -> None:
    first, second, purse = FakeEndpoint(after=DOWN), FakeEndpoint(), Purse()
    models = gateway(first, second, failures_to_open=2)

    for _ in range(5):
        await models.complete(prompt(), purse)

    assert (len(first.asked), len(second.asked)) == (2, 5)


async def test_a_brown_out_is_not_made_worse_by_retries() -> None:
    """Thirty per cent of errors: retries stay near a tenth of the calls, after a burst of ten."""
    endpoint = FakeEndpoint()
    models, calls = gateway(endpoint, failures_to_open=1_000), 1_000
    for number in range(calls):
        endpoint.turns = [DOWN] * 4 if number % 10 < 3 else []
        with contextlib.suppress(ModelUnavailable):
            await models.complete(prompt(), Purse())

    assert calls < len(endpoint.asked) <= calls * 1.1 + 10


async def test_a_tier_without_a_model_is_an_error_that_says_so() -> None:
    with pytest.raises(ModelNotConfigured, match="tier strong"):
        await gateway(FakeEndpoint()).complete(replace(prompt(), tier="strong"), Purse())


async def test_a_model_without_a_price_is_never_asked() -> None:
    endpoint = FakeEndpoint()

    with pytest.raises(ModelUnpriced):
        await gateway(endpoint, price=None).complete(prompt(), Purse())

    assert endpoint.asked == []


async def test_faults_against_the_schema_are_handed_back_once() -> None:
    endpoint, purse = FakeEndpoint([reply('{"n": "one"}'), reply('{"n": 1}')]), Purse()
    asked = replace(prompt(), output_schema={"type": "object", "properties": {"n": {"type": "integer"}}})

    found = await gateway(endpoint).complete(asked, purse)

    assert (found.data, [call.outcome for call in found.calls]) == ({"n": 1}, ["bad_output", "ok"])
    _, second = endpoint.asked
    assert second.messages[:2] == (*asked.messages, Message(role="assistant", content='{"n": "one"}'))
    assert "- n: " in second.messages[2].content


async def test_a_schema_that_is_missed_twice_is_an_error_with_both_calls_paid() -> None:
    endpoint, purse = FakeEndpoint(after=reply("prose")), Purse()

    with pytest.raises(ModelBadOutput, match="no JSON") as raised:
        await gateway(endpoint).complete(replace(prompt(), output_schema={"type": "object"}), purse)

    assert outcomes(purse) == [("e0", "bad_output")] * 2
    assert isinstance(raised.value.as_step_error(), TerminalError)


async def test_a_schema_that_is_refused_costs_nothing() -> None:
    endpoint = FakeEndpoint()

    with pytest.raises(PlanError, match="stay inside the schema"):
        await gateway(endpoint).complete(replace(prompt(), output_schema={"$ref": "https://x.example/s"}), Purse())

    assert endpoint.asked == []


async def test_a_judgement_that_breaks_leaves_no_reservation_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr("orchestrator.models.attempt.judge", broken)
    purse = Purse()

    with pytest.raises(LookupError):
        await gateway(FakeEndpoint(), price=DEAR).complete(prompt(), purse)

    assert ([call.outcome for call in purse.calls], purse.held) == (["broken"], {})
    assert purse.spent_usd == pytest.approx((10 * 10 + 5 * 20) / 1e6)


async def test_a_tool_that_was_not_given_is_named_to_the_model() -> None:
    calls = (ToolCall(id="a", name="look", arguments="{}"), ToolCall(id="b", name="erase", arguments="{}"))
    endpoint = FakeEndpoint([ChatReply(text="", finish="tool_calls", tool_calls=calls), reply("sorry")])
    asked = replace(prompt(), tools=(ToolSpec(name="look", description="", parameters={}),))

    found = await gateway(endpoint).complete(asked, Purse())

    assert found.text == "sorry"
    assert [(message.role, message.tool_call_id) for message in endpoint.asked[1].messages[1:]] == [
        ("assistant", ""),
        ("tool", "a"),
        ("tool", "b"),
    ]
    assert "the tools are: look" in endpoint.asked[1].messages[3].content


async def test_usage_that_cannot_be_costs_the_reservation() -> None:
    purse = Purse()

    found = await gateway(FakeEndpoint([reply(tokens_out=10**9)]), price=DEAR).complete(prompt(), purse)

    assert found.text == "yes"
    assert [(call.unknown, call.tokens_out) for call in purse.calls] == [(True, 100)]


async def test_missing_usage_is_estimated_and_says_so() -> None:
    purse = Purse()

    await gateway(FakeEndpoint([ChatReply(text="word " * 30, finish="stop")]), price=DEAR).complete(prompt(), purse)

    assert [(call.unknown, call.estimated, call.tokens_out) for call in purse.calls] == [(False, True, 58)]


class NoLimiter(MemoryLimiter):
    """A limiter whose server is gone, from the named operation on."""

    def __init__(self, gone: str) -> None:
        super().__init__({})
        self.gone = gone

    async def reserve(self, endpoint: str, tokens: int) -> Slot:
        self._ask("reserve")
        return await super().reserve(endpoint, tokens)

    async def start(self, slot: Slot) -> Slot:
        self._ask("start")
        return await super().start(slot)

    async def settle(self, slot: Slot, tokens: int, *, sent: bool = True) -> None:
        self._ask("settle")

    def _ask(self, operation: str) -> None:
        if operation == self.gone:
            raise TransportUnreachable("redis://here", "gone")


@pytest.mark.parametrize("gone", ["reserve", "start"])
async def test_an_endpoint_whose_limits_cannot_be_asked_for_is_not_asked(gone: str) -> None:
    endpoint, purse = FakeEndpoint(), Purse()

    with pytest.raises(ModelUnavailable, match="the limits of e0 cannot be asked for"):
        await gateway(endpoint, limiter=NoLimiter(gone)).complete(prompt(), purse)

    assert (endpoint.asked, purse.calls) == ([], [])


async def test_an_answer_is_not_lost_over_a_limiter_that_takes_nothing_back() -> None:
    found = await gateway(FakeEndpoint(), limiter=NoLimiter("settle")).complete(prompt(), Purse())

    assert found.text == "yes"


async def test_leaving_closes_the_endpoints() -> None:
    endpoints = FakeEndpoint(), FakeEndpoint()

    async with gateway(*endpoints) as models:
        await models.complete(prompt(), Purse())

    assert [endpoint.closed for endpoint in endpoints] == [True, True]


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (ModelRateLimited("m", "", 3.0), RetryableError("model m: rate limited", "rate_limit", 3.0)),
        (ModelTimeout("m", "slow"), RetryableError("model m: timeout: slow", "timeout")),
        (ModelUnavailable("m"), RetryableError("model m: unavailable", "provider")),
        (ModelRefused("m"), TerminalError("model m: refused")),
    ],
)
def test_an_error_of_a_model_is_one_of_a_step(error: ModelError, step: Exception) -> None:
    import pickle

    assert repr(error.as_step_error()) == repr(step)
    assert repr(pickle.loads(pickle.dumps(error))) == repr(error)


def test_a_cut_answer_survives_pickling_with_its_text() -> None:
    import pickle

    copy = pickle.loads(pickle.dumps(ModelTruncated("m", "why", text="half")))

    assert (copy.model, copy.reason, copy.text, str(copy)) == ("m", "why", "half", "model m: truncated: why")


def test_prompts_default_to_two_minutes() -> None:
    assert Prompt(tier="cheap", messages=()).deadline_s == 120.0
