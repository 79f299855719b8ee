"""Sweeps: one assumption at a time, from harmless to harsh, to see where the supervisor wins and where it loses."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.architectures.model import CLASSES, Case
from benchmarks.architectures.parameters import TIERS, Parameters, Protocols
from benchmarks.architectures.record import Episode
from benchmarks.architectures.runner import Bench, Ceiling, Matrix, grade
from benchmarks.architectures.simulated import GoldWorld, SimulatedAgent
from benchmarks.architectures.statistics import Interval, wilson
from benchmarks.architectures.suite import Sweep
from benchmarks.architectures.tasks import TaskHost

Settings = tuple[Parameters, Protocols]


def _detect(is_: Parameters, value: float) -> Parameters:
    return dataclasses.replace(is_, detect=dict.fromkeys(is_.detect, value))


def _p(is_: Parameters, value: float) -> Parameters:
    scale = value / is_.p["standard"]
    return dataclasses.replace(is_, p={tier: min(1.0, is_.p[tier] * scale) for tier in TIERS})


def _kappa(is_: Parameters, value: float) -> Parameters:
    return dataclasses.replace(is_, handoff=dict.fromkeys((*is_.handoff,), value))


#: what a sweep may change, and how
CHANGES: Final[Mapping[str, Callable[[Parameters, Protocols, float], Settings]]] = {
    "detect": lambda is_, how, value: (_detect(is_, value), how),
    "false_alarm": lambda is_, how, value: (dataclasses.replace(is_, false_alarm=value), how),
    "p": lambda is_, how, value: (_p(is_, value), how),
    "rho": lambda is_, how, value: (dataclasses.replace(is_, rho=value), how),
    "blind": lambda is_, how, value: (dataclasses.replace(is_, blind=value), how),
    "kappa": lambda is_, how, value: (_kappa(is_, value), how),
    "context_loss": lambda is_, how, value: (dataclasses.replace(is_, context_loss=value), how),
    "agents": lambda is_, how, value: (is_, dataclasses.replace(how, agents=int(value))),
    "debate_rounds": lambda is_, how, value: (is_, dataclasses.replace(how, debate_rounds=int(value))),
    "rounds": lambda is_, how, value: (is_, dataclasses.replace(how, rounds=int(value))),
    "retries": lambda is_, how, value: (is_, dataclasses.replace(how, retries=int(value))),
    "escalate": lambda is_, how, value: (is_, dataclasses.replace(how, escalate=bool(value))),
    "tier": lambda is_, how, value: (is_, dataclasses.replace(how, tier=TIERS[int(value)])),
    "worker_tier": lambda is_, how, value: (is_, dataclasses.replace(how, worker_tier=TIERS[int(value)])),
    "spread": lambda is_, how, value: (is_, dataclasses.replace(how, spread=value)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One architecture on one class at one value of one parameter."""

    parameter: str
    value: float
    klass: str
    architecture: str
    successes: int
    n: int
    wrong_delivered: int
    turns: float
    usd: float

    @property
    def success(self) -> float:
        """Share of instances solved."""
        return self.successes / self.n

    @property
    def interval(self) -> Interval:
        """Wilson, 95 %."""
        return wilson(self.successes, self.n)


@dataclass(slots=True, kw_only=True)
class Swept:
    """What came of a sweep."""

    points: list[Point] = field(default_factory=list)
    booked: float = 0.0
    stopped: bool = False  #: the budget was gone before its end


async def swept(
    sweep: Sweep,
    is_: Parameters,
    how: Protocols,
    *,
    seed: int,
    host: TaskHost,
    store: str,
    ceiling: Ceiling,
    told: Callable[[str], None],
) -> "Swept":
    """Every point of a sweep, on the same instances and seeds; what one spends is not there for the next.

    Raises:
        KeyError: a parameter cannot be swept.
    """
    cases = [case for family in sweep.families for case in host.cases(family, seed, sweep.count)]
    world = GoldWorld(host.golds([case.id for case in cases]))
    by_id = {case.id: case for case in cases}
    found = Swept()
    for parameter, values in sweep.values.items():
        for value in values:
            told(f"{parameter} = {value:g}")
            changed, protocols = CHANGES[parameter](is_, how, value)
            matrix = Matrix(
                seed=seed,
                cases=tuple(cases),
                architectures=sweep.architectures,
                protocols=protocols,
                agent=f"simulated {changed.to_json()}",
            )
            async with Bench(
                matrix,
                SimulatedAgent(changed, seed, by_id, world),
                store=store,
                ceiling=dataclasses.replace(ceiling, usd=ceiling.usd - found.booked),
            ) as bench:
                episodes = await bench.all()
            found.booked += bench.spending.booked
            if bench.stopped:
                found.stopped = True
                return found
            grade(episodes, host)
            found.points += _points(parameter, value, episodes, by_id, sweep.architectures)
    return found


def _points(
    parameter: str,
    value: float,
    episodes: Sequence[Episode],
    by_id: Mapping[str, Case],
    names: Sequence[str],
) -> list[Point]:
    found = []
    for klass in CLASSES:
        for name in names:
            mine = [one for one in episodes if one.architecture == name and by_id[one.case].klass == klass]
            if mine:
                found.append(
                    Point(
                        parameter=parameter,
                        value=value,
                        klass=klass,
                        architecture=name,
                        successes=sum(one.success is True for one in mine),
                        n=len(mine),
                        wrong_delivered=sum(one.status == "answered" and not one.success for one in mine),
                        turns=sum(len(one.turns) for one in mine) / len(mine),
                        usd=sum(one.usd for one in mine) / len(mine),
                    )
                )
    return found
