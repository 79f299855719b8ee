"""What a worker says through its context reaches the owner, in each isolation."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from orchestrator.ids import JsonValue
from orchestrator.ports.tasks import (
    OwnerReply,
    SpendRequest,
    StartRequest,
    TaskDone,
    TaskEvidence,
    TaskProgress,
    TaskSpent,
)
from tests.workers import sample_pool
from tests.workers.conftest import Bench
from workers import Pool, WorkContext, current_context

pytestmark = pytest.mark.anyio
Start = Callable[[Pool], AbstractAsyncContextManager[Bench]]
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FIELDS = {
    "instruction": "do it",
    "constraints": ("one", "two"),
    "tier": "strong",
    "reasons": ("too short",),
    "idempotency_key": "key",
    "plan": "plan",
    "trace": TRACE,
    "tenant": "tenant",
    "timeout_s": 60.0,
    "output_schema": {"type": "object"},
}


@pytest.fixture
def anyio_backend() -> str:
    """Threads and processes need the real clock."""
    return "asyncio"


async def speak_async(ctx: WorkContext) -> JsonValue:
    ctx.log("hello")
    ctx.progress(0.5, "half")
    ctx.heartbeat()
    ctx.evidence("search", {"found": [1, 2]})
    await ctx.cost(usd=0.5, tokens=10, charge="mine")
    async with ctx.reserve(usd=1.0) as held:
        held.settle(usd=0.25)
    return sample_pool.told(current_context())


def pool_of(isolation: str) -> Pool:
    if isolation == "process":
        return sample_pool.children
    pool = Pool("p", isolation=isolation)  # type: ignore[arg-type]  # the two others
    pool.worker(name="speak")(speak_async if isolation == "async" else sample_pool.speak)
    return pool


@pytest.mark.parametrize("isolation", ["async", "thread", "process"])
async def test_everything_said_arrives_in_order(start: Start, isolation: str) -> None:
    async with start(pool_of(isolation)) as bench:
        done = await bench.call("speak", **FIELDS)

    key = done.key
    began, request = bench.asked  # it has a key: whether it may begin is asked first
    assert isinstance(began, StartRequest)
    assert isinstance(request, SpendRequest)
    assert request == SpendRequest(key=key, charge=request.charge, usd=1.0)
    assert bench.messages == [
        TaskProgress(key=key, worker="w", message="hello", journal=False),
        TaskProgress(key=key, worker="w", fraction=0.5, message="half"),
        TaskProgress(key=key, worker="w", journal=False),
        TaskEvidence(key=key, worker="w", tool="search", result={"found": [1, 2]}),
        TaskSpent(key=key, worker="w", charge="mine", usd=0.5, tokens=10),
        TaskSpent(key=key, worker="w", charge=request.charge, usd=0.25),
        done,
    ]
    assert isinstance(done, TaskDone)
    assert done.output == {
        "run": "run",
        "step": "step",
        "branch": None,
        "attempt": 1,
        "traceparent": TRACE,
        "tenant": "tenant",
        "plan": "plan",
        "tier": "strong",
        "constraints": ["one", "two"],
        "instruction": "do it",
        "reasons": ["too short"],
        "key": "key",
        "timeout_s": 60.0,
        "output_schema": {"type": "object"},
        "cancelled": False,
    }


@pytest.mark.parametrize("isolation", ["async", "thread", "process"])
async def test_a_refused_reservation_ends_the_task_with_budget(start: Start, isolation: str) -> None:
    async with start(pool_of(isolation)) as bench:
        bench.reply = OwnerReply(granted=False, limit="usd", left=0.5)
        failure = await bench.failure("speak")

    assert (failure.error, failure.message) == ("budget", "budget usd: asked for 1, 0.5 left")
    assert [m.charge for m in bench.messages if isinstance(m, TaskSpent)] == ["mine"]


async def test_an_unsettled_reservation_counts_in_full_and_a_settled_one_once(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def spend(ctx: WorkContext) -> None:
        async with ctx.reserve(usd=1.0, tokens=5):
            pass
        held = await ctx.reserve(tokens=7)
        held.settle(tokens=3)
        held.settle(tokens=9)
        async with await ctx.reserve(usd=2.0) as again:
            again.settle(usd=0.5)
        async with ctx.reserve(usd=4.0):
            raise TimeoutError

    async with start(pool) as bench:
        assert (await bench.failure("spend")).error == "timeout"

    spent = [m for m in bench.messages if isinstance(m, TaskSpent)]
    assert [(m.usd, m.tokens) for m in spent] == [(1.0, 5), (0.0, 3), (0.5, 0), (4.0, 0)]
    assert [m.charge for m in spent] == [request.charge for request in bench.asked]
    assert len({m.charge for m in spent}) == 4


async def test_charges_of_two_runs_of_one_task_are_different_charges(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def spend(ctx: WorkContext) -> None:
        await ctx.cost(usd=1.0)
        await ctx.cost(usd=1.0)

    async with start(pool) as bench:
        first = await bench.call("spend")
        await bench.until(lambda: len(bench.messages) == 3)
        bench.messages.clear()
        bench.sent = 0
        second = await bench.call("spend")
        charges = {m.charge for m in bench.messages if isinstance(m, TaskSpent)}

    assert first.key == second.key
    assert len(charges) == 2


@pytest.mark.parametrize("bad", [{"usd": -1.0}, {"usd": float("nan")}, {"tokens": -1}])
async def test_amounts_below_nothing_are_refused(start: Start, bad: dict[str, float]) -> None:
    pool = Pool("p")

    @pool.worker
    async def spend(ctx: WorkContext, way: str) -> None:
        if way == "cost":
            ctx.cost(**bad)  # type: ignore[arg-type]  # that is the point
        ctx.reserve(**bad)  # type: ignore[arg-type]  # same

    async with start(pool) as bench:
        for way in ("cost", "reserve"):
            failure = await bench.failure("spend", {"way": way})
            assert "amounts are 0 or more" in failure.message

    assert bench.asked == []


async def test_progress_evidence_and_log_have_limits(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def say(ctx: WorkContext, what: str) -> None:
        if what == "log":
            ctx.log("ä\ud800" * 10_000)
        elif what == "progress":
            ctx.progress(1.5)
        else:
            ctx.evidence("tool", {"x": float("nan")})

    async with start(pool) as bench:
        assert (await bench.call("say", {"what": "log"})).worker == "w"
        assert "progress is 1.5" in (await bench.failure("say", {"what": "progress"})).message
        assert "evidence of tool" in (await bench.failure("say", {"what": "evidence"})).message

    (log,) = [m for m in bench.messages if isinstance(m, TaskProgress)]
    assert log.message.startswith("ä\\ud800")
    assert len(log.message) == 2_000


async def test_evidence_is_a_copy(start: Start) -> None:
    pool = Pool("p")
    found = {"items": [1]}

    @pool.worker
    async def search(ctx: WorkContext) -> None:
        ctx.evidence("search", found)
        found["items"].append(2)

    async with start(pool) as bench:
        await bench.call("search")

    assert [m.result for m in bench.messages if isinstance(m, TaskEvidence)] == [{"items": [1]}]


async def test_a_worker_cannot_reach_into_the_owners_objects(start: Start) -> None:
    pool = Pool("p")
    args: dict[str, JsonValue] = {"value": {"list": [1]}}
    kept: list[dict[str, JsonValue]] = []

    @pool.worker
    async def vandal(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        value["list"] = "gone"
        kept.append(value)
        return value

    @pool.handler
    async def handle(ctx: WorkContext, instruction: str, args: dict[str, JsonValue]) -> JsonValue:
        args["value"] = None
        return None

    async with start(pool) as bench:
        output = await bench.output("vandal", args)
        kept[0]["list"] = "later"
        await bench.output(None, args, instruction="x")

    assert args == {"value": {"list": [1]}}
    assert output == {"list": "gone"}


async def test_outside_of_a_worker_there_is_no_context() -> None:
    with pytest.raises(LookupError):
        current_context()


async def test_the_wrong_form_of_reserve_says_the_right_one(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def blocking(ctx: WorkContext) -> None:
        with ctx.reserve(usd=1.0):
            pass

    @pool.worker(isolation="thread")
    def awaiting(ctx: WorkContext) -> None:
        ctx.reserve(usd=1.0).__await__().send(None)

    async with start(pool) as bench:
        assert "async with ctx.reserve" in (await bench.failure("blocking")).message
        assert "write `with ctx.reserve" in (await bench.failure("awaiting")).message
