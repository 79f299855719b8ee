"""The work of pools as far as whoever asks may know of it: the length of a shared queue tells of others."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.ids import JsonValue
from orchestrator.ports.tasks import Backlog
from orchestrator.service.health import document

_OF_QUEUES = ("waiting", "delayed", "running", "oldest_wait_s", "by_lane")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkSeen:
    """Work by pool: of all tenants, or of one."""

    everybody: Mapping[str, Backlog] | None = None  #: None: they may see that of their own tenant alone
    own: Mapping[str, int] = field(default_factory=dict)  #: tasks of that tenant, sent and not answered

    @property
    def tenants(self) -> str:
        """`all` or `own`."""
        return "own" if self.everybody is None else "all"

    @property
    def pools(self) -> Iterable[str]:
        """Those that have work."""
        return self.own if self.everybody is None else self.everybody

    def of(self, pool: str) -> dict[str, JsonValue]:
        """One pool's; what only the shared queue could tell is null where it may not be told."""
        if self.everybody is not None:
            return {**document(self.everybody.get(pool), pool), "tenants": self.tenants}
        hidden: dict[str, JsonValue] = dict.fromkeys(_OF_QUEUES)
        return {"pool": pool, "backlog": self.own.get(pool, 0), **hidden, "tenants": self.tenants}


__all__ = ["WorkSeen"]
