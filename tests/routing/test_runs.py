"""Routing in whole runs: the choice is a fact before anything is sent, and the ladder and a resume go on from it."""

import pytest

from orchestrator import Plan, Succeeded, checks, ladder
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.app import Engine
from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history
from orchestrator.core.story import story
from orchestrator.engine.promises import check_promises
from orchestrator.engine.recovery import machine_of, read_all
from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue, RunId
from orchestrator.plan.files import parse_plan
from orchestrator.ports.journal import Journal
from orchestrator.ports.model import Prompt
from orchestrator.settings import GatewaySettings, RoutingSettings, Settings
from orchestrator.testing.scripted import ScriptedModel
from workers import Pool

YAML = """
version: 1
name: small
steps:
  say:
    pool: writer
    task: Say a number
    output: {type: object, required: [n], properties: {n: {type: integer}}}
    checks: [{rule: output.n > 3}]
    on_fail: [{escalate: {tier: strong}}]
    model: {tier: auto}
result: ${{ steps.say.output }}
"""


def writer() -> Pool:
    pool = Pool("writer")
    pool.agent("writer", instructions="You write.", tier="standard")
    return pool


def by_tier(prompt: Prompt) -> dict[str, JsonValue]:
    return {"n": {"cheap": 1, "standard": 5, "strong": 9}[prompt.tier]}


def settings(**routing: object) -> Settings:
    return Settings(models=GatewaySettings(routing=RoutingSettings.model_validate(routing)))


async def chosen(journal: Journal, run_id: RunId) -> list[tuple[str | None, str, str]]:
    records = await read_all(journal, run_id)
    assert check_history(records) == ()
    return [(one.fact.tier, one.fact.advised, one.fact.by) for one in records if isinstance(one.fact, f.TierChosen)]


@pytest.mark.anyio
async def test_a_cascade_begins_cheap_and_the_refusal_takes_it_to_the_strong_tier() -> None:
    plan = parse_plan(YAML, "small.plan.yaml")
    async with (
        ScriptedModel(by_tier, usd=0.01) as models,
        Engine(pools=[writer()], store="memory:", models=models, settings=settings()) as engine,
    ):
        run = await engine.submit(plan)
        result = await run.result()
        records = await read_all(engine.runs.journal, run.id)
        told = [line.text for line in story(records, "say")]
        assert await chosen(engine.runs.journal, run.id) == [("cheap", "cheap", "cascade")]
    assert isinstance(result, Succeeded)
    assert result.output == {"n": 9}
    assert [prompt.tier for prompt in models.prompts] == ["cheap", "strong"]
    few = "under 30 verdicts in pool writer: the lowest tier first, and strong where a check refuses it"
    assert told[1] == f"begins with tier cheap: {few} (cascade)"
    kinds = [type(one.fact) for one in records if isinstance(one.fact, f.TierChosen | f.StepDispatched)]
    assert kinds == [f.TierChosen, f.StepDispatched, f.StepDispatched]


def test_python_and_yaml_give_one_plan() -> None:
    with Plan("small") as p:
        said = p.task(
            "writer",
            "Say a number",
            id="say",
            output={"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
            checks=[checks.rule("output.n > 3")],
            on_fail=[ladder.escalate(tier="strong")],
            model="auto",
        )
        p.result(said)
    assert p.freeze().digest == parse_plan(YAML, "small.plan.yaml").digest


@pytest.mark.anyio
async def test_after_enough_verdicts_of_the_journal_the_cheap_tier_is_left_out_and_why_says_so() -> None:
    journal = MemoryJournal()
    plan = parse_plan(YAML, "small.plan.yaml")
    routing = settings(examples_min=3, success=0.2)
    async with (
        ScriptedModel(by_tier, usd=0.01) as models,
        Engine(pools=[writer()], journal=journal, models=models, settings=routing) as engine,
    ):
        first = [await (await engine.submit(plan)).result() for _ in range(3)]
        assert all(isinstance(one, Succeeded) for one in first)
    # Another process: all it knows is what the journal says.
    async with (
        ScriptedModel(by_tier, usd=0.01) as again,
        Engine(pools=[writer()], journal=journal, models=again, settings=routing) as engine,
    ):
        run = await engine.submit(plan)
        await run.result()
        told = [line.text for line in story(await read_all(journal, run.id), "say")]
    assert [prompt.tier for prompt in again.prompts] == ["strong"]
    assert told[1] == (
        "begins with tier strong: by 3 verdicts the cheapest way to 20%: strong first (verdicts); "
        "100% are expected to end right at about 0.01 USD"
    )


@pytest.mark.anyio
async def test_shadow_mode_journals_what_it_would_do_and_changes_nothing() -> None:
    named = parse_plan(YAML.replace("tier: auto", "tier: standard"), "small.plan.yaml")
    async with (
        ScriptedModel(by_tier) as models,
        Engine(pools=[writer()], store="memory:", models=models, settings=settings(mode="shadow")) as engine,
    ):
        run = await engine.submit(named)
        assert isinstance(await run.result(), Succeeded)
        assert await chosen(engine.runs.journal, run.id) == [("standard", "cheap", "cascade")]
        told = [line.text for line in story(await read_all(engine.runs.journal, run.id), "say")]
    assert [prompt.tier for prompt in models.prompts] == ["standard"]
    assert told[1].startswith("begins with tier standard; routing only watches, and would take tier cheap: ")


@pytest.mark.anyio
async def test_a_resume_goes_on_with_the_tier_that_was_chosen() -> None:
    plan = parse_plan(YAML, "small.plan.yaml")
    async with (
        ScriptedModel(by_tier) as models,
        Engine(pools=[writer()], store="memory:", models=models, settings=settings()) as engine,
    ):
        run = await engine.submit(plan)
        await run.result()
        records = await read_all(engine.runs.journal, run.id)
    at = next(n for n, one in enumerate(records) if isinstance(one.fact, f.StepDispatched))
    machine = machine_of(records[: at + 1])  # an engine that knows nothing of routing
    (command,) = [one for one in machine.outstanding(9.0) if getattr(one, "tier", None)]
    assert getattr(command, "tier", None) == "cheap"


def test_an_engine_without_routing_refuses_an_open_tier_at_the_start() -> None:
    plan = parse_plan(YAML, "small.plan.yaml")
    with pytest.raises(PromiseError, match="step say leaves its tier open"):
        check_promises(plan, judge=True, planner=True)
    check_promises(plan, judge=True, planner=True, routes=("cheap",))


def test_every_tier_that_may_be_chosen_must_have_a_model() -> None:
    asked: list[str | None] = []

    def ready(pool: str, function: str | None, tier: str | None) -> None:
        asked.append(tier)

    check_promises(
        parse_plan(YAML, "small.plan.yaml"), judge=True, planner=True, ready=ready, routes=("standard", "strong")
    )
    assert asked == ["standard", "strong", "strong", "strong"]
