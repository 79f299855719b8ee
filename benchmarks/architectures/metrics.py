"""Coordination metrics, exactly as they are defined; from counts, rates and texts alone."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks.architectures.chance import number

VECTOR = 512  #: buckets of a hashed text vector
GRAM = 3  #: characters of one n-gram


def overhead_percent(turns: float, turns_single: float) -> float:
    """O %: turns beyond the single agent's, in per cent of them. Source: the paper's Table 5, which it reproduces."""
    return (turns - turns_single) / turns_single * 100


def efficiency(success: float, turns: float, turns_single: float) -> float:
    """E_c: success per relative turn, S / (T / T_single)."""
    return success / (turns / turns_single)


def density(exchanges: float, turns: float) -> float:
    """c: messages between agents per turn."""
    return exchanges / turns if turns else 0.0


def amplification(success: float, success_single: float) -> float | None:
    """A_e on tasks: (1 - S) / (1 - S_single); None where the single agent never fails."""
    return None if success_single >= 1 else (1 - success) / (1 - success_single)


def trace_amplification(
    overhead_tokens: float, successes: int, overhead_single: float, successes_single: int
) -> float | None:
    """A_e on traces: tokens for coordination, failed tools and re-planning per success, over the single agent's.

    None where a denominator is 0.
    """
    if not successes or not successes_single or not overhead_single:
        return None
    return (overhead_tokens / successes) / (overhead_single / successes_single)


def absorption(error: float, error_single: float) -> float | None:
    """Share of the single agent's step errors that are gone; negative where there are more. None without errors."""
    return None if error_single == 0 else (error_single - error) / error_single


def cascade(right: Mapping[str, bool], needs: Mapping[str, Sequence[str]]) -> tuple[int, int]:
    """Originating errors, and wrong step outputs altogether (the origins counted too).

    A wrong step whose inputs are all right is an origin; A_casc is the second number over the first.
    """
    wrong = {unit for unit, well in right.items() if not well}
    origins = [unit for unit in wrong if all(right.get(need, True) for need in needs.get(unit, ()))]
    return len(origins), len(wrong)


def information_gain(right_before: int, right_after: int, samples: int) -> float:
    """1/2 log2(Var before / Var after) in bits, Var = q (1 - q), q the share of K samples that were right.

    q is clamped to (K q + 0.5) / (K + 1), so that 0 and 1 have a variance. The paper writes the natural logarithm and
    prints its values in bits (1.4 on success, 0.4 on failure); this gives bits, so that both can lie side by side.
    """

    def variance(right: int) -> float:
        q = (right + 0.5) / (samples + 1)
        return q * (1 - q)

    return 0.5 * math.log2(variance(right_before) / variance(right_after))


def tokens_per_success(success: float, tokens: float) -> float:
    """Successes per million tokens. (The paper prints this as "per 1K".)"""
    return success / tokens * 1e6 if tokens else 0.0


def vector(text: str) -> dict[int, float]:
    """A text as hashed counts of its character 3-grams, of length 1. No model: wording, not meaning."""
    grams = [text[at : at + GRAM] for at in range(max(1, len(text) - GRAM + 1))]
    counts = Counter(number(gram) % VECTOR for gram in grams)
    size = math.sqrt(sum(count * count for count in counts.values()))
    return {bucket: count / size for bucket, count in counts.items()}


def redundancy_cosine(outputs: Sequence[str]) -> float | None:
    """R: mean pairwise cosine of the outputs; None below two."""
    vectors = [vector(text) for text in outputs]
    pairs = [
        math.fsum(value * other.get(bucket, 0.0) for bucket, value in one.items())
        for at, one in enumerate(vectors)
        for other in vectors[at + 1 :]
    ]
    return math.fsum(pairs) / len(pairs) if pairs else None


def redundancy_shared(done_by: Mapping[str, int]) -> float | None:
    """R, the other definition: share of steps that more than one agent did; None without steps."""
    return sum(agents > 1 for agents in done_by.values()) / len(done_by) if done_by else None


def overlap(claims: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Share of steps whose answer came from one agent, was given by several alike, or contradicts.

    Contradiction is inequality of the answers; the paper asks BERTScore < 0.3, whose threshold is not calibrated.
    """
    if not claims:
        return {"unique": 0.0, "shared": 0.0, "contradictory": 0.0}
    unique = sum(len(said) == 1 for said in claims.values())
    torn = sum(len(set(said)) > 1 for said in claims.values())
    total = len(claims)
    return {"unique": unique / total, "shared": (total - unique - torn) / total, "contradictory": torn / total}


def complexity(rates: Sequence[float], best_single: float) -> float:
    """D of a domain: mean of 1 - best, spread over mean, and 1 - best single agent."""
    mean = math.fsum(rates) / len(rates)
    spread = math.sqrt(math.fsum((rate - mean) ** 2 for rate in rates) / len(rates))
    return (1 - max(rates) + (spread / mean if mean else 0.0) + 1 - best_single) / 3


def decomposability(needs: Mapping[str, Sequence[str]]) -> float:
    """Steps over the longest chain of them: 1 for a chain, the width for independent steps."""
    return len(needs) / depth(needs) if needs else 1.0


def depth(needs: Mapping[str, Sequence[str]]) -> int:
    """Steps on the longest chain."""
    return round(longest_path(needs, dict.fromkeys(needs, 1.0)))


def longest_path(needs: Mapping[str, Sequence[str]], lengths: Mapping[str, float]) -> float:
    """The critical path: the latest finish when each step starts once what it needs is there.

    Raises:
        ValueError: the steps form a cycle.
    """
    finish: dict[str, float] = {}
    open_: set[str] = set()

    def of(step: str) -> float:
        if step not in finish:
            if step in open_:
                raise ValueError(f"the steps form a cycle at {step}")
            open_.add(step)
            finish[step] = max((of(need) for need in needs[step]), default=0.0) + lengths.get(step, 0.0)
        return finish[step]

    return max((of(step) for step in needs), default=0.0)
