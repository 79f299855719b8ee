"""Agents in an engine: what the journal keeps, what watchers hear, what a plan without a model is told."""

import json
from pathlib import Path

import pytest

from orchestrator import Plan, checks, ladder
from orchestrator.core import facts as f
from orchestrator.core.history import check_history
from orchestrator.core.results import Degraded, Stopped, Succeeded
from orchestrator.core.story import story
from orchestrator.errors import PromiseError
from orchestrator.plan.files import parse_plan
from orchestrator.plan.parts import Budget
from orchestrator.ports.model import Prompt, Tier
from orchestrator.ports.model_errors import ModelRateLimited, ModelTimeout
from orchestrator.ports.tasks import TaskDelta
from tests.agents.saying import Saying, calls, says
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import facts_of, records_of
from tests.workers import sample_pool
from workers import Pool, ToolContext, WorkContext, tool
from workers.kinds import data as data_module

pytestmark = pytest.mark.anyio

ONE = """
version: 1
name: one
inputs: {topic: {type: string}}
constraints: [Every figure carries a year]
steps:
  draft:
    pool: p
    task: Write about ${{ inputs.topic }}.
    retry: {attempts: 3, backoff: 1ms..1ms}
result: ${{ steps.draft.output }}
"""
sent: list[tuple[str | None, str]] = []


@tool
def lookup(term: str) -> str:
    """What is known of a term."""
    return f"all about {term}"


@tool(effect=True)
async def send(ctx: ToolContext, to: str) -> str:
    """Send a letter."""
    sent.append((ctx.key, to))
    return "sent"


def pool_with(*tools: object, **options: object) -> Pool:
    pool = Pool("p")
    pool.agent("writer", "You write.", tools=tools, **options)  # type: ignore[arg-type]  # options of agent
    return pool


async def test_the_journal_tells_everything_an_agent_did(open_engine: OpenEngine) -> None:
    models = Saying([calls(("lookup", {"term": "cop"}), ("send", {"to": "ada"})), says("Heat pumps are fine.")])
    async with open_engine(pool_with(lookup, send), models=models) as engine:
        run = await engine.submit(parse_plan(ONE), {"topic": "heat pumps"})
        heard: list[str] = []
        stop = run.watch(lambda said: heard.append(said.text) if isinstance(said, TaskDelta) else None)
        result = await run.result()
        stop()
        records = await records_of(engine.runs.journal, run.id)

    assert isinstance(result, Succeeded)
    assert (result.output, result.usage.usd, result.usage.tokens) == ("Heat pumps are fine.", 0.02, 200)
    assert "".join(heard) == "Heat pumps are fine."
    kinds = [record.fact.KIND for record in records]
    assert kinds[kinds.index("step.dispatched") + 1 : kinds.index("step.produced")] == [
        "budget.reserved",
        "model.called",
        "tool.called",
        "tool.intended",
        "tool.called",
        "budget.reserved",
        "model.called",
    ]
    (intended,) = (record.fact for record in records if isinstance(record.fact, f.ToolIntended))
    assert (intended.tool, intended.key) == ("send", sent[-1][0])
    called = next(record.fact for record in records if isinstance(record.fact, f.ModelCalled))
    assert (called.model, called.endpoint, called.usd, called.outcome) == ("m", "e", 0.01, "ok")
    assert not check_history(records)
    told = [line.text for line in story(records, "draft")]
    assert f"tool send is about to act under the key {intended.key}" in told
    assert "model m at e was called: ok (0.01 USD, 100 tokens)" in told
    assert models.prompts[0].messages[1].content.startswith("TASK\nWrite about heat pumps.")
    assert "- Every figure carries a year" in models.prompts[0].messages[0].content


async def test_what_a_check_refused_and_which_tier_comes_next_reach_the_agent(open_engine: OpenEngine) -> None:
    asked: list[tuple[Tier, bool]] = []

    def answer(prompt: Prompt) -> object:
        asked.append((prompt.tier, "must be long" in prompt.messages[1].content))
        return says("short" if prompt.tier == "standard" else "long enough")

    with Plan("two") as p:
        step = p.task(
            "p",
            "Write.",
            checks=[checks.rule("len(output) > 6", reason="it must be long")],
            on_fail=[ladder.retry(1), ladder.escalate(tier="strong")],
        )
        p.result(step)
    # The same answer twice is not asked for again, so the retry goes straight on to the stronger model.
    models = Saying([answer] * 3)  # type: ignore[list-item]  # lines
    async with open_engine(pool_with(), models=models) as engine:
        result = await (await engine.submit(p.freeze())).result()
    assert isinstance(result, Succeeded)
    assert result.output == "long enough"
    assert asked == [("standard", False), ("standard", True), ("strong", True)]


async def test_quotes_are_looked_up_in_what_tools_gave(open_engine: OpenEngine) -> None:
    with Plan("grounded") as p:
        step = p.task(
            "p",
            "Quote.",
            output={"type": "object", "properties": {"quote": {"type": "string"}}, "required": ["quote"]},
            checks=[checks.grounded("quote", in_="tool_results")],
            on_fail=[ladder.retry(1)],
        )
        p.result(step)
    lines = [
        calls(("lookup", {"term": "cop"})),
        says({"quote": "all about frogs"}),
        calls(("lookup", {"term": "cop"})),
        says({"quote": "all about cop"}),
    ]
    models = Saying(lines)
    async with open_engine(pool_with(lookup), models=models) as engine:
        result = await (await engine.submit(p.freeze())).result()
    assert isinstance(result, Succeeded)
    assert result.output == {"quote": "all about cop"}
    assert "does not occur in a tool result" in models.prompts[2].messages[1].content


async def test_an_error_of_the_model_is_retried_by_the_step(open_engine: OpenEngine) -> None:
    models = Saying([ModelTimeout("m", "too slow"), says("done")])
    async with open_engine(pool_with(), models=models) as engine:
        run = await engine.submit(parse_plan(ONE), {"topic": "x"})
        assert isinstance(await run.result(), Succeeded)
        (failed,) = await facts_of(run, f.AttemptFailed)
    assert (failed.error, failed.message) == ("timeout", "model m: timeout: too slow")


async def test_a_budget_ends_an_agent_and_keeps_what_passed(open_engine: OpenEngine) -> None:
    with Plan("budgeted", budget=Budget(usd=0.05, on_limit="degrade")) as p:
        first = p.task("p", "One.", id="first")
        p.task("p", "Go on for ever.", id="second", needs=[first])
        p.result(first)
    models = Saying([says("one"), *[calls(("lookup", {"term": "x"}))] * 20])
    async with open_engine(pool_with(lookup, turns_max=20), models=models) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        spent = await facts_of(run, f.ModelCalled)
    assert isinstance(result, Degraded)
    assert result.output == "one"
    assert len(spent) == 4  # 0.04 are spent, and the next call wants 0.02 set aside
    assert result.usage.usd == pytest.approx(0.04)


async def test_a_plan_whose_agent_has_no_model_is_refused_at_its_start(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    async with open_engine(pool_with()) as engine:
        with pytest.raises(PromiseError, match=r"step draft cannot run in pool p: .*OPENAI_API_KEY") as caught:
            await engine.submit(parse_plan(ONE), {"topic": "x"})
    assert caught.value.remedy


async def test_a_plan_that_runs_code_of_a_model_is_refused_where_that_is_off(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(data_module.VARIABLE, "off")
    text = ONE.replace("pool: p", "pool: data")
    escalating = ONE.replace("retry: {", "on_fail: [{escalate: {pool: data}}]\n    retry: {")
    async with open_engine(data_module.data, pool_with(), models=Saying([])) as engine:
        for plan in (text, escalating):
            with pytest.raises(PromiseError, match=r"step draft cannot run in pool data: running code .* is off"):
                await engine.submit(parse_plan(plan), {"topic": "x"})


async def test_functions_ask_models_in_the_loop_in_threads_and_in_child_processes(open_engine: OpenEngine) -> None:
    models = Saying([says("from the loop"), says("from a thread"), says("from a child")])
    pool = Pool("here")

    @pool.worker(needs_model=True)
    async def in_loop(ctx: WorkContext) -> str:
        return (await ctx.models.complete(sample_pool.question("loop"))).text

    @pool.worker(isolation="thread", needs_model=True)
    def in_thread(ctx: WorkContext) -> str:
        return ctx.models.complete_blocking(sample_pool.question("thread")).text

    with Plan("three") as p:
        one = p.step(in_loop, id="one")
        two = p.step(in_thread, id="two", needs=[one])
        three = p.step(sample_pool.ask_model, id="three", needs=[two])
        p.result({"one": one, "two": two, "three": three})
    async with open_engine(pool, sample_pool.children, models=models) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        called = await facts_of(run, f.ModelCalled)
    assert isinstance(result, Succeeded)
    assert result.output == {"one": "from the loop", "two": "from a thread", "three": "from a child"}
    assert [str(fact.step) for fact in called] == ["one", "two", "three"]
    assert [prompt.messages[0].content for prompt in models.prompts] == ["loop", "thread", "child"]


async def test_what_went_wrong_with_a_model_is_the_same_in_a_child_process(open_engine: OpenEngine) -> None:
    with Plan("child", budget=Budget(usd=0.025, on_limit="stop")) as p:
        p.result(p.step(sample_pool.ask_model, id="one", retry={"attempts": 2, "backoff": "1ms..1ms"}))
    models = Saying([ModelRateLimited("m", "slow down", 0.01)])
    async with open_engine(sample_pool.children, models=models) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        failed = await facts_of(run, f.AttemptFailed)
    # The first try is turned away and costs 0.01; the second finds less left than the call sets aside.
    assert [(fact.error, fact.retry_after_s, fact.message) for fact in failed] == [
        ("rate_limit", 0.01, "model m: rate limited: slow down"),
        ("budget", None, "budget usd: asked for 0.02, 0.015 left"),
    ]
    assert isinstance(result, Stopped)
    assert len(models.prompts) == 2


async def test_effects_are_announced_from_a_child_process_too(open_engine: OpenEngine) -> None:
    with Plan("effect") as p:
        p.result(p.step(sample_pool.announce, id="one"))
    async with open_engine(sample_pool.children, models=Saying([])) as engine:
        run = await engine.submit(p.freeze())
        assert isinstance(await run.result(), Succeeded)
        (intended,) = await facts_of(run, f.ToolIntended)
    assert (intended.tool, intended.key) == ("printer", "page-1")


async def test_a_check_may_ask_a_model_and_its_step_pays(open_engine: OpenEngine) -> None:
    pool = pool_with()
    pool.agent("review", "You judge.", output={"type": "object", "properties": {"verdict": {"enum": ["pass", "fix"]}}})
    with Plan("reviewed") as p:
        p.result(p.task("p", "Write.", id="draft", checks=[checks.call("review", pool="p")]))
    models = Saying([says("text"), says({"verdict": "pass"})])
    async with open_engine(pool, models=models) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        records = await records_of(engine.runs.journal, run.id)
    assert isinstance(result, Succeeded)
    assert result.usage.usd == 0.02
    assert not check_history(records)
    assert "text" in models.prompts[1].messages[1].content
    assert "You judge." in models.prompts[1].messages[0].content


async def test_a_secret_stays_out_of_the_journal_the_log_and_the_prompt(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SHELF_TOKEN", "tok/ä 42+x")

    @tool
    def leaks(ctx: ToolContext, how: str) -> object:
        """Leak."""
        token = ctx.secret("SHELF_TOKEN")
        ctx.log(f"using {token}")
        ctx.progress(0.5, f"with {token}")
        if how == "error":
            raise ValueError(f"401 for https://shelf.example/?t=tok%2F%C3%A4%2042%2Bx and {token}")
        return {"headers": {token: [token]}, "b64": "dG9rL8OkIDQyK3g=", "json": json.dumps(token)}

    asked = calls(("leaks", {"how": "result"}), ("leaks", {"how": "error"}))
    models = Saying([asked, says("done")])
    heard: list[object] = []
    async with open_engine(pool_with(leaks), models=models) as engine:
        run = await engine.submit(parse_plan(ONE), {"topic": "x"})
        run.watch(heard.append)
        assert isinstance(await run.result(), Succeeded)
        records = await records_of(engine.runs.journal, run.id)
    everything = repr(records) + repr(models.prompts) + repr(heard) + caplog.text
    for form in ("tok/ä", "tok%2F", "dG9rL8Ok", "tok\\/", "tok/\\u00e4"):
        assert form not in everything
    assert everything.count("[secret SHELF_TOKEN]") >= 8
