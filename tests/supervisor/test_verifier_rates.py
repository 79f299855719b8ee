"""A verifier with known rates, through the real engine, gate and ladder: what gets through is what theory says.

p: share of wrong answers. d: share of wrong ones that the verifier refuses. f: share of right ones that it refuses.
With k retries and Rj = p d + (1 - p) f, each output is accepted wrong with p (1 - d) g, accepted right with
(1 - p) (1 - f) g, and given up with Rj^(k + 1), where g = (1 - Rj^(k + 1)) / (1 - Rj) attempts are made.
"""

import json
import random
from dataclasses import dataclass
from math import prod, sqrt

import pytest

from orchestrator import Budget, Plan, checks, ladder
from orchestrator.core import facts as f
from orchestrator.ids import JsonValue
from orchestrator.ports.model import Prompt
from orchestrator.testing.scripted import Says, ScriptedModel
from tests.sizes import SIZES
from tests.supervisor.house import Data, facts, opened
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio
trio_only = pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
TASKS = 20_000 if SIZES.name == "prove" else 400
ERRORS_MAX = 4.0  #: standard errors between what is seen and what theory says


@dataclass(frozen=True, slots=True)
class Rates:
    """A worker, and verifiers one after the other."""

    p: float
    verifiers: tuple[tuple[float, float], ...]  #: (d, f) of each
    retries: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of `TASKS` outputs."""

    wrong: int
    right: int
    given_up: int
    attempts: int


def drawn(*what: object) -> float:
    """A number in [0, 1) that is the same each time."""
    return random.Random(repr(what)).random()


async def seen(rates: Rates, seed: int = 1) -> Seen:
    """Let the engine do it."""
    pool = Pool("work", concurrency=64)

    @pool.worker
    async def attempt(ctx: WorkContext, item: int) -> Data:
        wrong = drawn(seed, "work", item, ctx.attempt) < rates.p
        return {"item": item, "value": item + 1 if wrong else item, "attempt": ctx.attempt}

    def verifier(prompt: Prompt) -> Says:
        asked = json.loads(prompt.messages[1].content)
        output, at = asked["output"], int(asked["rubric"].split()[-1])
        detects, alarms = rates.verifiers[at]
        refuses = detects if output["value"] != output["item"] else alarms
        no = drawn(seed, "judge", at, output["item"], output["attempt"]) < refuses
        vote: Data = {"reasons": ["it looks wrong"] if no else [], "score": 0.5 if no else 0.9}
        return Says(data=vote, tokens_in=1, tokens_out=1)

    judges = [checks.judge(f"verifier {at}") for at in range(len(rates.verifiers))]
    rungs = [ladder.retry(rates.retries)] if rates.retries else []
    items: list[JsonValue] = list(range(TASKS))
    with Plan("rates") as p:
        step = p.map(
            attempt, over=items, id="s", max_parallel=64, checks=judges, on_fail=[*rungs, ladder.gap()], pool=pool
        )
        p.result(step)
    budget = Budget(usd=1.0, tokens=10**9, steps=TASKS + 10)
    async with opened(models=ScriptedModel(verifier), pools=[pool]) as engine:
        result = await (await engine.submit(p.freeze(), budget=budget)).result()
        sent = [one for one in await facts(engine, f.StepDispatched) if one.purpose == "work"]
    outputs = result.output  # type: ignore[union-attr]  # succeeded or degraded
    assert isinstance(outputs, list)
    accepted = [one for one in outputs if isinstance(one, dict)]
    wrong = sum(one["value"] != one["item"] for one in accepted)
    return Seen(wrong, len(accepted) - wrong, TASKS - len(accepted), len(sent))


def near(count: int, of: int, share: float) -> bool:
    """Whether a count is within `ERRORS_MAX` standard errors of its share."""
    return abs(count / of - share) <= ERRORS_MAX * sqrt(share * (1 - share) / of)


#: the two test vectors of the closed form, and what they give: wrong, right, given up, attempts
VECTORS = {
    Rates(0.2, ((0.8, 0.05),), 2): (0.04960, 0.94240, 0.00800, 1.2400),
    Rates(0.35, ((0.5, 0.1),), 3): (0.22950, 0.76718, 0.00332, 1.3114),
}


@trio_only
@pytest.mark.parametrize("rates", VECTORS, ids=str)
async def test_retries_behind_a_verifier_accept_what_the_closed_form_says(rates: Rates) -> None:
    wrong, right, given_up, attempts = VECTORS[rates]
    ((d, false),) = rates.verifiers
    refused = rates.p * d + (1 - rates.p) * false
    g = (1 - refused ** (rates.retries + 1)) / (1 - refused)
    accepted = [rates.p * (1 - d) * g, (1 - rates.p) * (1 - false) * g]
    theory = [*accepted, refused ** (rates.retries + 1), g]
    assert theory == pytest.approx([wrong, right, given_up, attempts], abs=5e-5)
    found = await seen(rates)
    assert near(found.wrong, TASKS, wrong), found
    assert near(found.right, TASKS, right), found
    assert near(found.given_up, TASKS, given_up), found
    spread = sqrt(sum((2 * n + 1) * refused ** (n + 1) for n in range(rates.retries)) - (g - 1) ** 2)
    assert abs(found.attempts / TASKS - g) <= ERRORS_MAX * spread / sqrt(TASKS), found


#: (p, verifiers, retries) -> share of wrong among what is accepted, by the odds
ODDS = {
    Rates(0.3, ((0.6, 0.1), (0.5, 0.05)), 0): 0.0911,
    Rates(0.3, ((0.6, 0.1), (0.5, 0.05)), 2): 0.0911,  # retries do not lower it
    Rates(0.3, ((0.3, 0.3),), 0): 0.3,  # a placebo: no gain,
    Rates(0.3, ((0.3, 0.3),), 2): 0.3,  # with retries neither
    Rates(0.3, ((0.1, 0.6),), 1): 0.4909,  # worse than none
}


@trio_only
@pytest.mark.parametrize("rates", ODDS, ids=str)
async def test_the_share_of_wrong_among_the_accepted_follows_the_odds_alone(rates: Rates) -> None:
    odds = rates.p / (1 - rates.p) * prod((1 - d) / (1 - false) for d, false in rates.verifiers)
    assert odds / (1 + odds) == pytest.approx(ODDS[rates], abs=1e-4)
    found = await seen(rates)
    assert near(found.wrong, found.wrong + found.right, odds / (1 + odds)), found
