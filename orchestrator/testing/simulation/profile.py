"""What a seed decides: who takes part, which faults strike, and how hard. A few strong ones find more than all weak."""

import random
from dataclasses import dataclass, field, replace
from typing import Final, Self

#: Faults that strike with a chance at every move, and the chance where they are strong.
AT_MOVES: Final[dict[str, float]] = {
    "task.lost": 0.3,
    "task.twice": 0.3,
    "task.late": 0.4,
    "answer.lost": 0.3,
    "answer.twice": 0.4,
    "answer.late": 0.4,
    "store.slow": 0.5,
    "store.refuses": 0.08,
    "store.doubt": 0.08,  #: it is written, and then there is an error
    "worker.wrong": 0.4,
    "worker.fails": 0.3,
    "worker.hangs": 0.15,
    "mind.wrong": 0.4,
    "mind.hangs": 0.2,
    "notice.lost": 0.7,
}
#: Faults that strike at moments of their own, and the seconds between two where they are strong.
AT_TIMES: Final[dict[str, float]] = {
    "supervisor.killed": 9.0,
    "supervisor.frozen": 12.0,
    "supervisor.stopped": 15.0,
    "worker.killed": 5.0,
    "worker.frozen": 6.0,
    "transport.forgets": 15.0,
    "store.rewinds": 25.0,
    "store.full": 20.0,
    "client.cancels": 30.0,
    "client.takes_back": 12.0,
    "client.patches": 15.0,
    "client.asks_again": 20.0,  #: for an ended run, from where it failed or from some step
}
CLOCKS: Final = "clock.skew"
FAULTS: Final = (*AT_MOVES, *AT_TIMES, CLOCKS)
_WEAK: Final = 0.2  #: of the strong rate
_PEOPLE: Final = 0.3  #: how likely people do each of what they may do, whatever else strikes
_SKEWS_S: Final = (1.0, 60.0, 3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One simulated history, whole: a seed, and what shrinking has taken away from it."""

    seed: int
    without: frozenset[str] = frozenset()  #: faults that do not strike
    runs: int | None = None  #: at most
    faults_s: float | None = None  #: seconds with faults, at most

    def document(self) -> dict[str, object]:
        """As JSON, for a file."""
        return {"seed": self.seed, "without": sorted(self.without), "runs": self.runs, "faults_s": self.faults_s}

    @classmethod
    def of(cls, document: dict[str, object]) -> Self:
        """Read `document` back."""
        without = document["without"]
        assert isinstance(without, list), "a list of faults"
        made = cls(seed=int(str(document["seed"])), without=frozenset(map(str, without)))
        runs, faults_s = document["runs"], document["faults_s"]
        return replace(
            made,
            runs=None if runs is None else int(str(runs)),
            faults_s=None if faults_s is None else float(str(faults_s)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a schedule's seed has decided."""

    supervisors: int
    workers: int  #: 0 to 8; where there is none, phase two brings one
    slots: int  #: tasks that a worker does at a time
    runs: int
    faults_s: float  #: phase one; faults stop then
    chances: dict[str, float] = field(default_factory=dict)
    pauses_s: dict[str, float] = field(default_factory=dict)
    skew_s: float = 0.0
    busy_s: float = 1.0  #: mean time of a task
    people_s: float = 5.0  #: mean time of an answer of a person
    pays: float = 0.4  #: share of tasks that call a model
    silent: float = 0.1  #: share of questions that nobody answers

    def chance(self, fault: str) -> float:
        """How likely a fault of `AT_MOVES` is at each move."""
        return self.chances.get(fault, 0.0)

    def strikes(self, fault: str) -> bool:
        """Whether it can strike at all."""
        return fault in self.chances or fault in self.pauses_s or (fault == CLOCKS and self.skew_s > 0.0)


def profile_of(schedule: Schedule) -> Profile:
    """Draw everything that a seed decides before the first move."""
    dice = random.Random(f"profile {schedule.seed}")  # chance that repeats is the point
    strong = set(dice.sample(FAULTS, dice.choice((0, 1, 2, 3, 4))))
    weak = set(FAULTS) if dice.random() < 0.3 else set()
    force = {fault: 1.0 if fault in strong else _WEAK if fault in weak else 0.0 for fault in FAULTS}
    people = random.Random(f"people {schedule.seed}")  # chance that repeats is the point
    force |= {fault: 1.0 for fault in AT_TIMES if fault.startswith("client.") and people.random() < _PEOPLE}
    for fault in schedule.without:
        force[fault] = 0.0
    runs = dice.choice((1, 1, 1, 2, 3))
    faults_s = dice.choice((5.0, 20.0, 60.0))
    skew_s = dice.choice(_SKEWS_S)
    return Profile(
        supervisors=dice.choice((1, 1, 2, 2, 3)),
        workers=dice.choice((0, 1, 1, 2, 3, 5, 8)),
        slots=dice.choice((1, 1, 2, 4)),
        runs=runs if schedule.runs is None else min(runs, schedule.runs),
        faults_s=faults_s if schedule.faults_s is None else min(faults_s, schedule.faults_s),
        chances={fault: force[fault] * rate for fault, rate in AT_MOVES.items() if force[fault]},
        pauses_s={fault: pause_s / force[fault] for fault, pause_s in AT_TIMES.items() if force[fault]},
        skew_s=skew_s if force[CLOCKS] else 0.0,
        busy_s=dice.choice((0.05, 0.5, 2.0, 6.0)),
        people_s=dice.choice((1.0, 10.0, 40.0)),
        silent=dice.choice((0.0, 0.3, 0.8)),
    )
