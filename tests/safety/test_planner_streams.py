"""What planners and judges stream is looked at as what agents stream is: before anybody watches, over chunk borders."""

import anyio.lowlevel
import pytest

from orchestrator import Engine, Plan, Supervisor, checks
from orchestrator.ids import JsonValue
from orchestrator.plan.models import canonical_json
from orchestrator.ports.checker import Judgement, JudgeRequest
from orchestrator.ports.model import ModelCall, Prompt
from orchestrator.ports.tasks import TaskDelta
from orchestrator.safety.pii_guard import PiiGuard
from orchestrator.settings import PiiSettings, SafetySettings, Settings
from orchestrator.testing.scripted import Says, ScriptedModel
from tests.supervisor.house import draft, good, pools, task
from workers import Pool

pytestmark = pytest.mark.anyio
MAIL = "ann@example.org"
PII = Settings(store="memory:", drain_s=0.0, safety=SafetySettings(pii=PiiSettings(gives="redact")))
PLAIN = Settings(store="memory:", drain_s=0.0)


def pieces(text: str, size: int = 3) -> tuple[str, ...]:
    return tuple(text[at : at + size] for at in range(0, len(text), size))


async def seen(engine: Engine, submitted: object, inputs: dict[str, JsonValue] | None = None) -> dict[str, str]:
    """Who streamed what, as a watcher of the run sees it."""
    told: dict[str, list[str]] = {}

    def hear(heard: object) -> None:
        if isinstance(heard, TaskDelta):
            told.setdefault(heard.worker, []).append(heard.text)

    run = await engine.submit(submitted, inputs)  # type: ignore[arg-type]  # a plan, or a goal
    for driver in engine.runs.drivers():
        if driver.run_id == run.id:
            driver.watchers.append(hear)
    await run.result()
    return {who: "".join(parts) for who, parts in told.items()}


def planned(prompt: Prompt) -> Says:
    """A plan that repeats what it was asked about, in small pieces; then a judge's vote."""
    if prompt.output_schema is not None and "score" in str(prompt.output_schema):
        return Says(data=good())
    made = draft(task("all", text=f"Write to {MAIL} at once"))
    return Says(data=made, deltas=pieces(canonical_json(made)))


@pytest.mark.parametrize("by", ["settings", "guards"])
async def test_a_planner_of_goals_shows_marks_and_no_address(by: str) -> None:
    settings, guards = (PII, ()) if by == "settings" else (PLAIN, (PiiGuard(gives="redact"),))
    async with (
        ScriptedModel(planned) as models,
        Engine(settings, pools=pools(), models=models, guards=guards) as engine,
    ):
        told = await seen(engine, Supervisor().goal("Tell somebody"))
    assert "[email] at once" in told["planner"], "and its end is shown"
    assert "ann@" not in told["planner"]
    assert "example.org" not in told["planner"]


async def test_without_such_guards_a_planner_is_shown_as_it_writes() -> None:
    async with ScriptedModel(planned) as models, Engine(PLAIN, pools=pools(), models=models) as engine:
        told = await seen(engine, Supervisor().goal("Tell somebody"))
    assert MAIL in told["planner"]


class Turns:
    """A checker of a host's own: it streams several votes at once, two characters at a time."""

    async def judge(self, request: JudgeRequest) -> Judgement:
        async def vote(text: str, charge: str) -> None:
            for piece in pieces(text, 2):
                request.meter.delta(piece)
                await anyio.lowlevel.checkpoint()
            request.meter.called(ModelCall(charge=charge, model="m", endpoint="e", outcome="ok"))

        async with anyio.create_task_group() as group:
            group.start_soon(vote, f"{MAIL} wrote", "one")
            group.start_soon(vote, "-- -- -- -- -- --", "two")
        request.meter.delta(f"in the end {MAIL}")  # of an answer that no call ever ends
        return Judgement(verdict="pass", score=1.0)


async def test_votes_that_stream_at_the_same_time_hide_nothing_in_each_other() -> None:
    desk = Pool("desk")

    @desk.worker
    async def echo() -> str:
        return "x"

    with Plan("p") as p:
        p.result(p.step(echo, id="s", checks=[checks.judge("good")]))
    async with Engine(PII, pools=[desk], checker=Turns()) as engine:
        told = await seen(engine, p.freeze())
    assert told["judge"].count("[email]") == 2
    assert not set("@.") & set(told["judge"])
