"""The guard port: who looks at what goes into a worker and comes out of it, and may stop it.

Guards stand in the worker, one after another, at four places: what a task is given, what an agent asks of a tool, what
a tool gives back, and the output. They are asked before anything goes on, never beside it. A guard that breaks, or
takes too long, stops what it was asked about. What a guard found is a fact of the run (`guard.tripped`).
"""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from orchestrator.ids import JsonValue
from orchestrator.ports.tasks import TaskKey

Stage = Literal["input", "tool_call", "tool_result", "output"]
Verdict = Literal["pass", "signal", "change", "block"]
Label = Literal["trusted", "user", "document", "tool", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """What passes a guard. Nothing of it may be changed; a guard that wants a change returns another value."""

    stage: Stage
    pool: str
    key: TaskKey
    value: JsonValue  #: at `input` {instruction, args, reasons}; at `tool_call` the arguments; else what was given back
    function: str | None = None  #: None for a task of the pool's agent
    tool: str = ""
    effect: bool = False  #: the step, or the tool, changes the world outside
    labels: Mapping[str, frozenset[Label]] = field(default_factory=dict)  #: whence each value of the step comes
    memory: dict[str, object] = field(default_factory=dict)  #: what this guard keeps for the length of the attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a guard says. `signal`: it was noticed and goes on as it is; a signal is never a wall."""

    verdict: Verdict = "pass"
    value: JsonValue = None  #: of a change: what goes on instead
    reasons: tuple[str, ...] = ()  #: name what was found, never repeat it: they are journaled
    score: float | None = None  #: 0 to 1


PASS = Ruling()


class Guard(Protocol):
    """Looks at what passes."""

    @property
    def name(self) -> str:
        """A short word, by which `why` and metrics tell it."""
        ...

    @property
    def stages(self) -> frozenset[Stage]:
        """Where it is asked."""
        ...

    def look(self, passing: Passing) -> Ruling | Awaitable[Ruling]:
        """Say what is to happen. Whatever it raises stops what passes, and so does saying nothing in time.

        Written with `async def` it runs in the event loop and must await whatever takes long. Written with plain `def`
        it runs in a thread and may block, so it may be asked about several values at the same time. Time in which the
        whole process stood still is not counted; time limits of a guard's own must see to that themselves.
        """
        ...


class StreamGuard(Protocol):
    """A guard that also sees what a worker says on its way: a model's words as they stream, which only watchers are
    shown, and its progress, evidence and failures, which are journaled.

    These three are asked in the event loop, between two pieces: they compute, and never wait.
    """

    def said(self, value: JsonValue) -> JsonValue:
        """What of it may be journaled."""
        ...

    def piece(self, memory: dict[str, object], text: str) -> str:
        """What may be shown after this piece; the rest is held back. `memory` lasts for one answer of a model."""
        ...

    def rest(self, memory: dict[str, object]) -> str:
        """What was held back, when the answer has ended."""
        ...
