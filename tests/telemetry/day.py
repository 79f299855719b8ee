"""A scripted day of load on a clock that jumps: two tenants, three plans, models that fail, people who answer late."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count

import anyio
import httpx2
from fastapi import FastAPI

from orchestrator import Engine, FrozenPlan, Plan
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.otel.telemetry import Telemetry
from orchestrator.core import facts as f
from orchestrator.engine.operations import Operations
from orchestrator.engine.rating import rate
from orchestrator.engine.recovery import read_all
from orchestrator.errors import RetryableError, WrongState
from orchestrator.ids import RunId
from orchestrator.plan.files import parse_plan
from orchestrator.ports.journal import RunQuery
from orchestrator.ports.model import Completion, Meter, ModelCall, Prompt, Saved, ToolCall
from orchestrator.ports.model_errors import ModelRateLimited
from orchestrator.service.control_desk import Desk
from orchestrator.service.http.app import make_app
from orchestrator.service.http.metrics import opener
from orchestrator.service.http.parts import Service
from orchestrator.settings import Settings
from orchestrator.testing import JumpingLoop
from tests.telemetry.test_traces import Kept
from workers import Pool, WorkContext, tool

RUNS = 36
EVERY_S = 86_400 / RUNS


@dataclass
class DayModels:
    """Models of a day: every seventh call is refused once, some are served from a cache, judges do not quite agree."""

    asked: "count[int]" = field(default_factory=count)

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None = None) -> Completion:
        del on_delta
        number = next(self.asked)
        model = {"cheap": "small", "standard": "middle", "strong": "large"}[prompt.tier]
        if number % 7 == 3:
            charge = await meter.reserve(0.01, 100)
            meter.called(ModelCall(charge=charge, model=model, endpoint="one", outcome="rate_limited", seconds=0.2))
            if number % 14 == 3:
                raise ModelRateLimited(model, "busy", 5.0)
        charge = await meter.reserve(0.05, 3_000)
        await anyio.sleep(2 + number % 5)
        served = ("", "", "", "exact", "", "", "semantic", "", "shared", "")[number % 10]
        saved = Saved(cache=0.01 if served else 0.0, routing=0.002, compression=0.001, batch=0.004 * (number % 9 == 1))
        meter.called(
            ModelCall(
                charge=charge, model=model, endpoint="one", outcome="ok", usd=0.0 if served else 0.01 + number / 10_000,
                tokens_in=200 + number, tokens_out=40 + number % 11, tokens_cached=100 * (number % 2), prices="v1",
                seconds=2.0 + number % 5, first_s=0.0 if served else 0.3 + number / 100, served=served,
                saved=saved,
            )
        )  # fmt: skip
        if prompt.output_schema is not None:
            score = (0.9, 0.85 if number % 4 else 0.3, 0.4)[number % 3]
            return Completion(text="", finish="stop", data={"score": score, "reasons": ["so so"]})
        if prompt.tools and not any(message.role == "tool" for message in prompt.messages):
            word = "3" if number % 4 == 2 else '"sun"'  # now and then it calls the tool wrongly
            call = ToolCall(id="1", name="look_up", arguments=f'{{"word": {word}}}')
            return Completion(text="", finish="tool_calls", tool_calls=(call,))
        return Completion(text="warm" if number % 4 else "cold as nobody said", finish="stop")


@tool
async def look_up(word: str) -> str:
    """Look a word up."""
    await anyio.sleep(3)
    return f"{word}: warm"


def pools() -> list[Pool]:
    agents, desk = Pool("agents", concurrency=4), Pool("desk", concurrency=2)
    agents.agent("clerk", "You look words up.", tools=[look_up])
    calls = count()

    @desk.worker
    async def size(ctx: WorkContext, n: int) -> int:
        number = next(calls)
        await anyio.sleep(40 + number % 50)
        if number % 6 == 2:
            raise RetryableError("busy", "rate_limit", 30.0)
        ctx.cost(usd=0.003, tokens=5)
        return n if number % 5 else -1

    @desk.worker
    async def cite(ctx: WorkContext) -> dict[str, str]:
        number = next(calls)
        ctx.evidence("shelf", {"book": "one"}, seconds=0.5)
        return {"book": "one" if number % 3 else "none such"}

    return [agents, desk]


PLANS = {
    "below": """
version: 1
name: below
steps:
  inner: {pool: desk, call: size, with: {n: 4}, checks: [{rule: output > 0}], on_fail: [{retry: 3}]}
result: ${{ steps.inner.output }}
""",
    "brief": """
version: 1
name: brief
steps:
  ask:
    pool: agents
    task: What is the sun?
    checks:
      - judge: {rubric: Is it good?, votes: 3, pass_at: 0.8}
    on_fail: [{retry: 1}, {escalate: {tier: strong}}, gap]
  quote:
    pool: desk
    call: cite
    checks: [{grounded: {field: book, in: tool_results}}]
    on_fail: [gap]
  after: {pool: desk, call: size, with: {n: 1}, if: "not steps.ask.degraded", on_fail: [gap]}
result: ${{ steps.quote.output }}
""",
    "publish": """
version: 1
name: publish
steps:
  sizes:
    foreach: {over: "${{ [1, 2, 3] }}", as: n}
    pool: desk
    call: size
    with: {n: "${{ n }}"}
    checks: [{rule: output > 0}]
    on_fail: [{retry: 1}, gap]
  approve:
    needs: [sizes]
    human: {ask: Publish?, choices: [publish, hold], expires: 2h, then: hold}
result: ${{ steps.approve.output.choice }}
""",
    "tight": """
version: 1
name: tight
budget: {steps: 2}
steps:
  one: {pool: desk, call: size, with: {n: 1}, on_fail: [gap]}
  two: {pool: desk, call: size, with: {n: 2}, needs: [one], on_fail: [gap]}
  three: {pool: desk, call: size, with: {n: 3}, needs: [two], on_fail: [gap]}
result: ${{ steps.three.output }}
""",
}


def nested() -> FrozenPlan:
    """A plan with a sub-plan in it."""
    with Plan("nested") as p:
        p.result(p.plan(parse_plan(PLANS["below"]), id="sub"))
    return p.freeze()


@dataclass(frozen=True)
class Day:
    """What came of it."""

    text: str  #: of /metrics, at the end
    halfway: str  #: and at noon
    facts: dict[str, list[f.Fact]]  #: by run, sub-plans too
    journal: MemoryJournal
    now_s: float


@cache
def play_day() -> Day:
    """The day; played once for all tests."""
    return anyio.run(_play, backend_options={"loop_factory": JumpingLoop})


async def _play() -> Day:
    journal, telemetry = MemoryJournal(), Telemetry(Kept())
    every = [nested(), *(parse_plan(PLANS[name]) for name in ("brief", "publish", "tight"))]
    settings = Settings(store="memory:", transport="memory:", drain_s=0.0)
    async with Engine(
        settings, pools=pools(), journal=journal, models=DayModels(), telemetry=telemetry, recover=False
    ) as engine:
        clock = engine.runs.clock
        service = Service(desk=Desk(journal, engine.registry, engine.runs), settings=settings, clock=clock)
        async with opener(service, engine) as parts:
            app = make_app(replace(service, parts=parts))
            halfway = ""
            for number in range(RUNS):
                run = await engine.submit(
                    every[number % len(every)], {}, tenant="acme" if number % 3 else "other",
                    lane="high" if number % 5 == 0 else "normal",
                )  # fmt: skip
                await anyio.sleep(EVERY_S / 2)
                if number == RUNS // 2:
                    halfway = await _asked(app)
                for question in await Operations(engine.runs).approvals():
                    if number % 4 == 2 and number % 8 != 2:
                        await Operations(engine.runs).approve(
                            question.run_id, question.step, "publish", by="ann", reason="fine"
                        )
                await anyio.sleep(EVERY_S / 2)
                await _people(engine, journal, RunId(run.id), number)
            await engine.submit(every[0], {}, tenant="acme")
            await anyio.sleep(5)
            text = await _asked(app)
            now_s = clock.now_s()
        facts = {
            row.run_id: [record.fact for record in await read_all(journal, row.run_id)]
            for row in await journal.runs(RunQuery(limit=1_000))
        }
    telemetry.close()
    return Day(text, halfway, facts, journal, now_s)


async def _people(engine: Engine, journal: MemoryJournal, run_id: RunId, number: int) -> None:
    """What people think of what came out, and a case of an evaluation now and then."""
    (row,) = await journal.runs(RunQuery(run_id=run_id))
    if row.status == "open":
        return
    now_s = engine.runs.clock.now_s()
    if number % 2:
        await rate(journal, run_id, source="thumb", score=float(number % 3 > 0), by="ann", now_s=now_s)
    if number % 5 == 0:
        about = f"daily/case-{number % 3}"
        await rate(journal, run_id, source="eval", score=float(number % 10 == 0), by="eval", about=about, now_s=now_s)
    if number % 12 == 1 and row.status != "stopped":
        with suppress(WrongState):
            await Operations(engine.runs).quarantine(run_id, "quote", reason="made up", by="ann")


async def _asked(app: FastAPI) -> str:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/metrics")
        assert answer.status_code == 200, answer.text
        return answer.text
