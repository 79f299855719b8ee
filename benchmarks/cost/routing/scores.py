"""Ways of ordering questions, none of which has seen the answers of the fold it is asked about."""

import random
from collections.abc import Sequence

from benchmarks.cost.routing.outcomes import FOLDS, Outcome
from orchestrator.models.routing.features import features_of
from orchestrator.models.routing.logistic import fit


def random_scores(outcomes: Sequence[Outcome], seed: int) -> list[float]:
    """By chance."""
    chance = random.Random(seed)
    return [chance.random() for _ in outcomes]


def length_scores(outcomes: Sequence[Outcome]) -> list[float]:
    """The longer, the harder."""
    return [float(len(one.prompt)) for one in outcomes]


def oracle_scores(outcomes: Sequence[Outcome]) -> list[float]:
    """Those that only the strong model gets right first, those that only the weak one does last."""
    return [float(one.strong) - float(one.weak) for one in outcomes]


def classifier_scores(outcomes: Sequence[Outcome], folds: Sequence[int]) -> list[float]:
    """How likely the weak model is wrong, by the product's classifier, trained on the other folds."""
    rows = [features_of(one.prompt) for one in outcomes]
    found = [0.0] * len(rows)
    for fold in range(FOLDS):
        train = [i for i, k in enumerate(folds) if k != fold]
        model = fit([rows[i] for i in train], [outcomes[i].weak for i in train])
        for i, k in enumerate(folds):
            if k == fold:
                found[i] = 1.0 - model.probability(rows[i])
    return found


def share_scores(outcomes: Sequence[Outcome], folds: Sequence[int]) -> list[float]:
    """How often the strong model was right and the weak one was not in the same subject, in the other folds."""
    found = [0.0] * len(outcomes)
    for fold in range(FOLDS):
        gains: dict[str, list[int]] = {}
        for one, k in zip(outcomes, folds, strict=True):
            if k != fold:
                gains.setdefault(one.subject, []).append(one.strong - one.weak)
        for i, (one, k) in enumerate(zip(outcomes, folds, strict=True)):
            if k == fold:
                known = gains.get(one.subject, [0])
                found[i] = sum(known) / len(known)
    return found
