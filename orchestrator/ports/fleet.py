"""The fleet port: what the processes of a fleet tell each other beside tasks, and what people may see of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.ids import JsonValue
from orchestrator.ports.tasks import Backlog

#: Contracts by pool and function: {"digest", "input", "output"}, the latter two JSON Schemas.
Contracts = dict[str, dict[str, dict[str, JsonValue]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a worker says of itself when it comes, and whenever that changes."""

    concurrency: dict[str, int] = field(default_factory=dict)  #: tasks at the same time, by pool
    digests: dict[str, dict[str, str]] = field(default_factory=dict)  #: of its contracts, by pool and function
    refused: dict[str, list[str]] = field(default_factory=dict)  #: pools it takes nothing of, and why
    #: functions that cannot work there, and why, by pool; "" is what does the pool's `task` steps
    unready: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)  #: owners whose needs it has compared with its contracts
    leaving: bool = False  #: it finishes what it has and takes nothing more


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    """A worker that was heard of."""

    name: str
    beat_age_s: float  #: since it was last heard of
    running: int  #: tasks under way
    offer: Offer


class Fleet(Protocol):
    """The board that all processes of a fleet write on. It may lose everything; each writes its part again."""

    async def need(self, owner: str, contracts: Contracts) -> None:
        """Say which contracts the tasks of this owner are written against."""
        ...

    async def needed(self) -> dict[str, Contracts]:
        """What the owners need that were heard of lately, by owner."""
        ...

    async def offer(self, worker: str, offer: Offer) -> None:
        """Say what this worker is."""
        ...

    async def workers(self) -> Sequence[WorkerSeen]:
        """Workers that were heard of lately."""
        ...

    async def backlog(self) -> Sequence[Backlog]:
        """Work per pool, of all owners."""
        ...

    async def dead(self) -> dict[str, int]:
        """Dead letters per pool."""
        ...

    async def leave(self, name: str) -> None:
        """This owner or worker is no more."""
        ...
