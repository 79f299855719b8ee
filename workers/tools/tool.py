"""What a tool is to an agent, and what comes of one call of it."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from orchestrator.ids import JsonValue
from orchestrator.ports.model import ToolSpec
from workers.tools.context import ToolContext


class ToolFailed(Exception):
    """A tool could not do what was asked: the model is told the message and may try something else.

    Worker errors mean more: `RetryableError` and `TerminalError` end the attempt.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class BadCall(Exception):
    """The model called a tool wrongly.

    `kind`: `unknown` (there is no such tool), `input` (arguments that do not fit), `refused` (a place not allowed).
    """

    def __init__(self, message: str, kind: str = "input") -> None:
        super().__init__(message, kind)
        self.message, self.kind = message, kind

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolTraits:
    """What an agent needs to know of a tool beyond how a model sees it."""

    spec: ToolSpec
    effect: bool  #: changes the world outside: announced first, never at the same time as others, with a key
    timeout_s: float


@runtime_checkable
class Tool(Protocol):
    """Something a model may call."""

    @property
    def traits(self) -> ToolTraits:
        """Fixed for the life of the tool."""
        ...

    def check(self, ctx: ToolContext, arguments: dict[str, JsonValue]) -> None:
        """Look at the arguments and change nothing.

        Raises:
            BadCall: they do not fit, or name what is not allowed.
        """
        ...

    async def call(self, ctx: ToolContext, arguments: dict[str, JsonValue]) -> JsonValue:
        """Do it, and give back plain JSON.

        Raises:
            BadCall: the arguments do not fit, or name what is not allowed.
            ToolFailed: it could not be done; the model is told.
            StepError: the attempt ends.
        """
        ...


@runtime_checkable
class ToolSource(Protocol):
    """Several tools behind one connection, open while an attempt runs."""

    def names(self) -> tuple[str, ...]:
        """The tools that are allowed, known before anything is opened."""
        ...

    def open(self) -> AbstractAsyncContextManager[tuple[Tool, ...]]:
        """Connect; the tools may be called inside.

        Raises:
            RetryableError: it is not there at the moment.
            TerminalError: an allowed tool does not exist there.
        """
        ...
