"""The product's own router at work: it sees one question after another and learns from verdicts alone."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.cost.routing.outcomes import Outcome
from orchestrator.core import facts as f
from orchestrator.core.route import RouteQuestion
from orchestrator.ids import Digest, RunId, StepId
from orchestrator.models.routing.expected import Gate
from orchestrator.models.routing.router import Router
from orchestrator.settings import RoutingSettings

_D, _S = Digest("d"), StepId("s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of one order of the questions."""

    right: float  #: share of right answers that are delivered
    saved: float  #: share of the strong model's cost that is not spent
    strong_first: float  #: share of questions that began with the strong model
    strong: (
        float  #: share of right answers of the strong model behind the same verifier, refused answers tried once more
    )


def play(outcomes: Sequence[Outcome], gate: Gate, success: float, seed: int) -> Played:
    """Route all questions in an order drawn by `seed`, each subject a pool, refusals of the weak model to the strong.

    The ladder is one `escalate` rung: an answer of the strong model that is refused is delivered all the same, as a
    person who has no better one would; so quality is that of what is delivered, and false alarms cost money alone.
    """
    chance = random.Random(seed)
    order = list(range(len(outcomes)))
    chance.shuffle(order)
    router = Router(
        RoutingSettings(
            tiers=("cheap", "strong"),
            fallback="strong",
            success=success,
            detection=gate.detection,
            false_alarm=gate.false_alarm,
        )
    )
    usd = all_usd = 0.0
    right = strong_first = 0
    for number, i in enumerate(order):
        one = outcomes[i]
        answer = router.choose(
            RouteQuestion(
                asked="auto", pool=one.subject, kind="task", instruction=one.prompt, checked=True, escalates=("strong",)
            )
        )
        assert answer is not None
        facts: list[f.Fact] = [
            f.TierChosen(
                at_s=0.0, step=_S, tier=answer.tier, advised=answer.advised, by=answer.by, features=answer.features
            )
        ]
        all_usd += one.strong_usd
        well, tier = one.weak if answer.tier == "cheap" else one.strong, answer.tier
        strong_first += tier == "strong"
        if tier == "cheap":
            usd += one.weak_usd
            refused = chance.random() < (gate.false_alarm if well else gate.detection)
            facts += _attempt(one, "cheap", one.weak_usd, 1, passed=not refused)
            if refused:
                well, tier = one.strong, "again"
                facts.append(f.StepEscalated(at_s=0.0, step=_S, attempt=1, rung=0, tier="strong"))
        if tier != "cheap":
            usd += one.strong_usd
            refused = chance.random() < (gate.false_alarm if well else gate.detection)
            facts += _attempt(one, "strong", one.strong_usd, 2, passed=not refused)
        right += well
        router.saw(RunId(str(number)), [*facts, _ENDED])
    count = len(outcomes)
    return Played(
        right=right / count,
        saved=1.0 - usd / all_usd,
        strong_first=strong_first / count,
        strong=sum(one.strong for one in outcomes) / count,
    )


_ENDED = f.RunEnded(at_s=0.0, status="succeeded", usd=0.0, tokens=0, steps=0)


def _attempt(one: Outcome, tier: str, usd: float, attempt: int, *, passed: bool) -> list[f.Fact]:
    sent = f.StepDispatched(at_s=0.0, step=_S, attempt=attempt, pool=one.subject, tier=tier, digest=_D)
    called = f.ModelCalled(at_s=0.0, step=_S, attempt=attempt, model=tier, outcome="ok", usd=usd, charge=str(attempt))
    made = f.StepProduced(at_s=0.0, step=_S, attempt=attempt, digest=_D, output=None)
    said = f.CheckVerdict(
        at_s=0.0, step=_S, attempt=attempt, check=1, name="call", verdict="pass" if passed else "reject", digest=_D
    )
    end: f.Fact = (
        f.StepPassed(at_s=0.0, step=_S, attempt=attempt, digest=_D)
        if passed
        else f.StepRejected(at_s=0.0, step=_S, attempt=attempt)
    )
    return [sent, called, made, said, end]
