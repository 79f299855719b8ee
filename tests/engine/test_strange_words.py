"""What a worker says of a task that never was, or in words that no journal keeps, harms nobody but that worker."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import pytest

from orchestrator.app import Engine
from orchestrator.core import facts as f
from orchestrator.engine.grants import Grants
from orchestrator.engine.handle import Run
from orchestrator.ids import JsonValue, RunId, StepId
from orchestrator.plan.models import Plan
from orchestrator.ports import tasks as t
from orchestrator.ports.model import ModelCall
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import facts_of, kinds_of, pool_of, until
from workers import WorkContext

pytestmark = pytest.mark.anyio
NAN = float("nan")
PLAN = Plan.model_validate(
    {"name": "p", "steps": {"a": {"pool": "p", "call": "held"}}, "result": "${{ steps.a.output }}"}
)
At = Callable[[Engine, Run], Awaitable[None]]


async def in_the_middle(open_engine: OpenEngine, plan: Plan, act: At) -> tuple[str, list[str]]:
    """How a run ends while a stranger talks into its only step, and what it journaled meanwhile."""
    begun, go = anyio.Event(), anyio.Event()

    async def held(ctx: WorkContext) -> int:
        """Wait, and answer."""
        begun.set()
        await go.wait()
        return 7

    async with open_engine(pool_of(held)) as engine:
        run = await engine.submit(plan, {})
        await begun.wait()
        await anyio.wait_all_tasks_blocked()
        before = len(await kinds_of(run))
        await act(engine, run)
        await anyio.wait_all_tasks_blocked()
        said = (await kinds_of(run))[before:]
        go.set()
        result = await run.result()
    return type(result).__name__.lower(), said


def key_of(run_id: str, **other: object) -> t.TaskKey:
    named = {"run_id": RunId(run_id), "step_id": StepId("a"), "branch": -1, "attempt": 1, **other}
    return t.TaskKey(**named)  # type: ignore[arg-type]  # its fields


NEVER_WAS = (
    {"attempt": 2},
    {"step_id": StepId("none")},
    {"step_id": StepId("a\0")},
    {"branch": 3},
    {"sample": 1},
    {"sample": -1},
    {"purpose": "check", "check": 1},
)


@pytest.mark.parametrize("other", NEVER_WAS, ids=str)
@pytest.mark.parametrize("kind", [t.TaskDone, t.TaskFailed, t.TaskStarted, t.TaskEvidence, t.TaskTripped, t.TaskSpent])
async def test_of_a_task_that_never_was_nothing_is_taken(
    open_engine: OpenEngine, kind: type[t.TaskMessage], other: dict[str, object]
) -> None:
    told: dict[str, object] = {
        t.TaskDone: {"output": 1},
        t.TaskFailed: {"error": "boom", "message": "no"},
        t.TaskStarted: {"at_s": 1.0},
        t.TaskEvidence: {"tool": "x", "result": 1},
        t.TaskTripped: {"guard": "g", "stage": "output", "verdict": "block"},
        t.TaskSpent: {"charge": "c", "usd": 0.01},
    }[kind]  # type: ignore[index, assignment]  # one of these

    async def act(engine: Engine, run: Run) -> None:
        engine.runs._deliver(kind(key=key_of(run.id, **other), worker="stranger", **told))  # type: ignore[arg-type]  # its fields

    attempt_was = kind is t.TaskSpent and {"sample", "check"} & other.keys()  # and money is told of an attempt
    kept = ["budget.settled"] if attempt_was else []
    assert await in_the_middle(open_engine, PLAN, act) == ("succeeded", kept)


async def test_what_was_refused_is_counted(open_engine: OpenEngine) -> None:
    seen: list[dict[str, int]] = []

    async def act(engine: Engine, run: Run) -> None:
        for _ in range(3):
            engine.runs._deliver(t.TaskDone(key=key_of(run.id, attempt=9), worker="stranger", output=1))
        engine.runs._deliver(t.TaskProgress(key=key_of(run.id), worker="w", message="\0"))
        await anyio.wait_all_tasks_blocked()
        seen.append(dict(engine.runs.refusals.counts))

    await in_the_middle(open_engine, PLAN, act)

    assert seen == [{"never was": 3, "value": 1}]


UNKEPT = (
    t.TaskStarted(key=key_of("?"), worker="w", at_s=NAN),
    t.TaskProgress(key=key_of("?"), worker="w", message="a\0b"),
    t.TaskProgress(key=key_of("?"), worker="w", fraction=float("inf")),
    t.TaskEvidence(key=key_of("?"), worker="w\0", tool="x", result=1),
    t.TaskEvidence(key=key_of("?"), worker="w", tool="x", result="\ud800"),
    t.TaskTripped(key=key_of("?"), worker="w", guard="\0", stage="output", verdict="block"),
    t.TaskSpent(key=key_of("?"), worker="w", charge="c", usd=NAN),
    t.TaskSpent(key=key_of("?"), worker="w", charge="c", tokens=2**80),
    t.TaskCalled(key=key_of("?"), worker="w", call=ModelCall(charge="\0", model="m", endpoint="e", outcome="ok")),
)


@pytest.mark.parametrize("message", UNKEPT, ids=lambda one: type(one).__name__)
async def test_a_sign_that_no_journal_keeps_is_refused_and_the_run_goes_on(
    open_engine: OpenEngine, message: t.TaskMessage
) -> None:
    async def act(engine: Engine, run: Run) -> None:
        engine.runs._deliver(replace(message, key=key_of(run.id)))

    assert await in_the_middle(open_engine, PLAN, act) == ("succeeded", [])


BAD_ANSWERS = (
    t.TaskDone(key=key_of("?"), worker="w", output="a\0b"),
    t.TaskDone(key=key_of("?"), worker="w", output=1 << 20_000),
    t.TaskDone(key=key_of("?"), worker="w", output=1, started_at_s=NAN),
    t.TaskDone(key=key_of("?"), worker="w\0", output=1),
    t.TaskFailed(key=key_of("?"), worker="w", error="\0", message="no"),
    t.TaskFailed(key=key_of("?"), worker="w", error="provider", message="\ud800"),
    t.TaskFailed(key=key_of("?"), worker="w", error="provider", message="no", retry_after_s=float("inf")),
)


@pytest.mark.parametrize("message", BAD_ANSWERS)
async def test_an_answer_that_no_journal_keeps_is_a_failure_of_its_attempt(
    open_engine: OpenEngine, message: t.TaskMessage
) -> None:
    failed: list[f.AttemptFailed] = []

    async def act(engine: Engine, run: Run) -> None:
        engine.runs._deliver(replace(message, key=key_of(run.id)))
        await until(run, f.AttemptFailed)
        failed.extend(await facts_of(run, f.AttemptFailed))

    status, said = await in_the_middle(open_engine, PLAN, act)

    assert (status, said[0]) == ("failed", "attempt.failed")
    assert failed[0].error == "output"
    assert "none that a journal keeps" in failed[0].message
    assert failed[0].actor in ("", "w")


async def test_a_check_that_says_what_no_journal_keeps_is_broken(open_engine: OpenEngine) -> None:
    async def now(ctx: WorkContext) -> int:
        """Answer at once."""
        return 7

    async def look(ctx: WorkContext, output: int) -> bool:
        """Never speak."""
        await anyio.sleep_forever()
        return True

    step = {"pool": "p", "call": "now", "checks": [{"call": "look"}]}
    async with open_engine(pool_of(now, look)) as engine:
        run = await engine.submit(Plan.model_validate({"name": "p", "steps": {"a": step}}), {})
        await until(run, f.StepDispatched, 2)
        key = key_of(run.id, purpose="check", check=1)
        said: JsonValue = {"verdict": "fix", "reasons": ["\0"]}
        engine.runs._deliver(t.TaskDone(key=key, worker="w", output=said))
        await until(run, f.CheckVerdict, 2)
        (_, verdict) = await facts_of(run, f.CheckVerdict)

    assert (verdict.verdict, verdict.name) == ("check_broken", "call")
    assert "none that a journal keeps" in verdict.reasons[0]


@pytest.mark.parametrize("other", NEVER_WAS[:-1], ids=str)
@pytest.mark.parametrize("kind", [t.SpendRequest, t.IntentRequest, t.StartRequest])
async def test_nobody_is_granted_anything_for_a_task_that_never_was(
    open_engine: OpenEngine, kind: type[t.OwnerRequest], other: dict[str, object]
) -> None:
    asked: dict[str, object] = {
        t.SpendRequest: {"charge": "c", "usd": 0.1},
        t.IntentRequest: {"effect": "e", "tool": "x"},
        t.StartRequest: {"worker": "stranger"},
    }[kind]  # type: ignore[index, assignment]  # one of these
    replies: list[t.OwnerReply] = []

    async def act(engine: Engine, run: Run) -> None:
        runs = engine.runs
        grants = Grants(runs.clock, runs.driver, runs.tell, runs.ended)
        replies.append(await grants.answer(kind(key=key_of(run.id, **other), **asked)))  # type: ignore[arg-type]  # its fields

    assert await in_the_middle(open_engine, PLAN, act) == ("succeeded", [])
    assert [reply.granted for reply in replies] == [False]


@pytest.mark.parametrize(
    "request_",
    [
        t.SpendRequest(key=key_of("?"), charge="\0", usd=0.1),
        t.SpendRequest(key=key_of("?"), charge="c", usd=NAN),
        t.IntentRequest(key=key_of("?"), effect="\0", tool="x"),
        t.StartRequest(key=key_of("?"), worker="\0"),
    ],
)
async def test_a_request_in_words_that_no_journal_keeps_is_refused_as_such(
    open_engine: OpenEngine, request_: t.OwnerRequest
) -> None:
    replies: list[t.OwnerReply] = []

    async def act(engine: Engine, run: Run) -> None:
        runs = engine.runs
        grants = Grants(runs.clock, runs.driver, runs.tell, runs.ended)
        with anyio.fail_after(60.0):
            replies.append(await grants.answer(replace(request_, key=key_of(run.id))))

    assert await in_the_middle(open_engine, PLAN, act) == ("succeeded", [])
    assert [(reply.granted, reply.limit) for reply in replies] == [(False, "value")]
