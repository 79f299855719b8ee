"""The batch ports: a provider's cheaper service for requests that may wait, and the store of what was handed to it.

A request is an item with an id that stays the same over attempts and processes. Items are gathered into groups; a
group's key is stored before anything is sent and goes along as metadata, so that whoever comes after a crash can ask
the service whether it has the group already.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from orchestrator.ports.endpoint import ChatReply, ChatRequest

#: waiting: not handed over yet; sent: belongs to a group; answered, failed: over; withdrawn: nobody wants it any more.
ItemState = Literal["waiting", "sent", "answered", "failed", "withdrawn"]
ServiceState = Literal["working", "ended", "refused"]  #: refused: the service took none of it, and bills nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem:
    """One request. Times are seconds since the epoch."""

    id: str
    line: str  #: name of the endpoint
    request: ChatRequest
    asked_at_s: float
    until_s: float  #: from then on a direct call is made instead


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEntry:
    """An item, and what became of it."""

    item: BatchItem
    state: ItemState = "waiting"
    group: str = ""
    sent: int = 0  #: how often it was handed over; a service may give items back untouched
    reply: ChatReply | None = None
    error: str = ""  #: of a failed item: a word for the kind

    def asked_again(self, item: BatchItem) -> "BatchEntry":
        """The entry once its item was asked again: one without an end is waited for until the later deadline."""
        if self.state not in ("waiting", "sent") or item.until_s <= self.item.until_s:
            return self
        return replace(self, item=replace(self.item, until_s=item.until_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchGroup:
    """Items that are handed over together."""

    key: str
    line: str
    owner: str  #: who hands it over
    at_s: float  #: since when that is its owner
    batch: str = ""  #: the service's id; empty: nobody knows yet whether it was handed over
    items: tuple[BatchItem, ...] = ()  #: those without an end


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutcome:
    """What the service says of one item."""

    id: str
    reply: ChatReply | None = None
    error: str = ""
    untouched: bool = False  #: it was given back without being worked on: it costs nothing and may be sent again


class BatchService(Protocol):
    """A provider's service for many requests at once, at one endpoint."""

    async def submit(self, key: str, items: Sequence[BatchItem]) -> str:
        """Hand over a group; return the service's id of it.

        Raises:
            ModelError: it was not taken, or nobody knows; ask `find` before it is handed over again.
        """
        ...

    async def find(self, key: str, since_s: float) -> str:
        """The service's id of a group that was handed over under this key; empty where there is none. It was not made
        before `since_s` (seconds since the epoch), so older ones need not be looked at.

        Raises:
            ModelError: the service cannot be asked.
        """
        ...

    async def state(self, batch: str) -> ServiceState:
        """How far a group is.

        Raises:
            ModelError: the service cannot be asked.
        """
        ...

    async def outcomes(self, batch: str) -> list[BatchOutcome]:
        """What became of the items of a group that has ended, in any order; those without a word are left out.

        Raises:
            ModelError: they cannot be read now.
        """
        ...

    async def cancel(self, batch: str) -> None:
        """Ask that a group be stopped; what was worked on by then is billed and can be read.

        Raises:
            ModelError: the service cannot be asked.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class BatchStore(Protocol):
    """Keeps items and groups. Every method takes effect whole or not at all, and is durable when it returns."""

    async def put(self, item: BatchItem) -> BatchEntry:
        """Keep an item, and return it as it stands: one with this id that is there already, or waits anew where it was
        withdrawn. One without an end takes the later of both deadlines: it is waited for until then."""
        ...

    async def look(self, ids: Sequence[str]) -> list[BatchEntry]:
        """Items by their ids; those that are not there are left out."""
        ...

    async def gather(self, line: str, *, owner: str, now_s: float, ripe_s: float, most: int) -> BatchGroup | None:
        """Put waiting items of one model at `line`, at most `most`, into a new group, where one of them was asked by
        `ripe_s` or there are `most`; None otherwise. Items whose time is over by `now_s` are left alone, and what has
        ended long ago may be forgotten."""
        ...

    async def groups(self, line: str) -> list[BatchGroup]:
        """Groups with items that have no end, oldest first."""
        ...

    async def claim(self, group: BatchGroup, *, owner: str, now_s: float, batch: str = "") -> bool:
        """Become the owner of a group, or note the service's id of it; False where `group` is out of date."""
        ...

    async def settle(self, entries: Sequence[BatchEntry], was: ItemState) -> list[str]:
        """Write what became of items, those alone that are still in the state `was`; return their ids."""
        ...
