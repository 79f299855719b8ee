"""A role that no model has: refused where the plan is handed in, and never put into a plan by a supervisor."""

import pytest

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.app import Engine
from orchestrator.errors import PromiseError
from orchestrator.plan.models import Plan
from orchestrator.settings import GatewaySettings, Settings
from orchestrator.supervisor.allowance import Allowance
from orchestrator.supervisor.rules import Judging, Supervisor
from workers import Pool, Registry

pytestmark = pytest.mark.anyio
CHEAP = Settings(
    models=GatewaySettings.model_validate(
        {
            "endpoints": {"default": {"base_url": "http://127.0.0.1:9/v1", "api_key_env": ""}},
            "tiers": {"standard": [{"model": "m", "free": True}], "cheap": [{"model": "n", "free": True}]},
        }
    )
)


def pool() -> Pool:
    made = Pool("p")
    made.agent("write", "You write.")
    return made


def plan(**step: object) -> Plan:
    return Plan.model_validate({"name": "n", "steps": {"s": {"pool": "p", "task": "Write.", **step}}})


GOAL = Plan.model_validate({"name": "n", "steps": {"s": {"goal": "g", "supervisor": {"planner": "standard"}}}})
STRONG = "no model has the tier strong"
REFUSED: dict[str, tuple[Plan, str]] = {
    "of a step": (plan(model={"tier": "strong"}), f"step s cannot run in pool p: {STRONG}"),
    "of a rung": (plan(on_fail=[{"escalate": {"tier": "strong"}}]), f"step s cannot run in pool p: {STRONG}"),
    "of a judge": (plan(checks=[{"judge": {"rubric": "good"}}]), f"step s has a judge check, and {STRONG}"),
    "of a planner": (
        Plan.model_validate({"name": "n", "steps": {"s": {"goal": "g"}}}),
        f"step s is a goal, and {STRONG}",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_plan_that_comes_to_a_tier_without_a_model_is_refused_at_once(what: str) -> None:
    asked, said = REFUSED[what]
    async with Engine(CHEAP, pools=[pool()], journal=MemoryJournal()) as engine:
        with pytest.raises(PromiseError, match=said) as caught:
            await engine.submit(asked)
    assert "ORCHESTRATOR_MODELS__TIERS__STRONG" in caught.value.remedy


async def test_the_judge_of_a_supervisor_needs_its_tier_too() -> None:
    async with Engine(CHEAP, pools=[pool()], journal=MemoryJournal(), supervisor=Supervisor("standard")) as engine:
        with pytest.raises(PromiseError, match=f"step s is a goal, and {STRONG}"):
            await engine.submit(GOAL)


async def test_what_has_its_tiers_is_taken_and_drafts_may_name_those_alone() -> None:
    rules = Supervisor("standard", judge=Judging(tier="cheap"))
    async with Engine(CHEAP, pools=[pool()], journal=MemoryJournal(), supervisor=rules, drain_s=0.0) as engine:
        for asked in (GOAL, plan(model={"tier": "cheap"})):
            await (await engine.submit(asked)).cancel()
        allowed = Allowance.of(rules, None, 1, Registry([pool()]))
        assert allowed.tiers == ("cheap", "standard", "strong")
        assert allowed.having(engine.models).tiers == ("cheap", "standard")
        assert allowed.having(object()).tiers == allowed.tiers
