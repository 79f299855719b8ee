"""The endpoint port: one try at one model behind one address. No retries, limits, money or deadline of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from orchestrator.ids import JsonValue
from orchestrator.ports.model import Message, ToolCall, ToolSpec

ReplyFinish = Literal["stop", "tool_calls", "length", "refusal", "content_filter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What one try sends."""

    model: str
    messages: tuple[Message, ...]
    tokens_max: int
    tools: tuple[ToolSpec, ...] = ()
    output_schema: dict[str, JsonValue] | None = None
    temperature: float | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the server says it counted. Not believed yet: numbers may be negative or absurd."""

    tokens_in: int
    tokens_out: int
    tokens_cached: int = 0  #: of `tokens_in`


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply:
    """What one try brought, to its proper end."""

    text: str
    finish: ReplyFinish
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None  #: None: the server did not say


class ModelEndpoint(Protocol):
    """One address that serves models."""

    async def ask(self, request: ChatRequest, on_text: Callable[[str], None]) -> ChatReply:
        """Send the request once and read the answer to its end; hand pieces of its text to `on_text` as they come.

        Raises:
            ModelError: no whole reply; `may_be_billed` says whether it may cost something all the same.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
