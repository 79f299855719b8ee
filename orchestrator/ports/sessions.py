"""The sessions port: conversations outside the process, each changed by one writer at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from orchestrator.ids import Digest, RunId, SessionId, TenantId
from orchestrator.plan.facts_kept import Fact

TURNS_READ_MAX: Final = 500  #: turns of one call of `turns`
PAGE_MAX: Final = 500  #: sessions of one call of `page`
SWEEP_MAX: Final = 1_000  #: sessions of one call of `sweep`

Speaker = Literal["user", "assistant"]
#: How a turn came to be: said by a user, or the end of its run. `lost`: it was accepted, and its run never began.
TurnStatus = Literal["said", "succeeded", "degraded", "stopped", "failed", "cancelled", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionKey:
    """Whose session, and which."""

    tenant: TenantId
    id: SessionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One thing said. What a user said and its answer are kept together, as two turns of one run."""

    number: int  #: from 1, without gaps
    role: Speaker
    content: str
    run_id: RunId
    at_s: float  #: when it was accepted, or answered
    tokens: int  #: of a user: estimated from the content; of an assistant: what the run used
    usd: float = 0.0  #: of an assistant: what the run cost
    status: TurnStatus = "said"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTurn:
    """What a user has said and nobody has answered yet. There is at most one, which gives all turns one order."""

    content: str
    run_id: RunId
    at_s: float
    key: str = ""  #: of idempotency; empty: none
    request: Digest | None = None  #: what the key stands for


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedBefore:
    """An idempotency key of late, and the turn it stands for."""

    key: str
    request: Digest
    run_id: RunId
    number: int  #: of the user's turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is left of the turns that no longer stand in the window."""

    text: str = ""
    version: int = 0  #: summaries accepted so far
    upto: int = 0  #: the last turn that it covers, or that went missing before it
    missed: int = 0  #: turns up to `upto` that no summary has seen
    tried_upto: int = 0  #: the last turn that a summary was asked for, whether it was accepted or not
    refused: str = ""  #: why the last one was not accepted; empty: it was
    at_s: float = 0.0  #: of the last try
    usd: float = 0.0  #: of all tries
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHead:
    """Everything about a session but its turns. A change of anything is a new version."""

    key: SessionKey
    stamp: str  #: drawn for each write, so that no two are ever taken for each other
    version: int  #: from 1; one more with each write
    turns: int = 0  #: turns that are answered, and their answers: an even number
    created_at_s: float
    updated_at_s: float
    expires_at_s: float  #: from then on it does not exist
    summary: Summary = field(default_factory=Summary)
    facts: tuple[Fact, ...] = ()  #: pinned, oldest first
    open: OpenTurn | None = None
    asked: tuple[AskedBefore, ...] = ()  #: oldest first
    usd: float = 0.0  #: of all turns; the summary's own cost is apart
    tokens: int = 0

    @property
    def etag(self) -> str:
        """Names this version of this session, and no other ever: also when it was deleted and begun again."""
        return f"{self.version}-{self.stamp}"


class Sessions(Protocol):
    """Keeps sessions. Every row carries its tenant; another tenant's session does not exist.

    `now_s` is the time of whoever asks: a session that has expired by then is not there, whether its rows are or not.
    """

    async def read(self, key: SessionKey, now_s: float) -> SessionHead | None:
        """The newest version of a session; None: there is none.

        Raises:
            SessionDamaged: what is stored cannot be read.
        """
        ...

    async def write(self, head: SessionHead, turns: Sequence[Turn], over: SessionHead | None) -> bool:
        """Put `head` in the place of `over`, and `turns` behind those that are there; True once that is kept.

        False: `over` is not the newest version, or, where it is None, there is a session already; nothing was changed.
        Of any number of writers over one version one succeeds. `head.updated_at_s` is the time of the write.
        """
        ...

    async def turns(self, key: SessionKey, after: int, limit: int = TURNS_READ_MAX) -> list[Turn]:
        """Turns with a number above `after`, oldest first, at most `limit` of them."""
        ...

    async def page(self, tenant: TenantId, after: str, limit: int, now_s: float) -> list[SessionHead]:
        """Sessions of a tenant whose id comes after `after`, by code points, at most `limit` of them."""
        ...

    async def delete(self, key: SessionKey) -> bool:
        """Delete a session with all its turns; False: there was none."""
        ...

    async def sweep(self, now_s: float, limit: int = SWEEP_MAX) -> int:
        """Delete the rows of sessions that have expired, at most `limit` of them; return how many."""
        ...
