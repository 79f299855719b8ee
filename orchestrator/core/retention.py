"""Which ended runs may be forgotten. Pure: the rows and the time come from outside."""

from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from orchestrator.ids import RunId, TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is kept. A run goes when every rule that is given lets it go.

    Raises:
        ValueError: no rule is given, which would let everything go, or one is negative.
    """

    keep_last: int | None = None  #: newest runs of each plan of each tenant
    keep_s: float | None = None  #: seconds after the end of a run

    def __post_init__(self) -> None:
        given = [rule for rule in (self.keep_last, self.keep_s) if rule is not None]
        if not given or min(given) < 0:
            raise ValueError("name how many runs of a plan to keep, or for how long, and nothing below 0")


class Row(Protocol):
    """What is asked of a row of the list of runs; `orchestrator.ports.journal.RunRow`."""

    @property
    def run_id(self) -> RunId:
        """The run."""
        ...

    @property
    def tenant(self) -> TenantId:
        """Whose it is."""
        ...

    @property
    def plan(self) -> str:
        """Name of its plan."""
        ...

    @property
    def parent(self) -> RunId | None:
        """Of a sub-plan."""
        ...

    @property
    def ended_at_s(self) -> float | None:
        """None while it is open."""
        ...


def forgettable(
    rows: Iterable[Row], retention: Retention, now_s: float, keep: AbstractSet[RunId] = frozenset()
) -> tuple[RunId, ...]:
    """Runs to forget, of `rows` that come newest first, as `Journal.runs` lists them.

    A sub-plan stays and goes with the run it belongs to. A run stays whole when it, or any sub-plan of it, is open or
    in `keep` (quarantined results, for example: somebody is going to ask).
    """
    rows = list(rows)
    root = _roots(rows)
    held = {root[row.run_id] for row in rows if row.ended_at_s is None or row.run_id in keep}
    counted: Counter[tuple[TenantId, str]] = Counter()
    going: set[RunId] = set()
    for row in rows:
        if root[row.run_id] != row.run_id:
            continue
        counted[row.tenant, row.plan] += 1
        old = retention.keep_s is None or (row.ended_at_s is not None and row.ended_at_s < now_s - retention.keep_s)
        spare = retention.keep_last is None or counted[row.tenant, row.plan] > retention.keep_last
        if old and spare and row.run_id not in held:
            going.add(row.run_id)
    return tuple([row.run_id for row in rows if root[row.run_id] in going])


def _roots(rows: list[Row]) -> dict[RunId, RunId]:
    """The run at the top of each; one whose parent is gone stands for itself."""
    parents = {row.run_id: row.parent for row in rows}
    roots: dict[RunId, RunId] = {}
    for row in rows:
        top = row.run_id
        while (parent := parents[top]) is not None and parent in parents:
            top = parent
        roots[row.run_id] = top
    return roots
