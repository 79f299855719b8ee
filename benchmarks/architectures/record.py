"""What one episode leaves behind: turns, verdicts, answers and times, read back from the journal alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.architectures.metrics import longest_path
from benchmarks.architectures.model import Claims, Turn
from orchestrator.core import facts as f
from orchestrator.ids import JsonValue
from orchestrator.ports.journal import Recorded

Status = Literal["answered", "no answer", "budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One output that a verifier spoke about."""

    step: str
    claims: Claims
    refused: bool
    passed_in_the_end: bool = False  #: the step passed with a later output


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One run of an episode, as its journal tells it."""

    status: str
    output: JsonValue
    reason: str
    turns: tuple[Turn, ...]
    judged: tuple[Judged, ...]
    passed: Mapping[str, JsonValue]  #: outputs that passed, by step
    attempts: int  #: answers that were produced
    lost: int  #: attempts that died with their worker
    seconds: float  #: the critical path, by the agents' own times
    wall_s: float  #: by the clock of this machine
    usd: float  #: booked in the run's ledger, lost attempts included


def view_of(records: Sequence[Recorded], needs: Mapping[str, tuple[str, ...]]) -> RunView:
    """Read a run that has ended.

    An attempt that was lost with its worker left no output, so its turns are in no figure but `usd`.

    Raises:
        ValueError: the run has not ended.
    """
    turns: list[Turn] = []
    took: dict[str, float] = dict.fromkeys(needs, 0.0)
    current: dict[str, JsonValue] = {}
    passed: dict[str, JsonValue] = {}
    verdicts: dict[str, list[tuple[JsonValue, bool]]] = {}
    attempts = lost = 0
    ended: f.RunEnded | None = None
    for record in records:
        match record.fact:
            case f.StepProduced(step=step, output=output):
                attempts += 1
                current[step] = output
                _add(_turns(output), step, turns, took)
            case f.CheckVerdict(step=step, name="call", verdict=verdict, evidence=evidence):
                _add(_turns(evidence), step, turns, took)
                verdicts.setdefault(step, []).append((current[step], verdict != "pass"))
            case f.StepPassed(step=step):
                passed[step] = current.get(step)
            case f.LeaseLost():
                lost += 1
            case f.RunEnded() as ended:
                pass
            case _:
                pass
    if ended is None:
        raise ValueError("the run has not ended")
    return RunView(
        status=ended.status,
        output=ended.output,
        reason=ended.reason,
        turns=tuple(turns),
        judged=tuple(_judged(verdicts, passed)),
        passed=passed,
        attempts=attempts,
        lost=lost,
        seconds=longest_path(needs, took),
        wall_s=ended.at_s - records[0].fact.at_s,
        usd=ended.usd,
    )


def claims_of(output: JsonValue) -> Claims:
    """The claims of an agent's output."""
    claims = output.get("claims") if isinstance(output, dict) else None
    return dict(claims) if isinstance(claims, dict) else {}


def _turns(said: JsonValue) -> tuple[Turn, ...]:
    found = said.get("turns") if isinstance(said, dict) else None
    return tuple(Turn(**turn) for turn in found) if isinstance(found, list) else ()  # type: ignore[arg-type]  # by `act`


def _add(said: tuple[Turn, ...], step: str, turns: list[Turn], took: dict[str, float]) -> None:
    turns.extend(said)
    took[step] = took.get(step, 0.0) + sum(turn.seconds for turn in said)


def _judged(verdicts: Mapping[str, list[tuple[JsonValue, bool]]], passed: Mapping[str, JsonValue]) -> list[Judged]:
    return [
        Judged(step=step, claims=claims_of(output), refused=refused, passed_in_the_end=step in passed)
        for step, said in verdicts.items()
        for output, refused in said
    ]


@dataclass(slots=True, kw_only=True)
class Episode:
    """One architecture on one task instance, over all its runs."""

    case: str
    architecture: str
    trial: int
    status: Status = "no answer"
    final: JsonValue = None
    finals: tuple[JsonValue, ...] = ()  #: of a concatenation: every answer in it
    claims: Claims = field(default_factory=dict)  #: the step answers behind the final one
    agent_claims: tuple[tuple[str, Claims], ...] = ()  #: what each agent said last, for redundancy and overlap
    turns: list[Turn] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    exchanges: int = 0  #: messages between agents, counted as the paper counts them
    delivered: int = 0  #: messages that an agent really received
    seconds: float = 0.0  #: along the critical path
    wall_s: float = 0.0
    attempts: int = 0
    lost: int = 0
    usd_booked: float = 0.0
    runs: int = 0
    route: str = ""  #: which way an adaptive architecture took
    reason: str = ""  #: why there is no answer
    success: bool | None = None  #: the grader's word; None until graded
    right: dict[str, bool] = field(default_factory=dict)  #: by step, of `claims`
    judged_right: list[bool | None] = field(default_factory=list)  #: by entry of `judged`

    def add(self, view: RunView) -> None:
        """Take in one run; runs of an episode follow each other."""
        self.turns.extend(view.turns)
        self.judged.extend(view.judged)
        self.seconds += view.seconds
        self.wall_s += view.wall_s
        self.attempts += view.attempts
        self.lost += view.lost
        self.usd_booked += view.usd
        self.runs += 1

    @property
    def tokens(self) -> int:
        """In and out, over all turns."""
        return sum(turn.tokens_in + turn.tokens_out for turn in self.turns)

    @property
    def usd(self) -> float:
        """Over all turns."""
        return sum(turn.usd for turn in self.turns)

    @property
    def work_seconds(self) -> float:
        """The time of all turns, as if one followed the other."""
        return sum(turn.seconds for turn in self.turns)
