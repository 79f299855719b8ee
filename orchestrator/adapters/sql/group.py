"""Appends that are committed together: from facts to rows, and the rows to the file in one transaction."""

import hashlib
import sqlite3
from collections.abc import Sequence
from typing import Final

from orchestrator.adapters.records import Encoded, salts
from orchestrator.adapters.sql.heads import Head, Heads
from orchestrator.core.chain import link_hash, payload_digest
from orchestrator.core.facts import Fact, RunAccepted, RunEnded
from orchestrator.ids import RunId
from orchestrator.plan.limits import ARTIFACT_BYTES
from orchestrator.ports.journal import Append

SEQ_BITS: Final = 32  #: `payloads.at` is (run << SEQ_BITS) + seq
#: Rows per INSERT. Each execution lets go of the interpreter lock and has to win it back, from an event loop that may
#: be busy for milliseconds at a time: a thousand rows one by one would take seconds there.
_ROWS: Final = (256, 64, *range(16, 0, -1))


class Group:
    """One transaction in the making. `add` entries, then `write` once."""

    def __init__(self, connection: sqlite3.Connection, heads: Heads) -> None:
        self._connection, self._heads = connection, heads
        self._runs: list[tuple[object, ...]] = []
        self._events: list[tuple[object, ...]] = []
        self._payloads: list[tuple[object, ...]] = []
        self._artifacts: list[tuple[object, ...]] = []
        self._epochs: list[tuple[object, ...]] = []
        self._ended: list[tuple[object, ...]] = []
        self._sealed: list[tuple[object, ...]] = []
        self._keys: set[tuple[str, str]] = set()
        self._touched: list[RunId] = []

    @property
    def touched(self) -> list[RunId]:
        """Runs whose heads have moved; they are wrong when the transaction fails."""
        return self._touched

    def add(self, entry: Append, encoded: Encoded) -> bool:
        """Take one entry in; False: refused."""
        run_id, seq = entry.run_id, entry.first_seq
        head = self._heads.get(run_id)
        if head is None:
            head = self._accept(entry)
            if head is None:
                return False
        elif seq != head.seq + 1 or entry.epoch < head.epoch:
            return False
        self._touched.append(run_id)
        if entry.epoch != head.epoch:
            head.epoch = entry.epoch
            self._epochs.append((entry.epoch, head.key))
        key, before = head.key, head.hash
        for header, payload in encoded:
            digest = None
            if payload is not None:
                salt = next(salts)
                digest = payload_digest(salt, payload)
                self._payloads.append((key << SEQ_BITS | seq, salt, *self._place(payload)))
            before = link_hash(before, run_id, seq, header, digest)
            self._events.append((key, seq, header, digest, before))
            seq += 1
        head.seq, head.hash = seq - 1, before
        self._close(entry.facts, head)
        return True

    def _accept(self, entry: Append) -> Head | None:
        fact = entry.facts[0] if entry.facts else None
        if type(fact) is not RunAccepted or entry.first_seq != 1:
            return None
        if fact.idempotency_key is not None:
            key = (fact.tenant, fact.idempotency_key)
            taken = self._connection.execute("SELECT 1 FROM runs WHERE tenant = ? AND idempotency_key = ?", key)
            if key in self._keys or taken.fetchone() is not None:
                return None
            self._keys.add(key)
        head = self._heads.begin(entry.run_id, entry.epoch)
        self._runs.append((
            *(head.key, entry.run_id, fact.tenant, fact.plan, fact.lane, "open", fact.at_s, entry.epoch, ""),
            *(fact.origin, fact.parent, fact.idempotency_key, fact.request_digest, 0.0, 0),
        ))  # fmt: skip
        return head

    def _place(self, payload: bytes) -> tuple[bytes | None, bytes | None]:
        """Beside the event, or, when it is large, once per content."""
        if len(payload) <= ARTIFACT_BYTES:
            return payload, None
        digest = hashlib.sha256(payload).digest()
        self._artifacts.append((digest, 0, payload))
        return None, digest

    def _close(self, facts: Sequence[Fact], head: Head) -> None:
        for fact in facts:
            if type(fact) is RunEnded:
                self._ended.append((fact.status, fact.at_s, fact.usd, fact.tokens, head.key))
                head.open = False
        if not head.open:
            self._sealed.append((head.seq, head.key))

    def write(self) -> None:
        """Commit everything that was added, or nothing.

        Raises:
            sqlite3.Error: nothing was written; the heads of `touched` no longer hold.
        """
        if not self._touched:
            return
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        try:
            self._insert("runs", _RUN_COLUMNS, self._runs)
            for row in self._artifacts:
                run("INSERT OR IGNORE INTO artifacts (digest, held, body) VALUES (?, ?, ?)", row)
            self._insert("events", "run, seq, header, digest, hash", self._events)
            self._insert("payloads", "at, salt, body, artifact", self._payloads)
            for epoch in self._epochs:
                run("UPDATE runs SET epoch = ? WHERE id = ?", epoch)
            for end in self._ended:
                run("UPDATE runs SET status = ?, ended_at_s = ?, usd = ?, tokens = ? WHERE id = ?", end)
            for seal in self._sealed:
                run("UPDATE runs SET sealed_seq = ? WHERE id = ?", seal)
            run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                run("ROLLBACK")
            raise

    def _insert(self, table: str, columns: str, rows: list[tuple[object, ...]]) -> None:
        at = 0
        while at < len(rows):
            count = next(size for size in _ROWS if size <= len(rows) - at)
            if count == 1:
                values: Sequence[object] = rows[at]
            else:
                values = [value for row in rows[at : at + count] for value in row]
            self._connection.execute(_insert_text(table, columns, len(rows[at]), count), values)
            at += count


_RUN_COLUMNS: Final = (
    "id, run_id, tenant, plan, lane, status, accepted_at_s, epoch, owner, "
    "origin, parent, idempotency_key, request_digest, usd, tokens"
)
_texts: dict[tuple[str, int], str] = {}


def _insert_text(table: str, columns: str, width: int, rows: int) -> str:
    text = _texts.get((table, rows))
    if text is None:
        row = f"({', '.join('?' * width)})"
        text = f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * rows)}"  # noqa: S608 # names of our tables
        _texts[table, rows] = text
    return text
