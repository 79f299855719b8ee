"""The ownership port: which process drives which run, in a store that several processes share.

An owner keeps a lease of its own, by the clock of the store; a run belongs to the owner that claimed it last, at an
epoch that only rises. What fences an owner is the epoch, in every append; the lease only says when others may claim.
Runs are owned as a whole: a run together with its sub-plans.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from orchestrator.ids import RunId
from orchestrator.ports.journal import RunRow

LEASE_S: Final = 10.0  #: seconds an owner may be silent before others take its runs
LOADS_MAX: Final = 3  #: owners that may end while they load a run, before it is parked


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A run that was claimed, with its new epoch in the row."""

    row: RunRow
    loads: int  #: times it was claimed since an owner last held it for a while, this time included


class Ownership(Protocol):
    """Leases of owners, and claims on runs."""

    async def renew(self, owner: str, lease_s: float) -> bool:
        """Hold the lease of `owner` for `lease_s` seconds from now. False: it had ended, and runs may be lost."""
        ...

    async def adopt(self, owner: str, limit: int, but_not: Collection[RunId] = ()) -> list[Adopted]:
        """Claim open runs that nobody owns or whose owner's lease has ended, oldest first, at most `limit` with all
        their sub-plans; `but_not` names runs without parents that are left alone.

        Runs whose owners ended while they loaded them come last and a few at a time; after `LOADS_MAX` such ends a run
        is parked instead of claimed.
        """
        ...

    async def held(self, owner: str) -> dict[RunId, int]:
        """The open runs of `owner`, with their epochs."""
        ...

    async def steady(self, owner: str, run_ids: Sequence[RunId]) -> None:
        """These runs were loaded without harm: their loads are counted from 0 again."""
        ...

    async def release(self, owner: str, run_ids: Sequence[RunId] | None, *, parked: str = "") -> None:
        """Give runs up, with their sub-plans, so that others may claim them at once; None: all of them, and the lease.

        With `parked`, the reason why nobody can drive them, they are left alone until somebody claims them by name.
        """
        ...

    async def owner_of(self, run_id: RunId) -> str | None:
        """Who owns a run, with a lease that has not ended; None: nobody."""
        ...


Verb = Literal["approve", "cancel", "quarantine", "patch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Petition:
    """What somebody asks of the owner of a run. Its id makes it one, however often it is handed in."""

    id: str
    run_id: RunId
    verb: Verb
    args: str  #: JSON object
    as_of_seq: int = 0  #: of the run's last record when it was asked; set by the store
    retaken: bool = False  #: an owner that has ended had it before, and may have done it


class Petitions(Protocol):
    """Where people leave what only the owner of a run can do, and find the answer."""

    async def ask(self, petition: Petition) -> None:
        """Leave a petition; the same id again changes nothing."""
        ...

    async def take(self, owner: str, limit: int) -> list[Petition]:
        """Petitions about runs of `owner` that it has not taken yet, oldest first."""
        ...

    async def answer(self, petition_id: str, owner: str, text: str) -> None:
        """Answer a petition that `owner` has taken; one that was answered or taken by another keeps what it has."""
        ...

    async def answered(self, petition_id: str) -> str | None:
        """The answer; None while there is none."""
        ...

    async def withdraw(self, petition_id: str) -> bool:
        """Take a petition back that no owner has taken; False: too late."""
        ...


class Notices(Protocol):
    """Hints between processes that something has changed. One may be lost: whoever waits looks again after a while."""

    def listen(self, heard: Callable[[str, str], None]) -> Callable[[], None]:
        """Call `heard(topic, run or petition)` in the event loop until the returned function is called.

        Topics: `new` run nobody drives, `end` of a run, `ask` of a petition about a run, `answer` to a petition, and
        `gap`: some may have been missed.
        """
        ...
