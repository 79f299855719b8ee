"""Consent is a step of the plan itself: durable, answered like any question, and nothing runs without it."""

import pytest

from orchestrator import Plan, Succeeded, checks, ladder
from orchestrator.core.results import Failed
from orchestrator.plan.check import check_plan
from orchestrator.plan.consent import CONSENT, consent_step, with_consent, without_consent
from orchestrator.plan.files import load_plan
from orchestrator.plan.models import Plan as FrozenPlan
from orchestrator.testing.scenario import Scenario
from tests.docs.test_plans import PLANS

with Plan("two-ways", inputs={"topic": {"type": "string"}}, budget={"steps": 3, "wall": "3d"}) as BUILT:
    left = BUILT.task("writer", "Left of ${{ inputs.topic }}.", id="left")
    right = BUILT.task("writer", "Right.", id="right", checks=[checks.rule("len(output) > 0")], on_fail=[ladder.gap()])
    both = BUILT.task("writer", "Both.", id="both", with_={"a": left, "b": right.passed})
    BUILT.result(both)
TWO_WAYS = BUILT.freeze()


def answered() -> Scenario:
    asked = with_consent(TWO_WAYS, "Run this plan?", {"steps": 3})
    return Scenario(asked)


def test_a_yes_lets_everything_run() -> None:
    played = (
        answered()
        .person(CONSENT, "run", after="1h")
        .on("left", returns="L")
        .on("right", returns="R")
        .on("both", returns="LR")
        .play({"topic": "x"})
    )
    assert isinstance(played.result, Succeeded)
    assert played.result.output == "LR"
    assert [call.at_s for call in played.calls] == [pytest.approx(3600)] * 3


@pytest.mark.parametrize("says_no", [True, False], ids=["no", "nobody"])
def test_without_a_yes_nothing_runs(says_no: bool) -> None:
    scenario = answered().person(CONSENT, "stop") if says_no else answered()
    played = scenario.play({"topic": "x"})
    assert isinstance(played.result, Failed)
    assert "nobody agreed to the plan" in played.result.cause
    assert played.calls == ()
    assert played.seconds == pytest.approx(0 if says_no else 24 * 3600)


@pytest.mark.parametrize("plan", [TWO_WAYS, *map(load_plan, PLANS)], ids=lambda plan: plan.name)
def test_any_plan_can_be_asked_for_and_comes_back_as_it_was(plan: FrozenPlan) -> None:
    asked = with_consent(plan, "Run it?", None)
    assert check_plan(asked, None).errors == ()
    assert consent_step(asked) == CONSENT
    assert consent_step(plan) is None
    assert without_consent(asked).digest == plan.digest
    assert without_consent(plan) is plan
    needing = {name for name, step in asked.steps.items() if CONSENT in step.needs}
    assert needing
    twice = with_consent(asked, "Really?", None)
    assert set(twice.steps) - set(asked.steps) == {f"{CONSENT}2"}
