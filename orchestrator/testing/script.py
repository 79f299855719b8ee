"""What a scenario has been told to answer, call by call, and what was asked of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from orchestrator.ids import JsonValue
from orchestrator.ports.tasks import StepTask, TaskKey


class ScenarioFailed(AssertionError):
    """The run asked for what the scenario does not say, or left out what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A task as the worker of its pool would see it."""

    step: str
    branch: int | None  #: from 0; None for a step that is not mapped
    attempt: int  #: from 1
    sample: int  #: from 0; above 0 under `agree` only
    check: int  #: position of the check that asks, from 1; 0 for the step's own work
    pool: str
    function: str | None  #: None for a task of the pool's agent
    instruction: str | None
    args: dict[str, JsonValue]
    tier: str | None
    reasons: tuple[str, ...]  #: why the attempt before was refused
    constraints: tuple[str, ...]
    effect_key: str | None
    at_s: float  #: seconds since the scenario began

    def __str__(self) -> str:
        at = f"[{self.branch}]" if self.branch is not None else ""
        what = f"check {self.check} of {self.step}{at}" if self.check else f"{self.step}{at}"
        return f"{what}, attempt {self.attempt}"


def call_of(task: StepTask, at_s: float) -> Call:
    """The call that a task is."""
    key = task.key
    return Call(
        step=str(key.step_id),
        branch=key.branch if key.branch >= 0 else None,
        attempt=key.attempt,
        sample=key.sample,
        check=key.check if key.purpose == "check" else 0,
        pool=task.pool,
        function=task.function,
        instruction=task.instruction,
        args=task.args,
        tier=task.tier,
        reasons=task.reasons,
        constraints=task.constraints,
        effect_key=task.idempotency_key,
        at_s=at_s,
    )


Returns = JsonValue | Callable[[Call], JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A worker's error, in the words of `TaskFailed`."""

    kind: str
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one line of a scenario says."""

    what: str  #: the line, as the user wrote it, for messages
    returns: Returns = None
    failure: Failure | None = None
    kill: bool = False  #: the process dies while it holds the call
    wrong: bool = False  #: a check must refuse it
    after_s: float = 0.0
    usd: float = 0.0
    tokens: int = 0
    tools: Mapping[str, JsonValue] = field(default_factory=dict)  #: what tools gave on the way, by name
    branch: int | None = None  #: for this branch only
    times: int | None = 1  #: None: any number of calls, none included


@dataclass(slots=True)
class Line:
    """An answer and how many calls are left for it."""

    answer: Answer
    left: int | None

    def give_back(self) -> None:
        """The call it was taken for never got its answer."""
        if self.left is not None:
            self.left += 1


@dataclass(slots=True, kw_only=True)
class Account:
    """What was asked and answered in one performance, over all lives of the process."""

    began_s: float
    calls: list[Call] = field(default_factory=list)
    given: list[tuple[TaskKey, Answer]] = field(default_factory=list)


#: Name of a plan, or empty for any; step, or `budget`; what is asked: `work`, `check 2`, `judge` or `person`.
Place = tuple[str, str, str]


@dataclass(slots=True)
class Script:
    """All lines of a scenario, by the place they are for, in the order they were written."""

    lines: dict[Place, list[Line]] = field(default_factory=dict)

    def add(self, place: Place, answer: Answer) -> None:
        """Write a line.

        Raises:
            ValueError: it could never be reached, because one before it is for any number of calls.
        """
        lines = self.lines.setdefault(place, [])
        for line in lines:
            if line.left is None and line.answer.branch in {None, answer.branch}:
                raise ValueError(f"{answer.what} can never be reached: {line.answer.what} answers every call before it")
        lines.append(Line(answer, answer.times))

    def copy(self) -> "Script":
        """The same lines, nothing used up."""
        return Script(
            {place: [Line(line.answer, line.answer.times) for line in lines] for place, lines in self.lines.items()}
        )

    def speaks_of(self, places: Iterable[Place]) -> bool:
        """Whether there are lines for one of the places, used up or not."""
        return any(place in self.lines for place in places)

    def next(self, places: Iterable[Place], branch: int | None) -> Line | None:
        """The first line that is left for one of the places, now used up by one call; None when there is none."""
        for place in places:
            for line in self.lines.get(place, ()):
                if line.left != 0 and line.answer.branch in {None, branch}:
                    if line.left is not None:
                        line.left -= 1
                    return line
        return None

    def unused(self) -> Iterator[str]:
        """The lines that calls are left for."""
        for lines in self.lines.values():
            for line in lines:
                if line.left:
                    more = f" ({line.left} of {line.answer.times} left)" if (line.answer.times or 0) > 1 else ""
                    yield f"{line.answer.what}{more}"


def places_of(task: StepTask) -> tuple[Place, Place]:
    """Where lines for a task may stand: those for its own plan, then those for a step of any plan."""
    key = task.key
    what = f"check {key.check}" if key.purpose == "check" else "work"
    return (task.plan, str(key.step_id), what), ("", str(key.step_id), what)


Trouble = Literal["slow", "lose task", "lose answer", "twice"]
STORE: Final[Place] = ("", "", "store")  #: where lines stand that say how slow the store is


def troubled(place: Place, by: Trouble) -> Place:
    """Where lines stand that say what happens to a call on its way, beside those that answer it."""
    return place[0], place[1], f"{by} {place[2]}"
