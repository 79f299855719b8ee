"""How large a storm is, and what it came to."""

import os
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

from tests.fleet.storm.checker import Findings

WASTE_MAX = 0.05  #: of all steps, executed beyond once
#: The rules of docs/reliability.md that an account of a storm looks at. I27, the same bytes from the same seed, is of
#: the simulator alone: real processes have no seed.
RULES = [f"I{number}" for number in range(1, 31) if number != 27]


@dataclass(frozen=True, kw_only=True)
class Storm:
    """How large, and how hard."""

    steps: int
    seed: int
    branches: int = 24  #: per run
    pause_s: float = 0.05  #: of a pure step
    open_runs: int = 12  #: at the same time
    every_s: tuple[float, float] = (1.0, 4.7)  #: between two faults; what a machine is late comes on top
    freeze_s: tuple[float, float] = (1.0, 20.0)
    lease_s: float = 10.0  #: the product's default
    calm_s: float = 600.0  #: after the last fault every run must end within this
    faults_min: int = 0  #: the load goes on until so many faults struck
    faults_s: float = 0.0  #: and until there were faults for so long


@dataclass(kw_only=True)
class DoorAccount:
    """What the tenants of the service did and found."""

    jobs: int = 0
    cancelled: int = 0
    conversations: int = 0
    turns: int = 0
    streams: int = 0  #: followed to the end
    reconnects: int = 0
    messages: int = 0  #: webhooks that came
    told_again: int = 0  #: of them, although the receiver had said that it has them: that was lost
    summaries: int = 0  #: calls of the model for conversations, which book them
    calls: int = 0  #: of the model, for runs
    calls_unknown: int = 0  #: whose bill nobody can tell; the money stays set aside
    bypass: tuple[int, int] = (0, 0)  #: tasks that went before one of the low lane: of nine in ten at most, and of all
    scanned_bytes: int = 0  #: in which secrets were looked for
    answers: dict[str, int] = field(default_factory=dict)  #: of the service, by status, and connections that broke


@dataclass(kw_only=True)
class Account:
    """What a storm came to."""

    storm: Storm
    findings: Findings
    door: DoorAccount
    results: dict[str, int]  #: of workers: accepted, rejected, stale, unknown
    at_once: int  #: attempts that two workers were at together
    faults: Counter[str]
    lasted_s: float
    faults_s: float  #: from the first fault to the last
    gaps_s: list[float]  #: between the beginnings of two faults
    calm_s: float  #: from the last fault to the last end
    restarts: int
    repeated: int  #: requests sent once more afterwards, each answered with the run that it had made
    log: list[str] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        """All figures, as they are kept."""
        found = self.findings
        return {
            "seed": self.storm.seed, "runs": found.runs, "steps": found.steps, "executions": found.begun,
            "waste": round(found.waste, 5), "waste_max": WASTE_MAX, "effects": found.effects,
            "effects_begun": found.effects_begun, "effects_landed_late": found.landed_late,
            "pure_begun_after_passed": found.late,
            "adoptions": found.adoptions, "leases_lost": found.lost, "results": self.results,
            "at_once": self.at_once, "door": asdict(self.door), "faults": dict(self.faults.most_common()),
            "faults_total": sum(self.faults.values()), "processes_started": self.restarts,
            "faults_s": round(self.faults_s, 1), "fault_each_s": quantiles(self.gaps_s),
            "date": time.strftime("%Y-%m-%d"), "rules": RULES, "repeated": self.repeated,
            "lasted_s": round(self.lasted_s, 1), "calm_s": round(self.calm_s, 1),
            "wrong": found.wrong[:100],
            "cores": os.cpu_count(), "load_1m": os.getloadavg()[0],
        }  # fmt: skip

    def markdown(self) -> str:
        """The same for people."""
        found, door = self.findings, self.door
        rows = "\n".join(f"| {name} | {count} |" for name, count in self.faults.most_common())
        wrong = "\n".join(f"- {line}" for line in found.wrong[:100]) or "Nothing."
        results = ", ".join(f"{count} {name}" for name, count in sorted(self.results.items()))
        answers = ", ".join(f"{name} {count}" for name, count in sorted(door.answers.items()))
        return (
            f"# Kill storm, seed {self.storm.seed}\n\n"
            f"{found.runs:,} runs, {found.steps:,} steps in {self.lasted_s:.0f} s on {os.cpu_count()} cores; "
            f"{sum(self.faults.values())} faults in {self.faults_s:.0f} s, one every {quantiles(self.gaps_s)} s; every "
            f"run had ended {self.calm_s:.0f} s after the last one.\n\n"
            f"Executions {found.begun:,}: waste {found.waste:.2%} (at most {WASTE_MAX:.0%}), of it {found.late} pure "
            f"ones begun after their step had passed. {found.effects:,} effects in {found.effects_begun:,} attempts; "
            f"{found.landed_late} landed after their step had passed, from a worker frozen in the middle of one. "
            f"{found.adoptions} adoptions, {found.lost} attempts lost, {self.restarts} processes started. Results of "
            f"workers: {results}; {self.at_once} attempts had two workers at once.\n\n"
            f"At the door of the service: {door.jobs} jobs ({door.cancelled} cancelled), {door.turns} turns in "
            f"{door.conversations} conversations, {door.streams} streams read to the end over {door.reconnects} "
            f"reconnections, {door.messages} webhooks ({door.told_again} told again), {door.calls} calls of a model "
            f"({door.calls_unknown} with a bill that nobody can tell), {door.summaries} for conversations; "
            f"{door.bypass[0]} tasks at most went before nine in ten of the low lane, {door.bypass[1]} before all; "
            f"{door.scanned_bytes:,} bytes hold no secret unless it is said below. Answers: {answers}.\n\n"
            f"| Fault | Times |\n| --- | --- |\n{rows}\n\n## What was wrong\n\n{wrong}\n"
        )


def quantiles(values: list[float]) -> dict[str, float]:
    """The least, the middle and the most of some seconds; of none, nothing."""
    ordered = sorted(values)
    places = {"least": 0, "middle": len(ordered) // 2, "most": -1}
    return {name: round(ordered[place], 2) for name, place in places.items()} if ordered else {}
