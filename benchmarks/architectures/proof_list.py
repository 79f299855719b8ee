"""The list of proofs: F1 to F14, each with its test vector, at a size that the caller chooses."""

from collections.abc import Awaitable, Callable

from benchmarks.architectures import closed_forms as c
from benchmarks.architectures.model import Case
from benchmarks.architectures.parameters import Parameters, Protocols
from benchmarks.architectures.plans import Gate
from benchmarks.architectures.proofs import Branch, Laboratory, Proved, average, chain_case, plain, requests, share
from benchmarks.architectures.record import Episode
from benchmarks.architectures.runner import Bench, Matrix

Proof = Callable[[int, int], Awaitable[list[Proved]]]  #: size and seed


def _names(n: int) -> list[str]:
    return [f"case-{number}" for number in range(n)]


def _single(n: int, alternatives: int = 0) -> list[Case]:
    return [chain_case(name, 1, alternatives=alternatives) for name in _names(n)]


def _count(lab: Laboratory, branches: list[Branch]) -> tuple[int, int, int]:
    names = list(lab.cases)
    wrong = sum(one.passed and not lab.right(name, one.accepted) for name, one in zip(names, branches, strict=True))
    right = sum(one.passed and lab.right(name, one.accepted) for name, one in zip(names, branches, strict=True))
    return wrong, right, len(branches) - wrong - right


async def f1(n: int, seed: int) -> list[Proved]:
    """Retries with a verifier: both vectors, all four ends and the number of attempts."""
    found = []
    for p, d, f_, k in ((0.2, 0.8, 0.05, 2), (0.35, 0.5, 0.1, 3)):
        lab = Laboratory(plain(p, d, f_), _single(n), seed)
        branches = await lab.mapped(requests(lab.cases, ["u0"]), gate=Gate(retries=k, may_miss=True))
        wrong, right, exhausted = _count(lab, branches)
        theory = c.f1_retry(p, d, f_, k)
        at = f"p {p} d {d} f {f_} k {k}"
        last = sum(not lab.right(name, one.outputs[-1]) for name, one in zip(lab.cases, branches, strict=True))
        found += [
            share("F1", f"{at}: accepted wrong", theory.wrong, wrong, n),
            share("F1", f"{at}: accepted right", theory.right, right, n),
            share("F1", f"{at}: exhausted", theory.exhausted, exhausted, n),
            share("F1", f"{at}: wrong under accept-last", theory.accept_last_wrong, last, n),
            average("F1", f"{at}: attempts", theory.attempts, [float(len(one.outputs)) for one in branches]),
        ]
    return found


async def f2(n: int, seed: int) -> list[Proved]:
    """Two verifiers: the odds of wrong among accepted. And d = f: no gain."""
    found = []
    for names, expected, what in (
        ({"first": (0.6, 0.1), "second": (0.5, 0.05)}, 0.0911, "wrong among accepted, two verifiers"),
        ({"placebo-like": (0.3, 0.3)}, 0.3, "d = f: wrong among accepted is p"),
    ):
        lab = Laboratory(plain(0.3, verifiers=names), _single(n), seed)
        gate = Gate(retries=0, verifiers=tuple(names), may_miss=True)
        wrong, right, _ = _count(lab, await lab.mapped(requests(lab.cases, ["u0"]), gate=gate))
        theory = c.f2_accepted_wrong(0.3, list(names.values()))
        assert abs(theory - expected) < 1e-4, "the vector"
        found.append(share("F2", what, theory, wrong, wrong + right))
    return found


async def _panel(
    n: int, seed: int, p: float, size: int, *, rho: float = 0.0, w: int = 1, gate: Gate | None = None
) -> tuple[Laboratory, list[Branch]]:
    lab = Laboratory(plain(p, rho=rho), _single(n, w), seed)
    return lab, await lab.mapped(requests(lab.cases, ["u0"]), call="panel", gate=gate, size=size)


async def f3(n: int, seed: int) -> list[Proved]:
    """Majorities of independent and of alike agents."""
    found = []
    for size, rho in ((3, 0.0), (5, 0.0), (9, 0.0), (3, 0.3), (5, 0.3), (9, 0.3)):
        wrong, _, _ = _count(*await _panel(n, seed, 0.2, size, rho=rho))
        found.append(share("F3", f"p 0.2 n {size} rho {rho}: majority wrong", c.f3_majority(0.2, size, rho), wrong, n))
    return found


async def f4(n: int, seed: int) -> list[Proved]:
    """Pluralities; the first of tied answers is as good as a random one, since agents are exchangeable."""
    found = []
    for p, size, w in ((0.4, 3, 1), (0.4, 3, 4), (0.4, 5, 4), (0.6, 5, 4)):
        wrong, _, _ = _count(*await _panel(n, seed, p, size, w=w))
        found.append(share("F4", f"p {p} n {size} w {w}: plurality wrong", c.f4_plurality(p, size, w), wrong, n))
    return found


async def f5(n: int, seed: int) -> list[Proved]:
    """Concatenations under strict grading."""
    lab = Laboratory(plain(0.1), [chain_case(name, 6, chained=False) for name in _names(n)], seed)
    units = [f"u{at}" for at in range(6)]
    given = [await lab.mapped(requests(lab.cases, units, agent=f"a{agent}")) for agent in range(3)]
    wrong = sum(
        not all(lab.right(name, one.accepted) for one in said)
        for name, said in zip(lab.cases, zip(*given, strict=True), strict=True)
    )
    return [share("F5", "p 0.1 n 3 m 6: some claim wrong", c.f5_concat(0.1, 3, 6), wrong, n)]


async def f6(n: int, seed: int) -> list[Proved]:
    """First to lead by k."""
    found = []
    for p, k in ((0.2, 2), (0.35, 3)):
        lab = Laboratory(plain(p), _single(n, 1), seed)
        branches = await lab.mapped(requests(lab.cases, ["u0"]), call="ahead", lead=k)
        _, right, _ = _count(lab, branches)
        chance, expected = c.f6_ahead(p, k)
        found.append(share("F6", f"p {p} k {k}: right", chance, right, n))
        found.append(average("F6", f"p {p} k {k}: votes", expected, [float(one.turns) for one in branches]))
    return found


async def f7(n: int, seed: int) -> list[Proved]:
    """One planted error at the head of a chain."""
    found = []
    for delta, length in ((0.227, 12), (0.058, 12)):
        rates = dict.fromkeys(("cheap", "standard", "strong"), delta)
        lab = Laboratory(plain(0.0, containment=rates), [chain_case(name, length) for name in _names(n)], seed)
        chains = await lab.chained(list(lab.cases), length, planted=True)
        spoilt = [
            float(sum(not lab.right(name, claims) for claims in steps))
            for name, steps in zip(lab.cases, chains, strict=True)
        ]
        found.append(average("F7", f"delta {delta} length {length}: spoilt steps", c.f7_cascade(delta, length), spoilt))
    return found


async def f8(n: int, seed: int) -> list[Proved]:
    """Chains without and with a guard that repairs."""
    lab = Laboratory(plain(0.1), [chain_case(name, 8) for name in _names(n)], seed)
    chains = await lab.chained(list(lab.cases), 8)
    spoilt = [
        float(sum(not lab.right(name, one) for one in steps)) for name, steps in zip(lab.cases, chains, strict=True)
    ]
    found = [average("F8", "p 0.1 m 8, no guard: spoilt steps", c.f8_unguarded(0.1, 8), spoilt)]
    for p, delta, m in ((0.1, 0.5, 8), (0.05, 0.227, 20)):
        tiers = {"cheap": p, "standard": p, "strong": 0.0}
        repair = {"cheap": 0.0, "standard": 0.0, "strong": 1.0}
        is_ = plain(tiers, delta, containment=repair, detect_inherited=delta)
        lab = Laboratory(is_, [chain_case(name, m) for name in _names(n)], seed)
        chains = await lab.chained(list(lab.cases), m, gate=Gate(retries=0, escalate=True))
        wrong = sum(not lab.right(name, steps[-1]) for name, steps in zip(lab.cases, chains, strict=True))
        found.append(share("F8", f"p {p} delta {delta} m {m}: the last is spoilt", c.f8_guarded(p, delta, m), wrong, n))
    return found


async def f9(n: int, seed: int) -> list[Proved]:
    """Five verifiers that miss the same errors."""
    lab = Laboratory(plain(1.0, 0.8, miss_rho=0.3), _single(n), seed)
    gate = Gate(retries=0, verifiers=tuple(f"v{number}" for number in range(5)), may_miss=True)
    wrong, _, _ = _count(lab, await lab.mapped(requests(lab.cases, ["u0"]), gate=gate))
    return [share("F9", "miss 0.2 rho 0.3, 5 gates: all miss", c.f9_all_miss(0.2, 0.3, 5), wrong, n)]


async def f10(n: int, seed: int) -> list[Proved]:
    """Debaters who only conform are a majority vote: exactly, task by task."""
    cases = [chain_case(name, 1, alternatives=1) for name in _names(n)]
    is_ = plain(0.4, conformity=1.0, rethink=0.0)
    both = await _episodes(cases, seed, ("independent-vote", "debate"), is_, Protocols())
    same = sum(a.final == b.final for a, b in zip(both["independent-vote"], both["debate"], strict=True))
    return [Proved(form="F10", what="debate equals vote, task by task", expected=1.0, seen=same / n, error=0.0, n=n)]


async def f11(n: int, seed: int) -> list[Proved]:
    """Errors nobody sees, and difficulty that stays."""
    found = []
    for what, is_, theory in (
        ("b 0.25: accepted wrong", plain(0.3, 0.8, 0.05, blind=0.25), c.f11_blind(0.3, 0.8, 0.05, 3, 0.25)),
        ("rho 0.3: accepted wrong", plain(0.3, 0.8, 0.05, rho=0.3), c.f11_hard(0.3, 0.3, 0.8, 0.05, 3)),
    ):
        lab = Laboratory(is_, _single(n), seed)
        wrong, _, _ = _count(lab, await lab.mapped(requests(lab.cases, ["u0"]), gate=Gate(retries=3, may_miss=True)))
        found.append(share("F11", f"p 0.3 d 0.8 f 0.05 k 3 {what}", theory, wrong, n))
    return found


async def _episodes(
    cases: list[Case], seed: int, architectures: tuple[str, ...], is_: Parameters, protocols: Protocols
) -> dict[str, list[Episode]]:
    lab = Laboratory(is_, cases, seed)
    matrix = Matrix(seed=seed, cases=tuple(cases), architectures=architectures, protocols=protocols, agent="proof")
    async with Bench(matrix, lab.agent) as bench:
        episodes = await bench.all()
    for one in episodes:
        one.success = one.status == "answered" and lab.right(one.case, one.claims)
    return {name: [one for one in episodes if one.architecture == name] for name in architectures}


async def f12(n: int, seed: int) -> list[Proved]:
    """The longest of three agents."""
    episodes = await _episodes(
        [chain_case(name, 1) for name in _names(n)],
        seed,
        ("independent-vote",),
        plain(0.0, seconds_vary=True),
        Protocols(),
    )
    seconds = [one.seconds for one in episodes["independent-vote"]]
    return [average("F12", "three exponential times: the longest", c.f12_harmonic(3, 0.6 + 0.02 * 150), seconds)]


async def f13(n: int, seed: int) -> list[Proved]:
    """Turns and exchanges, exactly: every agent right, so nothing is refused and nothing repeated."""
    cases = [chain_case("case", 6, chained=False)]
    names = ("single", "independent-concat", "debate", "centralised", "hybrid")
    done = await _episodes(cases, seed, names, plain(0.0), Protocols())
    # A lead's second round finds everything in order: n coordinations, no work, one question whether to stop.
    wanted = {
        "single": (c.f13_turns("single", n=3, turns=6), 0),
        "independent-concat": (c.f13_turns("independent", n=3, turns=6), 1),
        "debate": (c.f13_turns("debate", n=3, turns=6, rounds=3), c.f13_exchanges("debate", n=3, rounds=3)),
        "centralised": (1 + (3 + 6) + (3 + 0 + 1) + 1, c.f13_exchanges("centralised", n=3, rounds=2)),
        "hybrid": (1 + (3 + 6) + (3 + 0 + 1) + 1, c.f13_exchanges("hybrid", n=3, rounds=2, peers=3)),
    }
    found = []
    for name, (turns, exchanges) in wanted.items():
        seen = done[name][0]
        for what, expected, value in (("turns", turns, len(seen.turns)), ("exchanges", exchanges, seen.exchanges)):
            found.append(Proved(form="F13", what=f"{name}: {what}", expected=expected, seen=value, error=0.0, n=1))
    one = await _episodes(cases, seed, ("single", "independent-vote"), plain(0.3), Protocols(agents=1))
    same = one["single"][0].success == one["independent-vote"][0].success
    found.append(
        Proved(form="F13", what="n = 1: the team is the single agent", expected=1.0, seen=float(same), error=0.0, n=1)
    )
    return found


async def f14(n: int, seed: int) -> list[Proved]:
    """Whole tasks of six steps: the six architectures, and with failing hand-offs."""
    p, d, f_, k, m = 0.1, 0.8, 0.05, 2, 6
    names = _names(n)
    e, voted = c.errors_needed(p, d, f_, k), c.f3_majority(p, 3)
    gate = Gate(retries=k, may_miss=True)
    lab = Laboratory(plain(p, d, f_), [chain_case(name, m, alternatives=1) for name in names], seed)
    units = [f"u{at}" for at in range(m)]
    whole = [await lab.mapped(requests(names, units, agent=f"a{agent}")) for agent in range(3)]
    single = sum(not lab.right(name, one.accepted) for name, one in zip(names, whole[0], strict=True))
    last = [
        sum(not lab.right(name, {"u5": one.accepted["u5"]}) for one in said)
        for name, said in zip(names, zip(*whole, strict=True), strict=True)
    ]
    alone = c.f14_task(p, m)
    found = [
        share("F14", "m 6 p 0.1: single agent", alone, single, n),
        share("F14", "m 6 p 0.1 n 3: vote on the whole", c.f3_majority(alone, 3), sum(wrong >= 2 for wrong in last), n),
    ]
    apart = Laboratory(
        plain(p, d, f_), [chain_case(name, m, alternatives=1, chained=False) for name in names], seed + 1
    )
    for what, theory, call, guard in (
        ("vote on each step", c.f14_task(voted, m), "panel", None),
        ("each step validated", c.f14_task(e, m), "act", gate),
        ("vote and validate", c.f14_task(c.errors_needed(voted, d, f_, k), m), "panel", gate),
    ):
        asked = [one for name in names for unit in units for one in requests([name], [unit])]
        done = await apart.mapped(asked, call=call, gate=guard, **({"size": 3} if call == "panel" else {}))
        wrong = sum(
            not all(apart.right(name, one.accepted) for one in done[at * m : at * m + m])
            for at, name in enumerate(names)
        )
        found.append(share("F14", f"m 6 p 0.1: {what}", theory, wrong, n))
    few = max(50, n // 4)
    cases = [chain_case(name, m, chained=False) for name in _names(few)]
    protocols = Protocols(retries=k, escalate=False)
    team = await _episodes(cases, seed, ("ours",), plain(p, d, f_, handoff={"ours": 0.018}), protocols)
    wrong = sum(not one.success for one in team["ours"])
    return [*found, share("F14", "m 6 p 0.1: plan-DAG, hand-offs fail 0.018", c.f14_task(e, m, 0.018), wrong, few)]


PROOFS: dict[str, Proof] = {
    "F1": f1, "F2": f2, "F3": f3, "F4": f4, "F5": f5, "F6": f6, "F7": f7, "F8": f8, "F9": f9, "F10": f10, "F11": f11,
    "F12": f12, "F13": f13, "F14": f14,
}  # fmt: skip
REDUCED: dict[str, int] = {
    "F1": 600, "F2": 700, "F3": 250, "F4": 250, "F5": 200, "F6": 250, "F7": 80, "F8": 60, "F9": 600, "F10": 30,
    "F11": 500, "F12": 60, "F13": 1, "F14": 80,
}  # fmt: skip
FULL: dict[str, int] = {
    "F1": 40_000, "F2": 40_000, "F3": 20_000, "F4": 20_000, "F5": 10_000, "F6": 20_000, "F7": 2_000, "F8": 2_000,
    "F9": 40_000, "F10": 1_000, "F11": 40_000, "F12": 4_000, "F13": 1, "F14": 6_000,
}  # fmt: skip
