"""Figures from graded episodes: every coordination metric per architecture, by family, by class and over all."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.architectures import metrics as m
from benchmarks.architectures import statistics as s
from benchmarks.architectures.model import OVERHEAD_KINDS, Case
from benchmarks.architectures.record import Episode

SINGLE = "single"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One architecture on one group of tasks. Means are per instance; None: undefined here."""

    scope: str  #: family, class, or `all`
    group: str
    architecture: str
    n: int
    successes: int
    success: float
    wilson: s.Interval
    exact: s.Interval  #: Clopper-Pearson
    turns: float
    turns_by_kind: dict[str, float] = field(default_factory=dict)
    overhead_percent: float | None = None
    efficiency: float | None = None
    density: float = 0.0
    delivered_messages: float = 0.0
    redundancy_cosine: float | None = None
    redundancy_shared: float | None = None
    overlap: dict[str, float] = field(default_factory=dict)
    amplification_task: float | None = None
    amplification_trace: float | None = None
    overhead_tokens: float = 0.0  #: numerator of the trace metric, per instance
    cascade: float | None = None  #: wrong step answers per originating one
    step_error: float | None = None
    absorption: float | None = None
    information_gain: float | None = None
    tokens: float = 0.0
    success_per_million_tokens: float = 0.0
    usd: float = 0.0
    seconds: float = 0.0  #: along the critical path
    work_seconds: float = 0.0
    speed_up: float | None = None  #: the single agent's time over this one's
    wrong_delivered: float = 0.0
    no_answer: float = 0.0
    catch: float | None = None  #: share of wrong outputs that the verifier refused
    fix: float | None = None  #: share of the caught whose step passed rightly in the end
    false_alarm: float | None = None
    judged: tuple[int, int] = (0, 0)  #: wrong and right outputs that a verifier saw
    only_this: int = 0  #: instances that this one solved and the single agent did not
    only_single: int = 0
    mcnemar: float | None = None
    routes: dict[str, int] = field(default_factory=dict)


def rows(episodes: Sequence[Episode], cases: Mapping[str, Case]) -> list[Row]:
    """All rows, in a fixed order: families, classes, all."""
    first = [one for one in episodes if one.trial == 0]
    names = list(dict.fromkeys(one.architecture for one in first))
    found: list[Row] = []
    scopes: list[tuple[str, Callable[[Case], str]]] = [
        ("family", lambda case: case.family),
        ("class", lambda case: case.klass),
        ("all", lambda _case: "all"),
    ]
    for scope, group_of in scopes:
        groups: dict[str, list[Episode]] = defaultdict(list)
        for one in first:
            groups[group_of(cases[one.case])].append(one)
        for group, members in groups.items():
            by_name = {name: [one for one in members if one.architecture == name] for name in names}
            base = by_name.get(SINGLE, [])
            repeated = [one for one in episodes if group_of(cases[one.case]) == group]
            found += [_row(scope, group, name, by_name[name], base, cases, repeated) for name in names if by_name[name]]
    return found


def _mean(values: Iterable[float]) -> float:
    given = list(values)
    return math.fsum(given) / len(given) if given else 0.0


def _row(
    scope: str,
    group: str,
    name: str,
    mine: list[Episode],
    base: list[Episode],
    cases: Mapping[str, Case],
    repeated: list[Episode],
) -> Row:
    n = len(mine)
    successes = sum(one.success is True for one in mine)
    turns = _mean(len(one.turns) for one in mine)
    kinds = Counter(turn.kind for one in mine for turn in one.turns)
    overheads = [_overhead_tokens(one) for one in mine]
    tokens = _mean(one.tokens for one in mine)
    error = _step_error(mine, cases)
    base_success = _mean(one.success is True for one in base)
    base_turns = _mean(len(one.turns) for one in base)
    base_error = _step_error(base, cases) if base else None
    base_seconds = _mean(one.seconds for one in base)
    seconds = _mean(one.seconds for one in mine)
    solved = {one.case for one in base if one.success}
    own = {one.case for one in mine if one.success}
    shared = {one.case for one in base} & {one.case for one in mine}
    origins, wrong = map(sum, zip(*[m.cascade(one.right, cases[one.case].needs) for one in mine], strict=True))
    caught = _verifier(mine)
    overlaps = [m.overlap(_said(one)) for one in mine]
    return Row(
        scope=scope,
        group=group,
        architecture=name,
        n=n,
        successes=successes,
        success=successes / n,
        wilson=s.wilson(successes, n),
        exact=s.clopper_pearson(successes, n),
        turns=turns,
        turns_by_kind={kind: kinds[kind] / n for kind in sorted(kinds)},
        overhead_percent=m.overhead_percent(turns, base_turns) if base_turns else None,
        efficiency=m.efficiency(successes / n, turns, base_turns) if base_turns and turns else None,
        density=_mean(m.density(one.exchanges, len(one.turns)) for one in mine),
        delivered_messages=_mean(one.delivered for one in mine),
        redundancy_cosine=_defined(m.redundancy_cosine(_outputs(one)) for one in mine),
        redundancy_shared=_defined(
            m.redundancy_shared({unit: len(said) for unit, said in _said(one).items()}) for one in mine
        ),
        overlap={key: _mean(one[key] for one in overlaps) for key in ("unique", "shared", "contradictory")},
        amplification_task=m.amplification(successes / n, base_success) if base else None,
        amplification_trace=m.trace_amplification(
            sum(overheads), successes, sum(_overhead_tokens(one) for one in base), len(solved)
        ),
        overhead_tokens=_mean(overheads),
        cascade=wrong / origins if origins else None,
        step_error=error,
        absorption=m.absorption(error, base_error) if error is not None and base_error is not None else None,
        information_gain=_gain(name, repeated),
        tokens=tokens,
        success_per_million_tokens=m.tokens_per_success(successes / n, tokens),
        usd=_mean(one.usd for one in mine),
        seconds=seconds,
        work_seconds=_mean(one.work_seconds for one in mine),
        speed_up=base_seconds / seconds if base and seconds else None,
        wrong_delivered=sum(one.status == "answered" and not one.success for one in mine) / n,
        no_answer=sum(one.status != "answered" for one in mine) / n,
        catch=caught[0],
        fix=caught[1],
        false_alarm=caught[2],
        judged=caught[3],
        only_this=len((own - solved) & shared),
        only_single=len((solved - own) & shared),
        mcnemar=s.mcnemar(len((own - solved) & shared), len((solved - own) & shared)) if base else None,
        routes=dict(sorted(Counter(one.route for one in mine if one.route).items())),
    )


def _overhead_tokens(one: Episode) -> float:
    return sum(turn.tokens_in + turn.tokens_out for turn in one.turns if turn.kind in OVERHEAD_KINDS)


def _step_error(episodes: list[Episode], cases: Mapping[str, Case]) -> float | None:
    """Share of all steps of all tasks whose final answer is wrong or missing."""
    steps = sum(len(cases[one.case].units) for one in episodes)
    right = sum(sum(one.right.values()) for one in episodes if one.status == "answered")
    return 1 - right / steps if steps else None


def _outputs(one: Episode) -> list[str]:
    return [json.dumps(claims, sort_keys=True) for _, claims in one.agent_claims if claims]


def _said(one: Episode) -> dict[str, list[str]]:
    """What different agents said, by step; an agent that speaks twice is heard once."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for number, (agent, claims) in enumerate(one.agent_claims):
        for unit, value in claims.items():
            found[unit].setdefault(agent if not agent.startswith("loop") else str(number), json.dumps(value))
    return {unit: list(said.values()) for unit, said in found.items()}


def _defined(values: Iterable[float | None]) -> float | None:
    given = [value for value in values if value is not None]
    return _mean(given) if given else None


def _verifier(episodes: list[Episode]) -> tuple[float | None, float | None, float | None, tuple[int, int]]:
    wrong = caught = fixed = right = alarms = 0
    for one in episodes:
        # A step that passed after a refusal counts as fixed when the answer that it passed on was right.
        for judged, well in zip(one.judged, one.judged_right, strict=True):
            if well is None:
                continue
            if well:
                right += 1
                alarms += judged.refused
            else:
                wrong += 1
                caught += judged.refused
                ended = judged.passed_in_the_end and all(one.right.get(unit, False) for unit in judged.claims)
                fixed += judged.refused and ended
    return (
        caught / wrong if wrong else None,
        fixed / caught if caught else None,
        alarms / right if right else None,
        (wrong, right),
    )


def _gain(name: str, episodes: list[Episode]) -> float | None:
    """Information gain over the single agent, mean over instances that were repeated."""
    right: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for one in episodes:
        if one.architecture in {name, SINGLE}:
            right[one.case, one.architecture].append(one.success is True)
    gains = [
        m.information_gain(sum(right[case, SINGLE]), sum(said), len(said))
        for (case, architecture), said in right.items()
        if architecture == name and len(said) > 1 and len(right[case, SINGLE]) == len(said)
    ]
    return _mean(gains) if gains else None


def power(episodes: Sequence[Episode], architecture: str) -> dict[int, float]:
    """pass^k: the chance that k repetitions of an instance all succeed, without bias; over repeated instances."""
    right: dict[str, list[bool]] = defaultdict(list)
    for one in episodes:
        if one.architecture == architecture:
            right[one.case].append(one.success is True)
    repeated = [said for said in right.values() if len(said) > 1]
    if not repeated:
        return {}
    most = min(len(said) for said in repeated)
    return {
        k: _mean(math.comb(sum(said), k) / math.comb(len(said), k) for said in repeated) for k in range(1, most + 1)
    }
