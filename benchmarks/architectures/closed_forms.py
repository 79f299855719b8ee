"""What theory says of retries, votes, verifiers and chains: the forms F1 to F14 that the harness is held against.

p is the chance that one answer is wrong, d that a verifier refuses a wrong answer, f that it refuses a right one, k the
retries after the first attempt.
"""

import math
from dataclasses import dataclass
from itertools import product

from benchmarks.architectures.statistics import beta_cdf


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """How a verified step ends, as probabilities; and what it takes."""

    wrong: float  #: a wrong answer was accepted
    right: float
    exhausted: float  #: nothing was accepted
    attempts: float  #: expected
    accept_last_wrong: float  #: wrong, if the last attempt is taken when nothing was accepted


def f1_retry(p: float, d: float, f: float, k: int) -> Retried:
    """F1: attempts until one is accepted, at most k + 1."""
    right, wrong = (1 - p) * (1 - f), p * (1 - d)
    refused = 1 - right - wrong
    series = float(k + 1) if refused == 1 else (1 - refused ** (k + 1)) / (1 - refused)
    before_last = float(k) if refused == 1 else (1 - refused**k) / (1 - refused)
    return Retried(
        wrong=wrong * series,
        right=right * series,
        exhausted=refused ** (k + 1),
        attempts=series,
        accept_last_wrong=wrong * before_last + refused**k * p,
    )


def f2_accepted_wrong(p: float, verifiers: list[tuple[float, float]]) -> float:
    """F2: share of wrong among what passed every verifier (d, f); retries do not change it."""
    odds = p / (1 - p)
    for d, f in verifiers:
        odds *= (1 - d) / (1 - f)
    return odds / (1 + odds)


def f3_majority(p: float, n: int, rho: float = 0.0) -> float:
    """F3: the majority of n (odd) is wrong; with rho, agents share a difficulty drawn from a Beta distribution."""
    if n % 2 == 0:
        raise ValueError(f"a majority needs an odd number, not {n}")
    return math.fsum(_count(n, j, p, rho) for j in range(n // 2 + 1, n + 1))


def f3_floor(p: float, rho: float) -> float:
    """F3: what is left of the error for ever more agents: the chance that the difficulty is above one half."""
    size = 1 / rho - 1
    return 1 - beta_cdf(0.5, p * size, (1 - p) * size)


def _count(n: int, j: int, p: float, rho: float) -> float:
    if rho == 0:
        return math.comb(n, j) * p**j * (1 - p) ** (n - j)
    size = 1 / rho - 1
    a, b = p * size, (1 - p) * size
    logs = math.lgamma(j + a) + math.lgamma(n - j + b) - math.lgamma(n + a + b)
    return math.comb(n, j) * math.exp(logs - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b))


def f4_plurality(p: float, n: int, w: int) -> float:
    """F4: plurality of n with w equally likely wrong answers, ties broken at random; the chance of a wrong one."""
    share = p / w
    right = 0.0
    for counts in product(range(n + 1), repeat=w):
        rest = n - sum(counts)
        if rest < 0 or (rest < max(counts)):
            continue
        ways = math.factorial(n) // math.prod(math.factorial(count) for count in (rest, *counts))
        tied = 1 + sum(count == rest for count in counts)
        right += ways * (1 - p) ** rest * share ** (n - rest) / tied
    return 1 - right


def f5_concat(p: float, n: int, m: int) -> float:
    """F5: a concatenation of n answers with m claims each holds a wrong claim."""
    return 1 - (1 - p) ** (n * m)


def f6_ahead(p: float, k: int) -> tuple[float, float]:
    """F6: votes until one side leads by k: the chance that it is the right one, and the expected votes."""
    if p == 0.5:
        return 0.5, float(k * k)
    right = 1 / (1 + (p / (1 - p)) ** k)
    return right, k * (2 * right - 1) / (1 - 2 * p)


def f6_lead_needed(p: float, steps: int, target: float) -> int:
    """F6: the lead with which `steps` steps in a row are all right with chance `target`."""
    return math.ceil(math.log(target ** (-1 / steps) - 1) / math.log(p / (1 - p)))


def f7_cascade(delta: float, length: int) -> float:
    """F7: steps spoilt by one error at the head of a chain, itself counted, when each hop contains it with `delta`."""
    return float(length) if delta == 0 else (1 - (1 - delta) ** length) / delta


def f8_unguarded(p: float, m: int) -> float:
    """F8: expected spoilt steps of a chain of m."""
    return float(m) if p == 1 else (0.0 if p == 0 else m - (1 - p) * (1 - (1 - p) ** m) / p)


def f8_guarded(p: float, delta: float, m: int) -> float:
    """F8: the last of m steps is spoilt, when every spoilt step is repaired with chance `delta`."""
    lam = (1 - delta) * (1 - p)
    return (1 - delta) * p / (1 - lam) * (1 - lam**m)


def f9_all_miss(miss: float, rho: float, gates: int) -> float:
    """F9: `gates` verifiers all miss an error, when they share a miss rate drawn from a Beta distribution."""
    if rho == 0:
        return miss**gates
    size = 1 / rho - 1
    a, b = miss * size, (1 - miss) * size
    return math.prod((a + i) / (a + b + i) for i in range(gates))


def f11_blind(p: float, d: float, f: float, k: int, b: float) -> float:
    """F11: a wrong answer is accepted, when a share b of all errors is invisible to every verifier."""
    return b * f1_retry(p, 0.0, f, k).wrong + (1 - b) * f1_retry(p, d, f, k).wrong


def f11_hard(p: float, rho: float, d: float, f: float, k: int, nodes: int = 20_000) -> float:
    """F11: a wrong answer is accepted, when difficulty persists over retries (Beta with mean p)."""
    size = 1 / rho - 1
    a, b = p * size, (1 - p) * size
    edges = [beta_cdf(i / nodes, a, b) for i in range(nodes + 1)]
    return math.fsum((edges[i + 1] - edges[i]) * f1_retry((i + 0.5) / nodes, d, f, k).wrong for i in range(nodes))


def f12_harmonic(n: int, mean: float) -> float:
    """F12: the expected longest of n exponential times."""
    return mean * math.fsum(1 / i for i in range(1, n + 1))


def f12_graham(work: float, path: float, n: int) -> float:
    """F12: the longest that a greedy schedule on n workers takes.

    Source: Graham, Bell Syst. Tech. J. 45 (1966) 1563.
    """
    return work / n + (1 - 1 / n) * path


def f13_turns(architecture: str, *, n: int, turns: int, rounds: int = 1, peers: int = 0) -> int:
    """F13: model calls when every agent uses `turns` per round and nothing stops early.

    Independent: the concatenation is one. Debate: one turn per agent in every round after the first. Centralised:
    one plan, a coordination call per agent and round, a stop question from round 2 on, one synthesis.
    """
    match architecture:
        case "single":
            return turns
        case "independent":
            return n * turns + 1
        case "debate":
            return n * turns + n * (rounds - 1)
        case "centralised":
            return 1 + rounds * (n + n * turns) + (rounds - 1) + 1
        case "hybrid":
            return 1 + rounds * (n + n * turns + peers) + (rounds - 1) + 1
        case _:
            raise ValueError(f"no closed form of turns for {architecture!r}")


def f13_exchanges(architecture: str, *, n: int, rounds: int = 1, peers: int = 0) -> int:
    """F13: exchanges of messages between agents."""
    return {
        "single": 0,
        "independent": 1,
        "debate": rounds * n,
        "centralised": rounds * n,
        "hybrid": rounds * n + peers,
    }[architecture]


def f14_task(e: float, m: int, kappa: float = 0.0) -> float:
    """F14: a task of m steps is wrong when each is wrong with e, and each hand-off fails with kappa."""
    return 1 - ((1 - e) * (1 - kappa)) ** m


def errors_needed(p: float, d: float, f: float, k: int) -> float:
    """A step that passed nothing counts as wrong: F1's wrong and exhausted together."""
    ends = f1_retry(p, d, f, k)
    return ends.wrong + ends.exhausted
