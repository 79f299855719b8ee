"""A call of a tool that came to nothing is told to the owner: which tool, which kind of failure, none of its words."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from orchestrator import Engine, Succeeded
from orchestrator.core import facts as f
from orchestrator.core.story import story
from orchestrator.engine.recovery import read_all
from orchestrator.plan.files import parse_plan
from orchestrator.ports.guard import PASS, Passing, Ruling, Stage
from orchestrator.ports.model_errors import ModelUnavailable
from orchestrator.ports.tasks import TaskEvidence, TaskFailed, TaskToolFailed
from orchestrator.testing.scripted import Says, ScriptedModel
from tests.agents.saying import Saying, calls, says
from tests.agents.test_agent import TASK, pool_with
from tests.workers.conftest import Bench
from workers import AllowedUrl, Pool, RetryableError, TerminalError, ToolFailed, tool
from workers.limits import TOOL_CALLS_MAX

pytestmark = pytest.mark.anyio
Start = Callable[..., AbstractAsyncContextManager[Bench]]
SECRET = "hunter2-of-ann@example.org"


@tool
def says_no(x: int) -> int:
    """Say that it cannot be done."""
    raise ToolFailed(f"closed, {SECRET}")


@tool
def breaks(x: int) -> int:
    """Break."""
    raise KeyError(SECRET)


@tool
def gives_no_json(x: int) -> object:
    """Give back what is no JSON."""
    return float("nan")


@tool(timeout_s=0.01)
async def sleeps(x: int) -> int:
    """Sleep."""
    await anyio.sleep_forever()
    return 0


@tool
async def visits(url: AllowedUrl) -> str:
    """Go to an address."""
    return str(url)


@tool
def down(x: int) -> int:
    """Be down for a moment."""
    raise RetryableError(f"down, {SECRET}", "shelf")


@tool
def never(x: int) -> int:
    """Be no use at all."""
    raise TerminalError(f"never, {SECRET}")


@tool
def asks(x: int) -> int:
    """Ask a model that is away."""
    raise ModelUnavailable("m", SECRET)


@tool
def fine(x: int) -> int:
    """Give it back."""
    return x


def told(bench: Bench) -> list[tuple[str, str]]:
    return [(m.tool, m.error) for m in bench.messages if isinstance(m, TaskToolFailed)]


@pytest.mark.parametrize(
    ("one", "arguments", "kind"),
    [
        (says_no, {"x": 1}, "failed"),
        (breaks, {"x": 1}, "worker"),
        (gives_no_json, {"x": 1}, "output"),
        (sleeps, {"x": 1}, "timeout"),
        (fine, {"x": SECRET}, "input"),
        (fine, "{not json " + SECRET, "input"),
        (visits, {"url": "https://elsewhere.example/" + SECRET}, "refused"),
    ],
)
async def test_what_a_call_came_to_is_told_by_its_kind(start: Start, one: object, arguments: object, kind: str) -> None:
    name = one.traits.spec.name  # type: ignore[attr-defined]  # a tool
    models = Saying([calls((name, arguments)), says("done")])
    async with start(pool_with(one), models) as bench:
        assert await bench.output(None, **TASK) == "done"
    assert told(bench) == [(name, kind)]
    assert not [m for m in bench.messages if isinstance(m, TaskEvidence)]
    (message,) = (m for m in bench.messages if isinstance(m, TaskToolFailed))
    assert SECRET not in repr(message)
    assert message.seconds >= 0.0


@pytest.mark.parametrize(("one", "kind"), [(down, "shelf"), (never, "terminal"), (asks, "provider")])
async def test_a_call_that_ends_the_attempt_is_told_before_its_end(start: Start, one: object, kind: str) -> None:
    name = one.traits.spec.name  # type: ignore[attr-defined]  # a tool
    models = Saying([calls((name, {"x": 1}))])
    async with start(pool_with(one), models) as bench:
        await bench.failure(None, **TASK)
    assert told(bench) == [(name, kind)]
    kinds = [type(m) for m in bench.messages if isinstance(m, TaskToolFailed | TaskFailed)]
    assert kinds == [TaskToolFailed, TaskFailed]


async def test_a_tool_that_there_is_not_has_no_name_in_the_journal(start: Start) -> None:
    models = Saying([calls((SECRET, {"x": 1})), says("done")])
    async with start(pool_with(fine), models) as bench:
        assert await bench.output(None, **TASK) == "done"
    assert told(bench) == [("", "unknown")]


async def test_of_calls_above_the_limit_as_many_are_told_as_were_made(start: Start) -> None:
    models = Saying([calls(*(("fine", {"x": n}) for n in range(50))), says("done")])
    async with start(pool_with(fine), models) as bench:
        assert await bench.output(None, **TASK) == "done"
    assert told(bench) == [("fine", "limit")] * TOOL_CALLS_MAX


async def test_a_call_that_went_well_is_told_as_evidence_alone(start: Start) -> None:
    models = Saying([calls(("fine", {"x": 1})), says("done")])
    async with start(pool_with(fine), models) as bench:
        assert await bench.output(None, **TASK) == "done"
    assert told(bench) == []


class Stops:
    """A guard that stops what stands at one place."""

    name = "stops"

    def __init__(self, stage: Stage) -> None:
        self.stages: frozenset[Stage] = frozenset({stage})

    async def look(self, passing: Passing) -> Ruling:
        return Ruling(verdict="block", reasons=("no",)) if passing.stage in self.stages else PASS


@pytest.mark.parametrize("stage", ["tool_call", "tool_result"])
async def test_in_a_run_they_are_facts_that_why_tells_and_checks_do_not_read(stage: Stage) -> None:
    pool = Pool("desk", guards=[Stops(stage)])
    pool.agent("clerk", "You call tools.", tools=[fine, breaks])
    models = ScriptedModel([Says(tools=(("fine", {"x": 1}),)), "done"])
    plan = parse_plan("version: 1\nname: p\nsteps:\n  s: {pool: desk, task: Go}\nresult: ${{ steps.s.output }}\n")
    async with Engine(pools=[pool], store="memory:", models=models) as engine:
        run = await engine.submit(plan)
        assert isinstance(await run.result(), Succeeded)
        facts = [record.fact for record in await read_all(engine.runs.journal, run.id)]
        lines = [line.text for line in story(facts, "s")]
    assert [(one.tool, one.error) for one in facts if isinstance(one, f.ToolFailed)] == [("fine", "guard")]
    assert not [one for one in facts if isinstance(one, f.ToolCalled)]
    assert "tool fine failed: guard" in lines
