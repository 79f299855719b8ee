"""Budgets under agents beside each other: limits of calls are met exactly, those of money and tokens never passed."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import pytest

from orchestrator import Budget, Degraded, Failed, FrozenPlan, Stopped, Succeeded, Supervisor
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history
from orchestrator.engine.handle import Run
from orchestrator.engine.operations import Operations
from orchestrator.engine.recovery import read_all
from orchestrator.ids import JsonValue
from orchestrator.ports.journal import RunQuery
from orchestrator.ports.model import Completion, Meter, ModelCall, Prompt, ToolCall
from tests.supervisor.house import FAN_OUT, Data, draft, facts, good, opened, pools, task
from workers import Pool, tool

pytestmark = pytest.mark.anyio
USD, TOKENS = 0.01, 100  #: of a call
POLICIES = ("degrade", "stop")


@dataclass(slots=True)
class Endpoint:
    """A model that keeps its own ledger: what it was really asked, and what that really cost."""

    answer: Callable[[Prompt], str] = lambda prompt: ""  # a default, replaced by every test that speaks
    usd: float = USD  #: a call really costs this
    tokens: int = TOKENS
    told_usd: float = USD  #: and this is set aside for it
    calls: int = 0
    spent: float = 0.0
    used: int = 0
    under_way: int = 0
    most_under_way: int = 0
    reserved: list[str] = field(default_factory=list)

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None = None) -> Completion:
        """One call; agents are sent back to work for ever, whoever asks for data gets it."""
        charge = await meter.reserve(self.told_usd, self.tokens)
        self.reserved.append(charge)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.calls, self.spent, self.used = self.calls + 1, self.spent + self.usd, self.used + self.tokens
        await anyio.sleep(0.01)
        self.under_way -= 1
        meter.called(
            ModelCall(
                charge=charge, model="m", endpoint="e", outcome="ok", usd=self.usd, tokens_in=self.tokens, prices="v1"
            )
        )
        if prompt.tools:
            return Completion(text="", finish="tool_calls", tool_calls=(ToolCall(id="c", name="look", arguments="{}"),))
        text = self.answer(prompt)
        return Completion(text=text, finish="stop")


@tool
def look() -> str:
    """Look again."""
    return "nothing yet"


def agents() -> Pool:
    """A pool whose agents never come to an end by themselves."""
    pool = Pool("agents", concurrency=200)
    pool.agent("worker", "You look.", tools=[look], turns_max=50)
    return pool


def beside(count: int, **budget: JsonValue) -> FrozenPlan:
    """That many agents beside each other under one budget."""
    items: list[JsonValue] = list(range(count))
    return FrozenPlan.model_validate(
        {
            "name": "beside",
            "budget": {"usd": 1000.0, "tokens": 10**9, **budget},
            "steps": {
                "look": {
                    "pool": "agents",
                    "task": "Look around",
                    "foreach": {"over": items, "max_parallel": count},
                    "on_fail": ["gap"],
                }
            },
            "result": "${{ steps.look.passed }}",
        }
    )


async def run(plan: FrozenPlan, endpoint: Endpoint) -> tuple[object, f.RunEnded]:
    """Run it; the journal must hang together and agree with the endpoint's ledger."""
    async with opened(models=endpoint, pools=[*pools(), agents()]) as engine:
        made = await engine.submit(plan)
        result = await made.result()
        records = await read_all(engine.runs.journal, made.id)
        (ended,) = await facts(engine, f.RunEnded, made.id)
        called = await facts(engine, f.ModelCalled)
        reserved = await facts(engine, f.BudgetReserved)
    assert check_history(records) == ()
    settled = {one.charge for one in called}
    held = [one for one in reserved if one.charge not in settled]  # cut off by a `stop`
    assert len(called) + len(held) == endpoint.calls
    assert sum(one.usd for one in called) + len(held) * endpoint.usd == pytest.approx(endpoint.spent)
    return result, ended


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [2, 4, 8])
@pytest.mark.parametrize("limit", [3, 5, 9])
async def test_a_limit_of_calls_ends_at_exactly_that_many(limit: int, count: int, policy: str) -> None:
    endpoint = Endpoint()
    result, ended = await run(beside(count, calls=limit, on_limit=policy), endpoint)
    assert endpoint.calls == limit
    assert ended.calls == limit
    assert isinstance(result, Stopped)
    assert result.reason == "budget.calls"


@pytest.mark.parametrize("count", [2, 4, 8, 100])
@pytest.mark.parametrize("kind", ["usd", "tokens", "calls"])
async def test_no_limit_is_ever_passed_however_many_agents_there_are(kind: str, count: int) -> None:
    endpoint = Endpoint()
    most = 3 * count + 1
    limits: dict[str, JsonValue] = {"usd": most * USD + USD / 2, "tokens": most * TOKENS + TOKENS // 2, "calls": most}
    result, ended = await run(beside(count, **{kind: limits[kind]}), endpoint)
    assert isinstance(result, Stopped)
    assert result.reason == f"budget.{kind}"
    assert endpoint.calls == most  # all that fits was used, and not one call more
    assert endpoint.most_under_way <= count
    assert (ended.tokens, ended.calls) == (most * TOKENS, most)
    assert ended.usd == pytest.approx(most * USD)


@pytest.mark.parametrize("count", [2, 8, 100])
async def test_where_calls_cost_more_than_was_set_aside_the_overspend_is_that_of_calls_in_flight(
    count: int,
) -> None:
    endpoint = Endpoint(usd=3 * USD, told_usd=USD)
    limit = 3 * count * USD
    await run(beside(count, usd=limit), endpoint)
    assert endpoint.spent - limit <= count * 3 * USD + 1e-9


async def test_planner_judge_and_agents_share_one_limit_of_calls_over_the_whole_tree() -> None:
    plan = draft(task("eu", "agents"), task("us", "agents"))

    def answer(prompt: Prompt) -> str:
        return json.dumps(good() if "You judge" in prompt.messages[0].content else plan)

    for limit in (3, 5, 9):
        endpoint = Endpoint(answer=answer)
        async with opened(models=endpoint, pools=[*pools(), agents()]) as engine:
            goal = Supervisor(closing=0.0).goal("g", budget=Budget(usd=10.0, tokens=10**6, calls=limit))
            made = await engine.submit(goal)
            await made.result()
            (ended,) = await facts(engine, f.RunEnded, made.id)
        assert (endpoint.calls, ended.calls) == (limit, limit)


# ---- the closing share


def closing_plan(closing: float, **budget: JsonValue) -> FrozenPlan:
    """Agents without end beside each other, and a judged step that makes something of what there is."""
    items: list[JsonValue] = [1, 2]
    return FrozenPlan.model_validate(
        {
            "name": "closing",
            "budget": {"usd": 10.0, "tokens": 10**6, "closing": closing, **budget},
            "steps": {
                "look": {
                    "pool": "agents",
                    "task": "Look around",
                    "foreach": {"over": items, "max_parallel": 2},
                    "on_fail": ["gap"],
                },
                "answer": {
                    "pool": "writer",
                    "task": "Sum up",
                    "with": {"found": "${{ steps.look.passed }}"},
                    "checks": [{"judge": {"rubric": "It is fair"}}],
                },
            },
            "result": "${{ steps.answer.output }}",
        }
    )


def voting(prompt: Prompt) -> str:
    """A judge that is content."""
    return '{"reasons": [], "score": 1}'


class VotingEndpoint(Endpoint):
    """Gives data to judges, whoever they are."""

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None = None) -> Completion:
        """One call."""
        made = await super().complete(prompt, meter, on_delta)
        return made if prompt.tools else Completion(text=made.text, finish="stop", data={"reasons": [], "score": 1.0})


@pytest.mark.parametrize("kind", ["usd", "tokens", "calls"])
async def test_a_share_is_kept_for_the_closing_step_and_released_when_it_starts(kind: str) -> None:
    limits: dict[str, JsonValue] = {"usd": 10 * USD + USD / 2, "tokens": 10 * TOKENS + 50, "calls": 10}
    endpoint = VotingEndpoint(answer=voting)
    result, ended = await run(closing_plan(0.2, **{kind: limits[kind]}), endpoint)
    assert isinstance(result, Degraded)
    assert result.output == {"answer": "from ", "citations": {}}
    assert {gap.reason for gap in result.gaps} == {f"budget.{kind}"}
    assert endpoint.calls == 9  # eight for the agents, one for the judge of the closing step
    assert ended.calls == 9
    without = VotingEndpoint(answer=voting)
    result, _ = await run(closing_plan(0.0, **{kind: limits[kind]}), without)
    assert isinstance(result, Stopped)
    assert without.calls == 10


async def test_a_person_is_asked_for_more_calls_where_the_plan_says_so() -> None:
    endpoint = VotingEndpoint(answer=voting)
    async with opened(models=endpoint, pools=[*pools(), agents()]) as engine:
        made = await engine.submit(closing_plan(0.0, on_limit="ask", calls=3))
        await made.result_or_waiting()
        (asked,) = await facts(engine, f.ApprovalAsked)
        calls_before = endpoint.calls
        await Operations(engine.runs).approve(made.id, "budget", "stop", by="ann")
        result = await made.result()
    assert (asked.subject, calls_before) == ("budget", 3)
    assert asked.ask == "The budget of calls is used up. Grant it once more?"
    assert isinstance(result, Stopped)


# ---- crashes


class Dies(MemoryJournal):
    """A journal whose process dies when it is to settle a call."""

    armed = True

    async def append(self, entries):  # type: ignore[no-untyped-def]  # as the class above
        """Fail at the first settling."""
        if self.armed and any(isinstance(fact, f.ModelCalled) for entry in entries for fact in entry.facts):
            self.armed = False
            raise RuntimeError("the process dies")
        return await super().append(entries)


async def test_a_call_that_a_crash_kept_from_being_settled_stays_charged() -> None:
    endpoint = Endpoint(
        answer=lambda prompt: json.dumps(good() if "You judge" in prompt.messages[0].content else FAN_OUT)
    )
    journal = Dies()
    host = Supervisor(judge=None)

    async def first() -> None:
        async with opened(journal, models=endpoint, supervisor=host) as engine:
            await (await engine.submit(host.goal("g", budget=Budget(usd=1.0, calls=5)))).result()

    with pytest.raises(BaseExceptionGroup):
        await first()
    async with opened(journal, models=endpoint, supervisor=host) as engine:
        made = Run(engine.runs, (await journal.runs(RunQuery(top_level=True)))[0].run_id)
        result = await made.result()
        (ended,) = await facts(engine, f.RunEnded, made.id)
        assert check_history(await read_all(journal, made.id)) == ()
    assert isinstance(result, Succeeded)
    assert endpoint.calls == 2  # the draft that was never journaled had to be written again
    assert ended.calls == 2
    assert ended.usd == pytest.approx(2 * USD)  # and both are paid, the one without a word as far as it was set aside


@pytest.mark.parametrize("policy", POLICIES)
async def test_without_room_for_a_judge_nothing_passes_unjudged(policy: str) -> None:
    endpoint = VotingEndpoint(answer=voting, told_usd=5.0)
    step: Data = {"pool": "writer", "task": "Sum up", "checks": [{"judge": {"rubric": "It is fair"}}]}
    plan = FrozenPlan.model_validate({"name": "poor", "budget": {"on_limit": policy}, "steps": {"answer": step}})
    async with opened(models=endpoint) as engine:
        result = await (await engine.submit(plan)).result()
    assert isinstance(result, Stopped | Failed)
    assert endpoint.calls == 0


async def test_a_judge_waits_while_a_person_is_asked_for_more_and_is_asked_again_after() -> None:
    endpoint = VotingEndpoint(answer=voting, told_usd=1.5)
    step: Data = {"pool": "writer", "task": "Sum up", "checks": [{"judge": {"rubric": "It is fair"}}]}
    plan = FrozenPlan.model_validate({"name": "poor", "budget": {"on_limit": "ask"}, "steps": {"answer": step}})
    async with opened(models=endpoint) as engine:
        made = await engine.submit(plan)
        await made.result_or_waiting()
        assert endpoint.calls == 0
        await Operations(engine.runs).approve(made.id, "budget", "extend", by="ann")
        result = await made.result()
        verdicts = [one.verdict for one in await facts(engine, f.CheckVerdict) if one.name == "judge"]
        assert check_history(await read_all(engine.runs.journal, made.id)) == ()
    assert isinstance(result, Succeeded)
    assert verdicts == ["check_broken", "pass"]
    assert endpoint.calls == 1


async def test_a_goal_waits_while_a_person_is_asked_for_more_and_is_planned_after() -> None:
    endpoint = Endpoint(answer=lambda prompt: json.dumps(FAN_OUT), told_usd=1.5)
    host = Supervisor(judge=None)
    async with opened(models=endpoint, supervisor=host) as engine:
        made = await engine.submit(host.goal("g", budget=Budget(on_limit="ask")))
        await made.result_or_waiting()
        assert endpoint.calls == 0
        await Operations(engine.runs).approve(made.id, "budget", "extend", by="ann")
        assert isinstance(await made.result(), Succeeded)
        assert check_history(await read_all(engine.runs.journal, made.id)) == ()
    assert endpoint.calls == 1


@pytest.mark.parametrize("policy", ["degrade", "stop"])
async def test_without_room_for_a_planner_the_run_stops_and_says_which_limit(policy: str) -> None:
    endpoint = Endpoint(told_usd=5.0)
    async with opened(models=endpoint) as engine:
        goal = Supervisor().goal("g", budget=Budget.model_validate({"on_limit": policy}))
        result = await (await engine.submit(goal)).result()
    assert isinstance(result, Stopped)
    assert (result.reason, endpoint.calls) == ("budget.usd", 0)
