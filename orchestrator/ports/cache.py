"""The cache port: answers of models that passed their checks, kept to be served again."""

from dataclasses import dataclass
from typing import Final, Literal, Protocol, runtime_checkable

from orchestrator.ids import JsonValue
from orchestrator.ports.embeddings import Vector
from orchestrator.ports.model import Finish, ToolCall

CacheMode = Literal["none", "exact", "semantic"]
SEEN_MAX: Final = 512  #: observations kept with an entry; the newest count
NEAR_MAX: Final = 16  #: neighbours that are looked at for one question


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A model was asked although the entry was near: how near, and whether it answered the same."""

    similarity: float  #: cosine, -1 to 1
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model said."""

    text: str
    finish: Finish
    data: JsonValue = None
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One answer that passed, and the question that it answers."""

    tenant: str
    key: str  #: digest of everything that the answer depends on
    answer: Answer
    model: str
    endpoint: str = ""
    usd: float = 0.0  #: what it cost: what serving it saves
    tokens: int = 0
    stored_at_s: float
    expires_at_s: float
    tags: tuple[str, ...] = ()  #: `drop` takes all entries of one
    scope: str = ""  #: digest of what must be equal where the question is only alike; empty: served exactly only
    question: str = ""
    vector: Vector = ()
    seen: tuple[Observation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """An entry, and how like its question is."""

    entry: CacheEntry
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An answer that may be kept once the step has passed, or what was learnt about an entry meanwhile."""

    entry: CacheEntry
    neighbour: str = ""  #: key of the entry that was near and not served
    observed: Observation | None = None


@runtime_checkable
class Offering(Protocol):
    """A meter whose owner keeps answers once they have passed; judges and planners have none."""

    def offer(self, offer: Offer) -> None:
        """Hand an answer to the owner of the run. Never blocks."""
        ...


class Cache(Protocol):
    """Keeps entries, each tenant's apart, within a number and a size; the one used longest ago goes first."""

    async def get(self, tenant: str, key: str) -> CacheEntry | None:
        """The entry under a key; None where there is none, or its time is over.

        Raises:
            CacheError: the cache cannot be asked.
        """
        ...

    async def put(self, entry: CacheEntry) -> None:
        """Keep an entry in place of the one under its key, with what was observed about that one."""
        ...

    async def near(self, tenant: str, scope: str, vector: Vector, most: int = NEAR_MAX) -> tuple[Near, ...]:
        """Entries of a scope whose questions are most alike, the nearest first."""
        ...

    async def observe(self, tenant: str, key: str, seen: Observation) -> None:
        """Add an observation to an entry; nothing where it is gone."""
        ...

    async def drop(self, tenant: str, *, key: str | None = None, tag: str | None = None) -> int:
        """Forget one entry, or all with a tag; how many there were."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and files."""
        ...
