"""What the witness saw, held against the attempts that the journal knows."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from orchestrator.core import facts as f
from orchestrator.ports.journal import Recorded

#: Faults after which two workers may be at one attempt before a lease has ended: Redis forgot that one of them has it.
FREE = frozenset({"empty Redis", "cut the tail of Redis", "restart Redis", "delete a stream"})
CLOCKS_S = 0.5  #: a lease is counted from its last renewal, a beginning from when it was written down


@dataclass(frozen=True)
class Seen:
    """One line of the witness."""

    at_s: float
    word: str  #: began, did, effect
    run: str
    step: str
    attempt: int
    pid: int
    rest: tuple[str, ...]

    @property
    def branch(self) -> int:
        """The branch of a mapped step."""
        return int(self.step.partition("[")[2].rstrip("]"))

    @property
    def plain(self) -> tuple[str, str, int]:
        """Which attempt of which step of which run."""
        return self.run, self.step, self.attempt


def lines_of(witness: Path) -> list[Seen]:
    """Everything it saw, in the order of time."""
    found = []
    for line in witness.read_text().splitlines():
        at, word, run, step, attempt, pid, *rest = line.split(" ")
        found.append(Seen(float(at), word, run, step, int(attempt), int(pid), tuple(rest)))
    return sorted(found, key=lambda one: one.at_s)


Attempt = tuple[str, str, int]


def attempts_of(records_of: Mapping[str, Sequence[Recorded]], wrong: list[str]) -> dict[Attempt, str]:
    """What became of every attempt that was sent to a worker: accepted, rejected, failed, lost, cancelled or open.

    An attempt number is given once and never a lower one after it (I16); an attempt that was followed by another has
    an end in the journal, and one of a run that succeeded has too: nobody acknowledged it without a record (I15).
    """
    found: dict[Attempt, str] = {}
    for run, records in records_of.items():
        ended = ""
        last: dict[str, int] = {}
        for record in records:
            fact = record.fact
            if isinstance(fact, f.RunEnded):
                ended = fact.status
            if not isinstance(fact, f.StepFact):
                continue
            step = f"{fact.step}[{fact.branch}]" if fact.branch >= 0 else str(fact.step)
            key = (run, step, fact.attempt)
            if isinstance(fact, f.StepDispatched) and fact.purpose == "work" and fact.pool:
                before = last.get(step, 0)
                if fact.attempt <= before:
                    wrong.append(f"{run}: {step} was sent as attempt {fact.attempt} after {before}")
                elif before and found[run, step, before] == "open":
                    wrong.append(f"{run}: {step} was sent again, and nothing says what became of attempt {before}")
                last[step], found[key] = fact.attempt, "open"
            elif key in found:
                found[key] = _end(fact) or found[key]
        for step, attempt in last.items():
            if ended == "succeeded" and found[run, step, attempt] == "open":
                wrong.append(f"{run}: it succeeded, and nothing says what became of {step}, attempt {attempt}")
    return found


def _end(fact: f.StepFact) -> str:
    if isinstance(fact, f.StepPassed):
        return "accepted"
    if isinstance(fact, f.StepProduced):
        return "produced"
    if isinstance(fact, f.StepRejected):
        return "rejected"
    if isinstance(fact, f.LeaseLost) or (isinstance(fact, f.AttemptFailed) and fact.error == "lost"):
        return "lost"
    if isinstance(fact, f.AttemptFailed):
        return "failed"
    return "cancelled" if isinstance(fact, f.StepCancelled) else ""


def results_of(seen: Sequence[Seen], attempts: Mapping[Attempt, str], wrong: list[str]) -> dict[str, int]:
    """What became of every result that a worker came to: accepted, rejected, stale or unknown, one of them (I14).

    A result is accepted once; the same result, brought again by another who had the same attempt, is stale.
    """
    said: Counter[str] = Counter()
    taken: set[Attempt] = set()
    runs = {run for run, _, _ in attempts}
    for line in seen:
        if line.word != "did" or line.run not in runs:
            continue
        became = attempts.get(line.plain)
        if became is None:
            wrong.append(f"{line.run}: {line.step} has a result of attempt {line.attempt}, which nobody sent")
        elif became in {"accepted", "produced", "rejected"} and line.plain not in taken:
            taken.add(line.plain)
            said["rejected" if became == "rejected" else "accepted"] += 1
        else:
            said["unknown" if became == "open" else "stale"] += 1
    return dict(said)


def both_at_once(seen: Sequence[Seen], struck: Sequence[tuple[float, str]], lease_s: float, wrong: list[str]) -> int:
    """How often two were at one attempt together: only once a lease had time to end, or Redis had forgotten (I16)."""
    lives: defaultdict[Attempt, list[tuple[float, float]]] = defaultdict(list)
    began: dict[tuple[Attempt, int], float] = {}
    for line in seen:
        if line.word == "began":
            began[line.plain, line.pid] = line.at_s
        elif (line.plain, line.pid) in began:
            lives[line.plain].append((began.pop((line.plain, line.pid)), line.at_s))
    free = [at_s for at_s, name in struck if name in FREE]
    together = 0
    for attempt, spans in lives.items():
        spans.sort()
        for (first_s, until_s), (second_s, _) in pairwise(spans):
            if second_s >= until_s:
                continue
            together += 1
            if second_s - first_s < lease_s - CLOCKS_S and not any(first_s - 1.0 < at_s <= second_s for at_s in free):
                wrong.append(f"{attempt}: begun again after {second_s - first_s:.1f} s, and nothing had been lost")
    return together
