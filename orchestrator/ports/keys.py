"""The keys port: who may ask the service what. A store holds digests, never a key that could be used."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from orchestrator.ids import TenantId
from orchestrator.ports.tasks import Lane

#: `read`: look at runs, approvals, sessions, pools; `run`: submit, cancel, retry, fork, take turns; `approve`: answer
#: questions, quarantine results; `manage`: webhooks and schedules, which go on acting; `metrics`: the numbers of the
#: whole process, over all tenants.
Scope = Literal["read", "run", "approve", "manage", "metrics"]
SCOPES: Final[tuple[Scope, ...]] = ("read", "run", "approve", "manage", "metrics")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What the holder of a key may use of what all share; None: as much as the service allows anybody.

    Where a tenant has several keys, what the tenant uses is counted over all of them, and each request is held against
    the caps of the key it came with.
    """

    requests_per_minute: int | None = None
    open_runs: int | None = None  #: at once
    usd_per_day: float | None = None  #: over the last 24 hours; the budget of an open run counts as spent
    lanes: tuple[Lane, ...] | None = None  #: lanes that may be asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as a store holds it."""

    id: str  #: the visible part, which names the key everywhere
    name: str  #: whose, or what for
    tenant: TenantId
    scopes: tuple[Scope, ...]
    digest: str  #: SHA-256 of the whole key, 64 hex digits; a key is 256 random bits, so nothing slower is needed
    created_at_s: float
    caps: Caps = field(default_factory=Caps)
    expires_at_s: float | None = None
    revoked_at_s: float | None = None


class Keys(Protocol):
    """Keys by their visible part."""

    async def add(self, key: ApiKey) -> bool:
        """Keep a key; False: one with this id is there, and nothing was changed."""
        ...

    async def get(self, key_id: str) -> ApiKey | None:
        """The key of this id, revoked ones too."""
        ...

    async def all(self) -> Sequence[ApiKey]:
        """Every key, revoked ones too, oldest first."""
        ...

    async def revoke(self, key_id: str, at_s: float) -> bool:
        """Mark a key as revoked; False: there is none. One that was revoked before keeps its time."""
        ...

    async def close(self) -> None:
        """Let go of the store. Safe to call twice."""
        ...
