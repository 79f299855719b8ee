"""The newest record of every run that is being written: what an append is compared with, without asking the database.

Only the owner of the file writes it, so what is remembered here stays true until a transaction fails.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from orchestrator.core.chain import FIRST_HASH
from orchestrator.ids import RunId

HEADS_MAX: Final = 50_000  #: heads remembered, about 300 bytes each; older ones are read again when needed


@dataclass(slots=True)
class Head:
    """Where a run's chain ends."""

    key: int  #: of the run in the table `runs`
    seq: int
    epoch: int
    hash: bytes
    open: bool


class Heads:
    """Heads by run, filled from the database on demand."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._heads: dict[RunId, Head] = {}
        self._next_key: int = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM runs").fetchone()[0]

    def get(self, run_id: RunId) -> Head | None:
        """The head of a run; None when there is no such run."""
        head = self._heads.pop(run_id, None) or self._load(run_id)
        if head is not None:
            self._keep(run_id, head)  # as the newest: what a transaction has touched is the last to go
        return head

    def begin(self, run_id: RunId, epoch: int) -> Head:
        """The head of a new run, before its first record."""
        head = Head(self._next_key, 0, epoch, FIRST_HASH, True)
        self._next_key += 1
        self._keep(run_id, head)
        return head

    def drop(self, run_ids: Iterable[RunId]) -> None:
        """Forget what is remembered of these runs."""
        for run_id in run_ids:
            self._heads.pop(run_id, None)

    def _keep(self, run_id: RunId, head: Head) -> None:
        if len(self._heads) >= HEADS_MAX:
            del self._heads[next(iter(self._heads))]
        self._heads[run_id] = head

    def _load(self, run_id: RunId) -> Head | None:
        row = self._connection.execute("SELECT id, epoch, status FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        if row is None:
            return None
        key, epoch, status = row
        last = self._connection.execute(
            "SELECT seq, hash FROM events WHERE run = ? ORDER BY seq DESC LIMIT 1", (key,)
        ).fetchone()
        seq, hash_ = (0, FIRST_HASH) if last is None else last
        return Head(key, seq, epoch, hash_, status == "open")
