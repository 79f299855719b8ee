"""Deleting from a SQLite journal: whole runs, or only what they said."""

import sqlite3
from collections.abc import Sequence

from orchestrator.adapters.sql.group import SEQ_BITS
from orchestrator.errors import WrongState
from orchestrator.ids import RunId

Run = tuple[int, RunId]  #: its key in the table, and its id


def ended_runs(connection: sqlite3.Connection, run_ids: Sequence[RunId]) -> list[Run]:
    """Keys of those runs that exist.

    Raises:
        WrongState: one of them is open.
    """
    found: list[Run] = []
    for run_id in dict.fromkeys(run_ids):
        row = connection.execute("SELECT id, status FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        if row is None:
            continue
        if row[1] == "open":
            raise WrongState(f"run {run_id}", "open", "cancel it or let it end before forgetting it")
        found.append((row[0], run_id))
    return found


def forget(connection: sqlite3.Connection, runs: Sequence[Run], *, payloads_only: bool) -> int:
    """Delete in one transaction; return the bytes of what was deleted."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        freed = sum(_forget_run(connection, key, payloads_only=payloads_only) for key, _ in runs)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return freed


def _forget_run(connection: sqlite3.Connection, key: int, *, payloads_only: bool) -> int:
    span = (key << SEQ_BITS, (key + 1) << SEQ_BITS)
    number = connection.execute(
        "SELECT coalesce(sum(length(salt) + coalesce(length(body), 0)), 0) FROM payloads WHERE at >= ? AND at < ?", span
    )
    freed: int = number.fetchone()[0]
    large = connection.execute(
        "SELECT DISTINCT artifact FROM payloads WHERE at >= ? AND at < ? AND artifact IS NOT NULL", span
    ).fetchall()
    connection.execute("DELETE FROM payloads WHERE at >= ? AND at < ?", span)
    freed += sum(_drop_unreferred(connection, digest) for (digest,) in large)
    if payloads_only:
        connection.execute(
            "UPDATE runs SET forgotten_seq = (SELECT max(seq) FROM events WHERE run = runs.id) WHERE id = ?", (key,)
        )
        return freed
    headers = connection.execute("SELECT coalesce(sum(length(header)), 0) FROM events WHERE run = ?", (key,))
    freed += headers.fetchone()[0]
    connection.execute("DELETE FROM events WHERE run = ?", (key,))
    connection.execute("DELETE FROM runs WHERE id = ?", (key,))
    return freed


def _drop_unreferred(connection: sqlite3.Connection, digest: bytes) -> int:
    """Delete an artifact that neither a payload nor `Artifacts.put` holds any more; return its bytes."""
    row = connection.execute(
        "SELECT length(body) FROM artifacts WHERE digest = ? AND held = 0 "
        "AND NOT EXISTS (SELECT 1 FROM payloads WHERE artifact = ?)",
        (digest, digest),
    ).fetchone()
    if row is None:
        return 0
    connection.execute("DELETE FROM artifacts WHERE digest = ?", (digest,))
    return int(row[0])


def give_back(connection: sqlite3.Connection) -> None:
    """Return free pages to the file system and empty the log, so that nothing of what was deleted is left in it."""
    connection.executescript("PRAGMA incremental_vacuum")  # a page a step, and `execute` takes only the first step
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def sweep(connection: sqlite3.Connection, keep: set[bytes]) -> int:
    """Delete every artifact that is neither in `keep` nor holds a payload; return the bytes of them."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        freed = 0
        for digest, size, referred in connection.execute(
            "SELECT digest, length(body), EXISTS (SELECT 1 FROM payloads WHERE artifact = a.digest) FROM artifacts a"
        ).fetchall():
            if digest in keep:
                continue
            if referred:
                connection.execute("UPDATE artifacts SET held = 0 WHERE digest = ?", (digest,))
            else:
                connection.execute("DELETE FROM artifacts WHERE digest = ?", (digest,))
                freed += size
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return freed
