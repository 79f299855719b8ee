"""The cascade on a verifier's verdict: weak first, strong where the verifier refuses. Exact expectations, no dice."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.cost.routing.curves import Interval, interval
from benchmarks.cost.routing.outcomes import Outcome
from orchestrator.models.routing.expected import Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascaded:
    """What a cascade with one verifier comes to."""

    gate: Gate
    quality: Interval  #: share of right answers that are delivered
    gain: Interval  #: against the strong model alone, in the same draws
    saved: Interval  #: share of the strong model's cost that is not spent
    strong_share: float


def cascaded(outcomes: Sequence[Outcome], gate: Gate, draws: Sequence[Sequence[int]]) -> Cascaded:
    """Expected quality and cost over all questions, with intervals over draws of subjects."""
    rows = []
    for one in outcomes:
        refused = gate.false_alarm if one.weak else gate.detection
        right = (1.0 - refused) * one.weak + refused * one.strong
        rows.append((right, one.strong, one.weak_usd + refused * one.strong_usd, one.strong_usd, refused))

    def over(picks: Sequence[int]) -> tuple[float, float, float]:
        count = len(picks)
        right, strong = sum(rows[i][0] for i in picks) / count, sum(rows[i][1] for i in picks) / count
        usd, all_usd = sum(rows[i][2] for i in picks), sum(rows[i][3] for i in picks)
        return right, right - strong, 1.0 - usd / all_usd

    whole = over(range(len(rows)))
    found = [over(draw) for draw in draws]
    quality, gain, saved = (interval(whole[k], [one[k] for one in found]) for k in range(3))
    share = sum(row[4] for row in rows) / len(rows)
    return Cascaded(gate=gate, quality=quality, gain=gain, saved=saved, strong_share=share)
