"""The router: each way to a choice, its reason, its floor, and what it learns from facts alone."""

import random

import pytest
from pydantic import ValidationError

from orchestrator.core import facts as f
from orchestrator.core.route import RouteAnswer, RouteQuestion
from orchestrator.ids import Digest, RunId, StepId
from orchestrator.models.routing.expected import Gate
from orchestrator.models.routing.features import NAMES, features_of
from orchestrator.models.routing.outcomes import Outcomes, Verdict
from orchestrator.models.routing.router import Router
from orchestrator.settings import RoutingRule, RoutingSettings

D = Digest("d")


def question(**given: object) -> RouteQuestion:
    base = {"asked": "auto", "pool": "w", "kind": "task", "instruction": "Say it.", "checked": True}
    return RouteQuestion(**{**base, "escalates": ("strong",), **given})  # type: ignore[arg-type]  # fields by name


def said(answer: RouteAnswer | None) -> tuple[str | None, str, str, str]:
    assert answer is not None
    return answer.tier, answer.advised, answer.by, answer.reason


def attempts(
    router: Router,
    tier: str,
    passed: int,
    refused: int,
    usd: float = 0.0,
    pool: str = "w",
    *,
    checked: bool = True,
    served: bool = False,
) -> None:
    """Let a router see so many attempts, as facts of one run each."""
    for number in range(passed + refused):
        run = RunId(f"{tier}{number}")
        where = {"at_s": 1.0, "step": StepId("s"), "attempt": 1}
        made: list[f.Fact] = [
            f.TierChosen(at_s=1.0, step=StepId("s"), tier=tier, advised=tier, by="cascade"),
            f.StepDispatched(pool=pool, tier=tier, digest=D, **where),  # type: ignore[arg-type]  # the three names
            f.ModelCalled(model="m", outcome="ok", usd=usd, charge="c", served="exact" if served else "", **where),  # type: ignore[arg-type]  # likewise
            f.StepProduced(digest=D, output=1, **where),  # type: ignore[arg-type]  # likewise
        ]
        well = number < passed
        if checked:
            said = "pass" if well else "reject"
            made.append(f.CheckVerdict(check=1, name="rule", verdict=said, digest=D, **where))  # type: ignore[arg-type]
        made.append(f.StepPassed(digest=D, **where) if well else f.StepRejected(**where))  # type: ignore[arg-type]
        router.saw(run, made)


def test_a_tier_that_the_plan_names_is_nobodys_business() -> None:
    assert Router(RoutingSettings()).choose(question(asked="cheap")) is None
    assert Router(RoutingSettings()).choose(question(asked=None)) is None


def test_without_verdicts_a_cascade_begins_low_and_without_a_gate_the_fallback_is_taken() -> None:
    router = Router(RoutingSettings())
    assert said(router.choose(question())) == (
        "cheap",
        "cheap",
        "cascade",
        "under 30 verdicts in pool w: the lowest tier first, and strong where a check refuses it",
    )
    assert said(router.choose(question(checked=False))) == (
        "standard",
        "standard",
        "fallback",
        "too few verdicts in pool w, and no check stands behind it",
    )
    assert said(router.choose(question(escalates=())))[2:] == (
        "fallback",
        "too few verdicts in pool w, and no rung escalates",
    )


RULES = (
    RoutingRule(pool="law", tier="strong"),
    RoutingRule(script="han", tier="standard"),
    RoutingRule(chars_min=1_000, tools=True, tier="strong"),
    RoutingRule(kind="call", chars_max=100, tier="cheap"),
)


@pytest.mark.parametrize(
    ("given", "tier", "reason"),
    [
        ({"pool": "law"}, "strong", "rule 1 says strong: pool law"),
        ({"instruction": "多少个苹果"}, "standard", "rule 2 says standard: written in han"),
        (
            {"args": {"x": "y" * 1_000}, "tools": True},
            "strong",
            "rule 3 says strong: 1,000 characters or more, it needs tools",
        ),
        ({"kind": "call"}, "cheap", "rule 4 says cheap: a call, 100 characters or fewer"),
    ],
)
def test_the_first_rule_that_fits_decides(given: dict[str, object], tier: str, reason: str) -> None:
    assert said(Router(RoutingSettings(rules=RULES)).choose(question(**given))) == (tier, tier, "rule", reason)


def test_no_rule_and_no_cascade_goes_below_the_floor() -> None:
    settings = RoutingSettings(rules=RULES, floor="standard")
    router = Router(settings)
    assert router.tiers == ("standard", "strong")
    assert said(router.choose(question(kind="call")))[::3] == (
        "standard",
        "rule 4 says cheap, raised to the floor standard: a call, 100 characters or fewer",
    )
    assert said(router.choose(question()))[0] == "standard"
    attempts(router, "cheap", 400, 0)
    assert said(router.choose(question()))[0] == "standard"


def test_where_checks_miss_more_than_success_allows_only_so_many_are_tried_blind() -> None:
    """At 85 % found and 90 % asked for, an unknown tier could bring too many wrong ones: the floor is hard."""
    router = Router(RoutingSettings(success=0.9, detection=0.85, tiers=("cheap", "strong"), fallback="strong"))
    first = [said(router.choose(question())) for _ in range(30)]
    assert {one[::2] for one in first} == {("cheap", "cascade")}
    assert first[0][3] == (
        "under 30 verdicts in pool w: the lowest tier first, and strong where a check refuses it, "
        "for 30 tasks alone, since the checks miss more than success allows"
    )
    later = [said(router.choose(question())) for _ in range(20)]
    assert [one[0] for one in later] == [*["strong"] * 9, "cheap"] * 2
    assert later[0][3] == (
        "30 tasks of pool w are being tried with cheap, and the checks miss more than success allows: "
        "strong until their verdicts are there, but for every 10th"
    )
    assert said(router.choose(question(pool="other")))[0] == "cheap"
    attempts(router, "cheap", 30, 0, usd=0.001)
    assert said(router.choose(question()))[2] == "verdicts"


def test_where_checks_find_enough_all_begin_low_until_verdicts_are_there() -> None:
    router = Router(RoutingSettings(success=0.9, detection=0.9))
    assert {said(router.choose(question()))[0] for _ in range(100)} == {"cheap"}


def test_shadow_has_nothing_to_spare() -> None:
    router = Router(RoutingSettings(mode="shadow", detection=0.5))
    assert {said(router.choose(question()))[1] for _ in range(100)} == {"cheap"}


def test_verdicts_choose_the_cheapest_way_that_is_sure_enough() -> None:
    router = Router(RoutingSettings(success=0.9))
    attempts(router, "cheap", 95, 5, usd=0.001)
    attempts(router, "strong", 100, 0, usd=0.025)
    answer = router.choose(question())
    assert said(answer) == (
        "cheap",
        "cheap",
        "verdicts",
        "by 100 verdicts the cheapest way to 90%: cheap first, strong where a check refuses it",
    )
    assert answer is not None
    assert (answer.success, answer.usd) == pytest.approx((1.0, 0.001 + 0.05 * 0.025))


def test_without_a_rung_a_tier_must_reach_the_bound_by_itself() -> None:
    router = Router(RoutingSettings(success=0.9))
    attempts(router, "cheap", 80, 20, usd=0.001)
    attempts(router, "strong", 100, 0, usd=0.025)
    assert said(router.choose(question(escalates=())))[0] == "strong"
    lower = Router(RoutingSettings(success=0.7))
    attempts(lower, "cheap", 80, 20, usd=0.001)
    attempts(lower, "strong", 100, 0, usd=0.025)
    assert said(lower.choose(question(escalates=())))[0] == "cheap"


def test_where_no_way_is_sure_the_surest_is_taken_and_the_reason_says_so() -> None:
    router = Router(RoutingSettings(success=0.99))
    attempts(router, "cheap", 20, 20)
    attempts(router, "strong", 30, 10)
    assert said(router.choose(question(escalates=()))) == (
        "strong",
        "strong",
        "verdicts",
        "by 40 verdicts no way is sure of 99%; strong comes nearest",
    )


def test_a_cascade_that_refuses_too_much_costs_more_than_the_strong_tier_alone() -> None:
    router = Router(RoutingSettings(success=0.5))
    attempts(router, "cheap", 2, 98, usd=0.020)
    attempts(router, "strong", 99, 1, usd=0.025)
    assert said(router.choose(question()))[0] == "strong"


def test_weak_checks_count_for_less() -> None:
    """Half of all wrong outputs pass: 80 of 100 accepted mean 60 right ones."""
    router = Router(RoutingSettings(success=0.7, detection=0.5))
    attempts(router, "cheap", 80, 20)
    attempts(router, "strong", 100, 0)
    assert said(router.choose(question(escalates=())))[0] == "strong"


def test_shadow_decides_for_every_task_and_changes_nothing() -> None:
    router = Router(RoutingSettings(mode="shadow"))
    assert said(router.choose(question(asked="strong")))[:3] == ("strong", "cheap", "cascade")
    assert said(router.choose(question(asked=None)))[:2] == (None, "cheap")
    assert said(router.choose(question()))[:2] == ("standard", "cheap")
    assert router.choose(question(asked="strong", kind="call")) is None


def test_what_the_surroundings_spoil_is_no_verdict_and_what_the_model_spoils_is() -> None:
    def failed(router: Router, error: str) -> int:
        where = {"at_s": 1.0, "step": StepId("s"), "attempt": 1}
        router.saw(
            RunId("r"),
            [
                f.StepDispatched(pool="w", tier="cheap", digest=D, **where),  # type: ignore[arg-type]  # by name
                f.AttemptFailed(error=error, **where),  # type: ignore[arg-type]  # likewise
                f.StepRejected(**where),  # type: ignore[arg-type]  # likewise
            ],
        )
        return router._outcomes.count("w", "cheap")

    router = Router(RoutingSettings())
    assert [failed(router, error) for error in ("provider", "timeout", "worker", "output", "turns")] == [0, 0, 0, 1, 2]


def test_what_no_check_looked_at_and_what_a_cache_gave_is_no_verdict() -> None:
    router = Router(RoutingSettings())
    attempts(router, "cheap", 40, 0, checked=False)
    attempts(router, "cheap", 40, 5, served=True)
    assert router._outcomes.count("w", "cheap") == 0
    attempts(router, "cheap", 3, 2)
    assert router._outcomes.count("w", "cheap") == 5


def test_a_classifier_takes_part_only_once_it_has_foretold_better_than_the_share() -> None:
    chance, outcomes = random.Random(5), Outcomes()

    def add(tells: bool) -> None:
        hard = chance.random() < 0.5
        text = "Prove that n + 1 is prime, if and only if " * (3 if hard else 1)
        well = (not hard if tells else chance.random() < 0.5) ^ (chance.random() < 0.05)
        outcomes.add("told" if tells else "noise", "cheap", Verdict(accepted=well, usd=0.1, features=features_of(text)))

    for _ in range(300):
        add(tells=True)
        add(tells=False)
    easy, hard = (features_of("Prove that n + 1 is prime, if and only if " * n) for n in (1, 3))
    told = {n: outcomes.estimates("told", ("cheap",), x, Gate(), 30) for n, x in (("easy", easy), ("hard", hard))}
    assert (told["easy"].classified, told["hard"].classified) == (True, True)
    assert told["easy"].first["cheap"].right > 0.85
    assert told["hard"].first["cheap"].right < 0.15
    noise = outcomes.estimates("noise", ("cheap",), easy, Gate(), 30)
    assert (noise.classified, noise.priced, noise.first["cheap"].usd) == (False, True, pytest.approx(0.1))
    assert len(easy) == len(NAMES)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"floor": "strong", "tiers": ("cheap",)}, "reaches the floor"),
        ({"floor": "strong"}, "the fallback standard"),
        ({"detection": 0.2, "false_alarm": 0.2}, "detection must be above false_alarm"),
        ({"rules": ({"tier": "cheap", "size": 3},)}, "size"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RoutingSettings.model_validate(given)
