"""What must hold after a storm, from sources that know nothing of each other: journal, witness, clients and Redis."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history, check_state
from orchestrator.engine.recovery import machine_of, read_all
from orchestrator.errors import JournalError, OrchestratorError
from orchestrator.ports.journal import Journal, Recorded, RunQuery
from tests.fleet.storm.witness import Seen

EFFECT = "published"
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


async def proven(journal: Journal, run_id: str, wrong: list[str]) -> list[Recorded]:
    """The records of one run, once the rules that hold for every run were looked at; none where there is no run."""
    if not await journal.runs(RunQuery(run_id=run_id, limit=1)):  # type: ignore[arg-type]  # ids as text
        wrong.append(f"{run_id}: acknowledged, and not in the journal")
        return []
    records = await read_all(journal, run_id)  # type: ignore[arg-type]  # ids as text
    try:
        if (proved := await journal.verify_run(run_id)) != len(records):  # type: ignore[attr-defined] # PostgreSQL's
            wrong.append(f"{run_id}: {len(records)} records, and hashes of {proved}")
    except JournalError as error:
        wrong.append(f"{run_id}: {error}")
    if any(later.epoch < earlier.epoch for earlier, later in pairwise(records)):
        wrong.append(f"{run_id}: a record of a lower epoch after one of a higher")
    wrong += [f"{run_id}: {violation}" for violation in check_history(records)]
    try:
        wrong += [f"{run_id}: played again: {violation}" for violation in check_state(machine_of(records).state)]
    except OrchestratorError as error:
        wrong.append(f"{run_id}: its journal cannot be played: {error}")
    return records


async def check(
    journal: Journal, acknowledged: Mapping[str, Sequence[int]], seen: Sequence[Seen]
) -> tuple[Findings, dict[str, list[Recorded]]]:
    """Hold journal and witness against each other; `acknowledged` gives what each run was to square."""
    found, records_of = Findings(runs=len(acknowledged)), dict[str, list[Recorded]]()
    passed: dict[tuple[str, str], float] = {}
    for run_id, numbers in acknowledged.items():
        records_of[run_id] = records = await proven(journal, run_id, found.wrong)
        found.steps += len(numbers) + STEPS_BESIDE
        _one_run(found, run_id, len(numbers), records, passed)
    _witness(found, seen, passed, acknowledged)
    return found, records_of


def _one_run(
    found: Findings, run_id: str, branches: int, records: Sequence[Recorded], passed: dict[tuple[str, str], float]
) -> None:
    facts = [record.fact for record in records]
    ends = [fact for fact in facts if isinstance(fact, f.RunEnded)]
    if [end.status for end in ends] != ["succeeded"]:
        found.wrong.append(f"{run_id}: ended {[(end.status, end.reason) for end in ends]}, not succeeded once")
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
        if line.run not in acknowledged or line.word == "did":
            continue  # a run whose acknowledgement was lost with the connection is judged by nobody
        done_s = passed.get((line.run, line.step))
        late = done_s is not None and line.at_s > done_s
        if line.word == "effect":
            _beginning, key, total = line.rest
            effects[line.run].add((key, total))
            found.landed_late += late
            continue
        found.begun += 1
        if done_s is None:
            found.wrong.append(f"{line.run}: the witness saw {line.step}, which never passed")
        elif line.step == EFFECT:
            begun[line.run].append(str(line.attempt))
            if late:
                found.wrong.append(f"{line.run}: its effect began again {line.at_s - done_s:.3f} s after it had passed")
        else:
            found.late += late
            if line.rest[0] != str(acknowledged[line.run][line.branch]):  # I10
                found.wrong.append(f"{line.run}: {line.step} was given {line.rest[0]}")
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
