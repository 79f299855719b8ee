"""Many schedules, counted: violations, legal moves met, faults in every phase, speed. `python -m` runs it.

python -m orchestrator.testing.simulation.campaign --from 0 --seeds 1000 [--report FILE] [--failures FOLDER]
    [--lots FOLDER [--workers 2] [--merge]] [--only FAULT]

`--only` leaves schedules out in which a fault cannot strike: what a change reaches is played again without the rest.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from orchestrator.core import facts as f
from orchestrator.core.machine import RunMachine
from orchestrator.core.state import SETTLED, Status, StepState
from orchestrator.core.transitions import ANY_TIME, MAPPED, UNIT, Edges
from orchestrator.ids import StepId
from orchestrator.plan.compiled import compile_plan
from orchestrator.plan.models import Plan
from orchestrator.ports.journal import Recorded
from orchestrator.testing.simulation.profile import AT_MOVES, AT_TIMES, FAULTS, Schedule, profile_of
from orchestrator.testing.simulation.shrink import shrink
from orchestrator.testing.simulation.world import Outcome, simulate

TWICE: Final = 100  #: every so many schedules, one is played twice and must be the same byte for byte
Edge = tuple[str, str, str, str]  #: table, status, fact, status


def _edges(name: str, table: dict[Status, Edges]) -> set[Edge]:
    return {
        (name, status, kind.KIND, target)
        for status, edges in table.items()
        for kind, targets in edges.items()
        for target in targets
    }


LEGAL: Final = frozenset(_edges("unit", UNIT) | _edges("mapped", MAPPED))
#: phases a unit can be in while a fault strikes: what is settled only waits for the others
PHASES: Final = tuple(
    sorted(status.value for status in Status if status not in SETTLED and status is not Status.REJECTED)
)
PAIRS: Final = frozenset((fault, phase) for fault in (*AT_MOVES, *AT_TIMES) for phase in PHASES)


@dataclass(slots=True)
class Tally:
    """What some schedules have shown."""

    schedules: int = 0
    facts: int = 0
    twice: int = 0
    cpu_s: float = 0.0
    virtual_s: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    edges: Counter[Edge] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)  #: of those played here
    failing: list[dict[str, object]] = field(default_factory=list)  #: all of them, as documents

    def add(self, outcome: Outcome) -> None:
        """Count one schedule."""
        self.schedules += 1
        self.facts += outcome.facts
        self.virtual_s += outcome.virtual_s
        self.statuses += outcome.statuses
        self.pairs.update({pair: n for pair, n in outcome.struck.items() if pair in PAIRS})
        made = Counter(edge for records in outcome.histories.values() for edge in edges_of(records))
        self.edges += made
        illegal = tuple(f"I6: no table has the move {' '.join(edge)}" for edge in sorted(made.keys() - LEGAL))
        if outcome.violations or illegal:
            violations = [*outcome.violations, *illegal]
            self.failures.append(outcome)
            self.failing.append({"schedule": outcome.schedule.document(), "violations": violations})

    def state(self) -> dict[str, object]:
        """Everything that was counted, as JSON; `merge` takes it in."""
        return {
            **{name: getattr(self, name) for name in _SUMS},
            **{name: [[*_texts(key), n] for key, n in sorted(getattr(self, name).items())] for name in _COUNTS},
            "failing": self.failing,
        }

    def merge(self, state: dict[str, Any]) -> None:
        """Add what another campaign has counted."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + state[name])
        for name in _COUNTS:
            counted = getattr(self, name)
            for *key, n in state[name]:
                counted[key[0] if len(key) == 1 else tuple(key)] += n
        self.failing += state["failing"]

    def document(self) -> dict[str, object]:
        """The figures of the report."""
        missing = sorted(LEGAL - self.edges.keys())
        return {
            "schedules": self.schedules,
            "violations": len(self.failing),
            "facts": self.facts,
            "played_twice": self.twice,
            "virtual_days": round(self.virtual_s / 86_400, 2),
            "schedules_per_cpu_second": round(self.schedules / self.cpu_s, 2) if self.cpu_s else 0.0,
            "runs": dict(sorted(self.statuses.items())),
            "legal_moves": {"met": len(LEGAL) - len(missing), "of": len(LEGAL)},
            "legal_moves_not_met": [" ".join(edge) for edge in missing],
            "fault_phase_pairs": {"met": len(self.pairs), "of": len(PAIRS)},
            "fault_phase_pairs_not_met": [" ".join(pair) for pair in sorted(PAIRS - self.pairs.keys())],
            "failing": self.failing,
        }


_SUMS: Final = ("schedules", "facts", "twice", "cpu_s", "virtual_s")
_COUNTS: Final = ("statuses", "edges", "pairs")


def _texts(key: str | tuple[str, ...]) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else tuple(map(str, key))


def edges_of(records: Iterable[Recorded]) -> list[Edge]:
    """The moves that a run's facts made, as its machine sees them."""
    facts = [record.fact for record in records]
    frozen = next(fact for fact in facts if isinstance(fact, f.PlanFrozen))
    machine = RunMachine(compile_plan(Plan.model_validate(frozen.plan)))
    return [move for fact in facts for move in _moves(machine, fact)]


def _moves(machine: RunMachine, fact: f.Fact) -> list[Edge]:
    if isinstance(fact, f.PlanPatched | f.StepQuarantined):
        before, over = _statuses(machine), bool(machine.state.ended)
        machine.replay(fact)
        after = _statuses(machine)
        meant = {fact.step, *fact.affected} if isinstance(fact, f.StepQuarantined) and not over else set()
        return [
            (table, was, fact.KIND, after[table, step, branch])
            for (table, step, branch), was in before.items()
            if (table, step, branch) in after and (step in meant or after[table, step, branch] != was)
        ]
    state = machine.state.step(fact.step) if isinstance(fact, f.StepFact) and fact.step else None
    if state is None or type(fact) in ANY_TIME or not isinstance(fact, f.StepFact):
        machine.replay(fact)
        return []
    table, was = _status(state, fact.branch)
    machine.replay(fact)
    _, now = _status(state, fact.branch)
    return [(table, was, fact.KIND, now)]


def _status(state: StepState, branch: int) -> tuple[str, str]:
    unit = state.find(branch)
    if branch < 0 and state.spec.mapped:
        return "mapped", state.status.value
    return "unit", unit.status.value if unit is not None else Status.PENDING.value


def _statuses(machine: RunMachine) -> dict[tuple[str, StepId, int], str]:
    """The status of every row that the tables speak of: (table, step, branch)."""
    found: dict[tuple[str, StepId, int], str] = {}
    for state in machine.state.steps:
        if state.spec.mapped:
            found["mapped", state.spec.id, f.WHOLE] = state.status.value
        for unit in state.all_units():
            found["unit", state.spec.id, unit.branch] = unit.status.value
    return found


def campaign(first: int, schedules: int, only: str = "") -> Tally:
    """Play schedules `first` and following, or those in which a fault can strike. Every hundredth is played twice."""
    tally, began_s = Tally(), time.process_time()
    for seed in range(first, first + schedules):
        if only and not profile_of(Schedule(seed=seed)).strikes(only):
            continue
        again = seed % TWICE == 0
        outcome = simulate(Schedule(seed=seed), record=again)
        tally.add(outcome)
        if again:
            tally.twice += 1
            if simulate(Schedule(seed=seed), record=True).digest != outcome.digest:
                raise AssertionError(f"schedule {seed} was not the same twice (I27)")
    tally.cpu_s = time.process_time() - began_s
    return tally


def main(arguments: list[str] | None = None) -> int:
    """Play, print the figures; 1 when a promise was broken."""
    from orchestrator.testing.simulation.lots import merged, play_lots  # which knows of this module

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--failures", type=Path, help="a folder for shrunk failing schedules")
    parser.add_argument("--lots", type=Path, help="a folder for what is done; the same command goes on from there")
    parser.add_argument("--workers", type=int, default=1, help="processes, with --lots")
    parser.add_argument("--only", choices=FAULTS, default="", help="schedules in which it can strike")
    parser.add_argument("--merge", action="store_true", help="play nothing: the figures of the lots that are done")
    given = parser.parse_args(arguments)
    if given.lots is None and (given.merge or given.workers != 1):
        parser.error("--merge and --workers need --lots FOLDER")
    if given.merge:
        tally = merged(given.lots, given.only)
    elif given.lots is not None:
        tally = play_lots(given.lots, given.first, given.seeds, given.workers, given.failures, given.only)
    else:
        tally = campaign(given.first, given.seeds, given.only)
        keep(tally, given.failures)
    document = tally.document()
    text = json.dumps(document, indent=1)
    print(text)  # noqa: T201  # a program of its own
    if given.report is not None:
        given.report.write_text(text + "\n", encoding="utf-8")
    return 1 if document["violations"] else 0


def keep(tally: Tally, folder: Path | None) -> None:
    """Failing schedules are shrunk and kept as files, where there is a folder for them."""
    for outcome in tally.failures if folder is not None else ():
        small = shrink(outcome) if outcome.violations else outcome  # else it made a move that no table has
        assert folder is not None, "just asked"
        folder.mkdir(parents=True, exist_ok=True)
        told = {"schedule": small.schedule.document(), "violations": list(small.violations)}
        (folder / f"{small.schedule.seed}.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

__all__ = ["LEGAL", "PAIRS", "Tally", "campaign", "edges_of", "keep", "main"]
