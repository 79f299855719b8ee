"""The journal port: where facts are kept. The truth about every run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from orchestrator.core.facts import Fact
from orchestrator.ids import RunId, TenantId

RunStatus = Literal["open", "succeeded", "degraded", "stopped", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Facts of one run, to be committed together or not at all."""

    run_id: RunId
    first_seq: int  #: sequence number of the first fact; 1 for a run's first, gap-free after
    epoch: int  #: of the owner; a lower one than the run's is refused
    facts: tuple[Fact, ...]
    sync: bool = False  #: survive a power cut too, not only the death of the process
    owner: str = ""  #: of a run that begins with this entry; empty: nobody yet. Journals of one process ignore it


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A fact as the journal holds it."""

    run_id: RunId
    seq: int
    epoch: int
    fact: Fact
    prev_hash: str  #: 64 hex digits; zeros before the first
    hash: str  #: 64 hex digits over the header, the salted payload digest and `prev_hash`
    forgotten: bool = False  #: the payload was deleted; its fields hold null


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One line of the list of runs."""

    run_id: RunId
    tenant: TenantId
    plan: str
    lane: str
    status: RunStatus
    accepted_at_s: float
    ended_at_s: float | None
    last_seq: int
    epoch: int
    owner: str
    origin: RunId
    parent: RunId | None
    idempotency_key: str | None
    request_digest: str
    usd: float  #: 0 until the run has ended
    tokens: int
    parked: str = ""  #: why no owner may take it over by itself, where several processes share the journal


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs to list, newest first. None: any."""

    tenant: TenantId | None = None
    run_id: RunId | None = None
    status: tuple[RunStatus, ...] | None = None
    plan: str | None = None
    lane: str | None = None
    idempotency_key: str | None = None
    origin: RunId | None = None
    parent: RunId | None = None
    top_level: bool = False  #: only runs without a parent
    ended_before_s: float | None = None
    before: RunId | None = None  #: only what comes after this run in the list; nothing where there is no such run
    limit: int = 100


class InstantJournal(Protocol):
    """A journal that commits without waiting can offer this beside `append`, and is then asked this way."""

    def append_now(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        """As `Journal.append`, done when it returns. Never raises JournalFull."""
        ...


class Journal(Protocol):
    """Facts of runs: appended conditionally, read in order, never changed."""

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        """Commit each entry whole, in order; return the runs whose entry was refused.

        An entry is refused when its first sequence number is taken, leaves a gap, or its epoch is below
        the run's. A refused entry writes nothing and leaves the others alone. `run.accepted` creates the
        run's row (and is refused when (tenant, idempotency key) is taken), `run.ended` closes it.

        Raises:
            JournalFull: no room; nothing of this call was written.
            JournalError: it could not be written; nothing of this call counts.
        """
        ...

    async def read(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Recorded]:
        """Facts with a sequence number above `after`, in order, at most `limit`.

        Raises:
            JournalCorrupt: a record's hash, form or place in the chain is wrong.
        """
        ...

    async def runs(self, query: RunQuery) -> list[RunRow]:
        """Rows that fit, newest first."""
        ...

    async def claim(self, run_id: RunId, owner: str) -> int:
        """Make `owner` the owner of a run; return the new epoch, higher than any before.

        Raises:
            RunNotFound: no such run.
            JournalConflict: it is open, and belongs to another owner whose lease has not ended.
        """
        ...

    async def forget(self, run_ids: Sequence[RunId], *, payloads_only: bool) -> int:
        """Delete ended runs, or only their payloads (the chain stays whole); return the bytes freed.

        Raises:
            WrongState: a run is still open; nothing was deleted.
        """
        ...

    async def close(self) -> None:
        """Finish what was accepted and let go of the file. Safe to call twice."""
        ...
