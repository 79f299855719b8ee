"""What must hold after a storm, from sources that know nothing of each other: journal, witness, client and Redis."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history
from orchestrator.engine.recovery import read_all
from orchestrator.errors import JournalError
from orchestrator.ports.journal import Journal, Recorded, RunQuery

EFFECT = "published"
#: The rules of docs/reliability.md that an account of a storm looks at. The others need what no storm has: a bill of a
#: model, clients that cancel, sessions, tenants beside each other, secrets, a second play of the same bytes.
RULES = ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I11", "I12", "I13", "I17", "I20", "I28", "I29"]
STEPS_BESIDE = 1  #: of a storm's plan, beside the branches of its map


@dataclass
class Findings:
    """Figures, and everything that is wrong; nothing wrong is an empty list."""

    runs: int = 0
    steps: int = 0
    begun: int = 0  #: executions at the witness
    lost: int = 0  #: attempts recorded as lost
    adoptions: int = 0
    effects: int = 0  #: runs whose effect the witness saw: under one key, with one value
    effects_begun: int = 0  #: attempts at them that began; one per run, and one for each whose worker was lost
    landed_late: int = 0  #: effects that a frozen worker had begun before, and made once it was thawed: the key's case
    late: int = 0  #: of the pure executions, those begun after the step had passed: a task that Redis remembered again
    wrong: list[str] = field(default_factory=list)

    @property
    def waste(self) -> float:
        """Executions beyond one per step, as a share of the steps."""
        return (self.begun - self.steps) / max(self.steps, 1)


@dataclass(frozen=True)
class Seen:
    """One line of the witness."""

    at_s: float
    word: str
    run: str
    step: str
    rest: tuple[str, ...]


def lines_of(witness: Path) -> list[Seen]:
    found = []
    for line in witness.read_text().splitlines():
        at, word, run, step, *rest = line.split(" ")
        found.append(Seen(float(at), word, run, step, tuple(rest)))
    return found


async def check(journal: Journal, acknowledged: Mapping[str, Sequence[int]], witness: Path) -> Findings:
    """Hold journal and witness against each other; `acknowledged` gives what each run was to square."""
    found = Findings(runs=len(acknowledged))
    passed: dict[tuple[str, str], float] = {}
    for run_id, numbers in acknowledged.items():
        branches = len(numbers)
        rows = await journal.runs(RunQuery(run_id=run_id, limit=1))  # type: ignore[arg-type]  # ids as text
        if not rows:
            found.wrong.append(f"{run_id}: acknowledged, and not in the journal")
            continue
        records = await read_all(journal, run_id)  # type: ignore[arg-type]  # ids as text
        found.steps += branches + STEPS_BESIDE
        try:
            if (proved := await journal.verify_run(run_id)) != len(records):  # type: ignore[attr-defined] # PostgreSQL's
                found.wrong.append(f"{run_id}: {len(records)} records, and hashes of {proved}")
        except JournalError as error:
            found.wrong.append(f"{run_id}: {error}")
        if any(later.epoch < earlier.epoch for earlier, later in pairwise(records)):
            found.wrong.append(f"{run_id}: a record of a lower epoch after one of a higher")
        _one_run(found, run_id, branches, records, passed)
    _witness(found, lines_of(witness), passed, acknowledged)
    return found


def _one_run(
    found: Findings, run_id: str, branches: int, records: Sequence[Recorded], passed: dict[tuple[str, str], float]
) -> None:
    facts = [record.fact for record in records]
    ends = [fact for fact in facts if isinstance(fact, f.RunEnded)]
    if [end.status for end in ends] != ["succeeded"]:
        found.wrong.append(f"{run_id}: ended {[(end.status, end.reason) for end in ends]}, not succeeded once")
    found.wrong += [f"{run_id}: {violation}" for violation in check_history(records)]
    accepted: Counter[str] = Counter()
    for fact in facts:
        if isinstance(fact, f.LeaseLost) or (isinstance(fact, f.AttemptFailed) and fact.error == "lost"):
            found.lost += 1
        elif isinstance(fact, f.RunAdopted):
            found.adoptions += 1
        elif isinstance(fact, f.StepPassed):
            name = f"{fact.step}[{fact.branch}]" if fact.branch >= 0 else str(fact.step)
            accepted[name] += 1
            passed.setdefault((run_id, name), fact.at_s)
    twice = [name for name, count in accepted.items() if count > 1]
    if twice:
        found.wrong.append(f"{run_id}: accepted more than once: {twice}")
    wanted = {*(f"squares[{n}]" for n in range(branches)), "squares", EFFECT}
    if set(accepted) - {"squares"} != wanted - {"squares"}:
        found.wrong.append(f"{run_id}: passed {len(accepted)} of {len(wanted)} steps")


def _witness(
    found: Findings,
    seen: Sequence[Seen],
    passed: Mapping[tuple[str, str], float],
    acknowledged: Mapping[str, Sequence[int]],
) -> None:
    effects: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    begun: defaultdict[str, list[str]] = defaultdict(list)  #: attempts of each run's effect, as they began
    for line in seen:
        if line.run not in acknowledged:
            continue  # a run whose acknowledgement was lost with the connection; it is judged by nobody
        done_s = passed.get((line.run, line.step))
        late = done_s is not None and line.at_s > done_s
        if line.word == "effect":
            _attempt, _beginning, key, total, _pid = line.rest
            effects[line.run].add((key, total))
            found.landed_late += late
            continue
        found.begun += 1
        if done_s is None:
            found.wrong.append(f"{line.run}: the witness saw {line.step}, which never passed")
        elif line.step == EFFECT:
            begun[line.run].append(line.rest[0])
            if late:
                found.wrong.append(f"{line.run}: its effect began again {line.at_s - done_s:.3f} s after it had passed")
        else:
            found.late += late
    for run_id, attempts in begun.items():
        if len(set(attempts)) != len(attempts):
            found.wrong.append(f"{run_id}: an attempt of its effect began more than once: {attempts}")
        found.effects_begun += len(attempts)
    for run_id, kinds in effects.items():
        if len(kinds) != 1:
            found.wrong.append(f"{run_id}: different effects under way: {sorted(kinds)}")
        wanted = str(sum(number * number for number in acknowledged[run_id]))
        if any(total != wanted for _, total in kinds):
            found.wrong.append(f"{run_id}: its effect said {sorted(kinds)}, and {wanted} is right")
    found.effects = len(effects)
    without = set(acknowledged) - set(effects)
    if without:
        found.wrong.append(f"no effect at the witness for {sorted(without)[:5]}")
