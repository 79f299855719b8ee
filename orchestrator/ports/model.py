"""The model port: asking a language model by role, with every attempt accounted for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from orchestrator.ids import JsonValue

Tier = Literal["cheap", "standard", "strong"]
Role = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "tool_calls"]  #: every other end is an error: a cut or refused answer never looks whole


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model asks for a tool. `arguments` is text the model wrote: it may be no JSON at all."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()  #: of an assistant
    tool_call_id: str = ""  #: of a tool: the call it answers


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as a model sees it."""

    name: str
    description: str
    parameters: dict[str, JsonValue]  #: JSON Schema of an object


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """Who asks, and whether an earlier answer will do."""

    tenant: str
    mode: Literal["none", "exact", "semantic"] | None = None  #: None: what the host says of the tier
    tags: tuple[str, ...] = ()  #: kept with the answer, so that it can be dropped by them
    instruction: str = ""  #: what is asked, without long data; empty: the last message
    question: str = ""  #: what is asked, with its data and nothing else; empty: the last message


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchUse:
    """The prompt may wait for a cheaper service."""

    key: str  #: who asks: equal over attempts, so that no one is asked twice for one answer
    deadline_s: float  #: longest wait, from now; then a model is asked at once, within the prompt's own deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortened:
    """What shortening has done to a conversation, in tokens as the agent estimates them."""

    size: int  #: of messages and tools as they are
    spared: int  #: that were taken out of them, less what was added for it
    repeated: (
        int  #: of the conversation as it would be: what stood in the question before, and so in caches of providers
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a model is asked."""

    tier: Tier
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    output_schema: dict[str, JsonValue] | None = None  #: the answer must be JSON that fits it
    tokens_max: int = 4_096  #: of the answer
    deadline_s: float = 120.0  #: for everything: waiting, tries, the whole stream
    temperature: float | None = None  #: None: what the tier's settings say
    seed: int | None = None
    cache: CacheUse | None = None  #: None: a model is asked, whatever is kept
    routed: bool = False  #: routing has chosen the tier, so what it spared is told
    shortened: Shortened | None = None  #: what was taken out of the messages, so that what it spared is told
    batch: BatchUse | None = None  #: None: a model is asked at once


Served = Literal["", "exact", "semantic", "shared"]  #: who answered instead of a model: a kept answer, a call under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a call did not cost, in USD, by what spared it: each against the call without that part."""

    cache: float = 0.0
    routing: float = 0.0
    compression: float = 0.0
    batch: float = 0.0


NOTHING_SAVED: Final = Saved()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One attempt at one endpoint, for the journal."""

    charge: str  #: a duplicate counts once; equal to the reservation it settles
    model: str
    endpoint: str  #: its name in the settings, never an address
    outcome: str  #: ok, or the kind of the error
    usd: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0  #: of `tokens_in`: read from the provider's prompt cache
    estimated: bool = False  #: the server said nothing of usage, so the tokens were counted here
    unknown: bool = False  #: the call may have been billed and nobody can say: its reservation stays charged in full
    prices: str = ""  #: version of the price table; empty for a model that is free by settings
    seconds: float = 0.0
    first_s: float = 0.0  #: until the first piece of the answer; 0 where it did not stream, or none came
    served: Served = ""
    entry: str = ""  #: the kept answer that was served, by its key
    why: str = ""  #: the router's or the cache's reason; never a text of a model
    saved: Saved = NOTHING_SAVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a model answered, whole: cut, refused and withheld answers are `ModelError`s."""

    text: str
    finish: Finish
    data: JsonValue = None  #: the parsed answer, where a schema was asked for and met
    tool_calls: tuple[ToolCall, ...] = ()
    calls: tuple[ModelCall, ...] = ()  #: every attempt that led here, the last one last


class Meter(Protocol):
    """Who pays: a step's budget, through the owner of its run."""

    async def reserve(self, usd: float, tokens: int) -> str:
        """Set an amount aside; return the charge it is held under, once that is journaled.

        Raises:
            BudgetExceeded: the run has not this much left.
        """
        ...

    def called(self, call: ModelCall) -> None:
        """Record an attempt: settles the reservation of its charge. Never blocks."""
        ...

    def delta(self, text: str) -> None:
        """A piece of the answer, for whoever watches."""
        ...


class Models(Protocol):
    """The gateway: tiers, endpoints, limits, prices and retries lie behind it."""

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None = None) -> Completion:
        """Ask the model of a tier.

        Each attempt at an endpoint is reserved with `meter` before and recorded after. The answer's text goes to
        `meter.delta` as it streams, and to `on_delta` where one is given; a try that failed half-way may have told
        pieces that the next try tells again.

        Raises:
            ModelError: no usable answer; its class says why (`orchestrator.ports.model_errors`). What was spent is
                recorded.
            BudgetExceeded: the run has not enough left for the call; nothing was sent.
        """
        ...
