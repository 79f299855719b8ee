"""What only the SQLite journal promises: about its file, its thread, its owner, and damage."""

import asyncio
import os
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from orchestrator.adapters.sql import group, writer
from orchestrator.adapters.sql.backup import restore
from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.adapters.sql.store import Store
from orchestrator.errors import (
    ArtifactMissing,
    JournalCorrupt,
    JournalError,
    JournalFull,
    JournalOwned,
    PromiseError,
    RunNotFound,
    ValueRefused,
)
from orchestrator.ids import JsonValue, RunId
from orchestrator.plan.limits import ARTIFACT_BYTES
from orchestrator.ports.journal import RunQuery
from orchestrator.testing.facts import accepted, ended, passed, produced
from orchestrator.testing.journal_contract import OTHER, RUN, append, entry, facts_in, new_run

pytestmark = pytest.mark.anyio
LARGE: JsonValue = "large " * 20_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[SqliteJournal]:
    journal = await SqliteJournal.open(path)
    yield journal
    await journal.close()


def sql(path: Path, text: str, *values: object) -> list[tuple[object, ...]]:
    """Work on a file nobody has open."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(text, values).fetchall()
    finally:
        connection.close()


async def test_the_file_is_private_and_its_folder_is_made(journal: SqliteJournal, path: Path) -> None:
    await new_run(journal)
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db.lock": 0o600}
    assert journal.path == path


async def test_everything_is_there_after_opening_again(path: Path) -> None:
    first = await SqliteJournal.open(path)
    await new_run(first, RUN, produced(1), produced(LARGE))
    epoch = await first.claim(RUN, "owner")
    digest = await first.artifacts.put(b"bytes")
    told, rows = await first.read(RUN), await first.runs(RunQuery())
    await first.close()
    assert not path.with_name("journal.db-wal").exists()

    second = await SqliteJournal.open(path)
    assert (await second.read(RUN), await second.runs(RunQuery())) == (told, rows)
    assert await append(second, entry(4, passed())) == (RUN,)
    assert await append(second, entry(4, passed(), epoch=epoch)) == ()
    assert await second.verify_run(RUN) == 4
    assert await second.artifacts.get(digest) == b"bytes"
    await second.close()


async def test_large_payloads_are_kept_once_and_let_go_with_the_last_run(journal: SqliteJournal, path: Path) -> None:
    for run_id in (RUN, OTHER):
        await new_run(journal, run_id, produced(LARGE), produced("x" * (ARTIFACT_BYTES - 10)), ended())
    same = await journal.artifacts.put(b"put by a worker")
    assert await journal.artifacts.sweep({same}) == 0

    await journal.close()
    assert sql(path, "SELECT count(*), sum(artifact IS NOT NULL), sum(body IS NULL) FROM payloads") == [(8, 2, 2)]
    assert [size for (size,) in sql(path, "SELECT length(body) FROM artifacts ORDER BY 1")] == [15, len(str(LARGE)) + 4]

    journal = await SqliteJournal.open(path)
    assert await journal.forget([RUN], payloads_only=False) < 60_000
    assert facts_in(await journal.read(OTHER))[1] == produced(LARGE)
    assert await journal.forget([OTHER], payloads_only=True) > 120_000
    assert await journal.artifacts.get(same) == b"put by a worker"
    assert await journal.artifacts.sweep(set()) == 15
    await journal.close()
    assert sql(path, "SELECT count(*) FROM artifacts") == [(0,)]


async def test_a_swept_artifact_stays_while_a_payload_rests_on_it(journal: SqliteJournal) -> None:
    await new_run(journal, RUN, produced(LARGE), ended())
    digest = await journal.artifacts.put(f'["{LARGE}"]'.encode())  # the very bytes of the payload

    assert await journal.artifacts.sweep(set()) == 0
    assert facts_in(await journal.read(RUN))[1] == produced(LARGE)
    await journal.forget([RUN], payloads_only=True)
    with pytest.raises(ArtifactMissing):
        await journal.artifacts.get(digest)


async def test_forgetting_gives_the_room_back_and_leaves_no_trace(journal: SqliteJournal, path: Path) -> None:
    secret = "a secret that must not stay"
    for n in range(40):
        await new_run(journal, RunId(f"run {n}"), produced(f"{secret} {n} " * 300), ended())
    assert await journal.forget([], payloads_only=True) == 0
    full = path.stat().st_size
    assert secret.encode() in path.read_bytes()

    freed = await journal.forget([RunId(f"run {n}") for n in range(40)], payloads_only=True)

    assert freed > 40 * 300 * len(secret)
    assert path.stat().st_size < full / 5
    log = path.with_name("journal.db-wal")
    assert secret.encode() not in path.read_bytes() + log.read_bytes()
    assert await journal.verify_run(RunId("run 7")) == 3


# ---- damage


def flip(value: object) -> object:
    """The same, one bit off."""
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1])
    assert isinstance(value, int)
    return value ^ 1


@pytest.mark.parametrize("column", ["header", "digest", "hash", "salt", "body", "artifact bytes", "seq"])
async def test_a_flipped_bit_is_found_at_its_record(path: Path, column: str) -> None:
    journal = await SqliteJournal.open(path)
    await new_run(journal, RUN, produced({"a": 1}), produced(LARGE), passed())
    await journal.close()
    seq = 3 if column == "artifact bytes" else 2
    at = (1 << group.SEQ_BITS) + seq
    table, name, where, key = {
        "salt": ("payloads", "salt", "at", at),
        "body": ("payloads", "body", "at", at),
        "artifact bytes": ("artifacts", "body", "id", 1),
        "seq": ("events", "seq", "seq", 4),
    }.get(column, ("events", column, "seq", seq))
    ((value,),) = sql(path, f"SELECT {name} FROM {table} WHERE {where} = ?", key)
    changed = 6 if column == "seq" else flip(value)
    sql(path, f"UPDATE {table} SET {name} = ? WHERE {where} = ?", changed, key)

    journal = await SqliteJournal.open(path)
    for look in (journal.read, journal.verify_run):
        with pytest.raises(JournalCorrupt) as caught:
            await look(RUN)
        assert (caught.value.run_id, caught.value.seq) == (RUN, 4 if column == "seq" else seq)
    await journal.close()


@pytest.mark.parametrize(
    ("damage", "seq", "reason"),
    [
        ("DELETE FROM events WHERE seq = 2", 2, "next one kept is 3"),
        ("DELETE FROM events WHERE seq = 1", 1, "next one kept is 2"),
        ("DELETE FROM events WHERE seq >= 3", 3, "what followed up to 4"),
        ("DELETE FROM events", 1, "what followed up to 4"),
        ("DELETE FROM payloads WHERE at % 4294967296 = 2", 2, "nobody asked to forget it"),
        ("DELETE FROM artifacts", 3, "artifact that holds its payload is missing"),
        ("UPDATE events SET header = 'text' WHERE seq = 2", 2, "does not hold bytes"),
        ("UPDATE payloads SET body = 'text' WHERE at % 4294967296 = 2", 2, "payload does not hold bytes"),
        ("UPDATE events SET digest = NULL WHERE seq = 2", 2, "where none was written"),
        ("UPDATE runs SET run_id = 'run-3'", 1, "hash does not fit"),
    ],
)
async def test_what_is_missing_or_replaced_is_found(path: Path, damage: str, seq: int, reason: str) -> None:
    journal = await SqliteJournal.open(path)
    await new_run(journal, RUN, produced({"a": 1}), produced(LARGE), ended())
    await journal.close()
    sql(path, damage)

    journal = await SqliteJournal.open(path)
    run_id = RunId("run-3") if "run-3" in damage else RUN
    for look in (journal.read, journal.verify_run):
        with pytest.raises(JournalCorrupt, match=reason) as caught:
            await look(run_id)
        assert caught.value.seq == seq
    await journal.close()


async def test_a_page_in_the_middle_is_checked_against_the_one_before(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    await new_run(journal, RUN, *[produced(n) for n in range(9)])
    await journal.close()
    sql(path, "UPDATE events SET hash = zeroblob(32) WHERE seq = 5")

    journal = await SqliteJournal.open(path)
    assert len(await journal.read(RUN, limit=4)) == 4
    with pytest.raises(JournalCorrupt) as caught:
        await journal.read(RUN, after=5)
    assert caught.value.seq == 6
    await journal.close()


async def test_verifying_covers_long_runs_and_names_unknown_ones(journal: SqliteJournal) -> None:
    await new_run(journal, RUN, *[passed() for _ in range(4_500)])
    assert await journal.verify_run(RUN) == 4_501
    with pytest.raises(RunNotFound):
        await journal.verify_run(OTHER)


async def test_a_log_cut_anywhere_leaves_a_sound_beginning(path: Path, tmp_path: Path) -> None:
    journal = await SqliteJournal.open(path)
    await new_run(journal)
    for seq in range(2, 12):
        assert await append(journal, entry(seq, produced(seq))) == ()
    log = path.with_name("journal.db-wal").read_bytes()
    whole = path.read_bytes()
    told = facts_in(await journal.read(RUN))
    await journal.close()

    lengths = set()
    for n, cut in enumerate(range(0, len(log), 4_999)):
        torn = tmp_path / f"torn-{n}.db"
        torn.write_bytes(whole)
        torn.with_name(f"{torn.name}-wal").write_bytes(log[:cut])
        reopened = await SqliteJournal.open(torn)
        found = facts_in(await reopened.read(RUN))
        assert found == told[: len(found)]
        lengths.add(len(found))
        await reopened.close()
    assert len(lengths) > 5


# ---- room


async def test_a_full_disk_writes_nothing_and_is_over_when_there_is_room(path: Path) -> None:
    journal = await SqliteJournal.open(path, max_bytes=400_000)
    await new_run(journal, OTHER, produced("x" * 30_000), ended())
    await new_run(journal)
    seq = 2

    async def fill() -> None:
        nonlocal seq
        while True:
            assert await append(journal, entry(seq, produced(f"{seq} " * 5_000), passed())) == ()
            seq += 2

    with pytest.raises(JournalFull, match=r"journal\.db: no room left"):
        await fill()
    told = await journal.read(RUN)
    assert len(told) == seq - 1
    with pytest.raises(JournalFull):
        await append(journal, entry(1, accepted("run-3"), produced(LARGE), run_id=RunId("run-3"), sync=True))
    with pytest.raises(JournalFull):
        await journal.artifacts.put(os.urandom(200_000))
    assert [row.run_id for row in await journal.runs(RunQuery())] == [RUN, OTHER]

    assert await journal.forget([OTHER], payloads_only=True) > 30_000

    assert await append(journal, entry(seq, produced(f"{seq} " * 5_000), passed())) == ()
    assert (await journal.read(RUN))[: len(told)] == told
    assert await journal.verify_run(RUN) == seq + 1
    await journal.close()
    assert sql(path, "PRAGMA integrity_check") == [("ok",)]


async def test_after_an_io_error_the_journal_stands_still(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await new_run(journal)

    def fail(_: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(group.Group, "write", fail)
        with pytest.raises(JournalError, match="disk I/O error"):
            await append(journal, entry(2, passed()))
    with pytest.raises(JournalError, match=r"failed before \(disk I/O error\); restart"):
        await append(journal, entry(2, passed()))
    with pytest.raises(JournalError, match="failed before"):
        await journal.read(RUN)


async def test_the_log_is_emptied_when_it_has_grown_and_nobody_waits_in_the_loop(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LOG_BYTES_MAX", 300_000)
    emptied = []
    checkpoint = Store.checkpoint

    def counted(store: Store) -> None:
        emptied.append((store.log_bytes(), threading.current_thread() is threading.main_thread()))
        checkpoint(store)
        assert store.log_bytes() == 0

    monkeypatch.setattr(Store, "checkpoint", counted)
    journal = await SqliteJournal.open(path)
    await new_run(journal)
    for seq in range(2, 400):
        assert await append(journal, entry(seq, produced("x" * 3_000), sync=seq % 50 == 0)) == ()

    assert len(emptied) > 3
    assert {in_loop for _, in_loop in emptied} == {False}
    assert max(size for size, _ in emptied) < 2_000_000
    assert await journal.verify_run(RUN) == 399
    await journal.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_resting_journal_empties_its_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LOG_BYTES_IDLE", 0)
    monkeypatch.setattr(writer, "IDLE_S", 0.002)
    journal = await SqliteJournal.open(path)
    await new_run(journal)
    with anyio.fail_after(60):
        while path.with_name("journal.db-wal").stat().st_size:  # noqa: ASYNC110 # the thread does not tell
            await anyio.sleep(0.001)
    assert await journal.verify_run(RUN) == 1
    await journal.close()


# ---- commits


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What SQLite was asked, in order."""
    seen: list[str] = []
    begin = Store.__init__

    def traced(store: Store, path: Path, max_bytes: int | None) -> None:
        begin(store, path, max_bytes)
        store._connection.set_trace_callback(lambda text: seen.append(text.split(" (")[0]))

    monkeypatch.setattr(Store, "__init__", traced)
    return seen


async def test_a_commit_that_must_reach_the_disk_is_synced_and_the_next_is_not(
    statements: list[str], path: Path
) -> None:
    journal = await SqliteJournal.open(path)
    await append(journal, entry(1, accepted(), sync=True))
    await append(journal, entry(2, produced(1)))
    await append(journal, entry(3, passed()))
    await append(journal, entry(4, ended(), sync=True))
    await journal.close()

    assert [text for text in statements if text.startswith(("PRAGMA", "BEGIN", "COMMIT"))] == [
        *("PRAGMA synchronous=FULL", "BEGIN IMMEDIATE", "COMMIT"),
        *("PRAGMA synchronous=NORMAL", "BEGIN IMMEDIATE", "COMMIT"),
        *("BEGIN IMMEDIATE", "COMMIT"),
        *("PRAGMA synchronous=FULL", "BEGIN IMMEDIATE", "COMMIT"),
    ]


async def test_appends_of_one_turn_of_the_loop_share_a_commit(statements: list[str], path: Path) -> None:
    journal = await SqliteJournal.open(path)
    async with anyio.create_task_group() as tasks:
        for n in range(40):
            run_id = RunId(f"run {n}")
            tasks.start_soon(append, journal, entry(1, accepted(run_id), run_id=run_id))
    assert len(await journal.runs(RunQuery())) == 40
    await journal.close()
    assert statements.count("COMMIT") == 2  # the first at once, all others together


async def test_one_refused_value_fails_only_its_own_call(journal: SqliteJournal) -> None:
    await new_run(journal)
    failed = []

    async def store(run_id: str, number: float) -> None:
        try:
            first, second = accepted(run_id), produced(number)
            await append(journal, entry(1, first, second, run_id=RunId(run_id), sync=True))
        except ValueRefused:
            failed.append(run_id)

    async with anyio.create_task_group() as tasks:
        for n in range(20):
            tasks.start_soon(store, f"run {n}", float("nan") if n % 5 == 0 else 1.0)
    assert sorted(failed) == ["run 0", "run 10", "run 15", "run 5"]
    assert len(await journal.runs(RunQuery())) == 17


@pytest.mark.parametrize("sync", [False, True])
async def test_appends_that_did_not_wait_for_each_other_keep_their_order(journal: SqliteJournal, sync: bool) -> None:
    await new_run(journal)
    refused: list[RunId] = []

    async def one(seq: int) -> None:
        refused.extend(await append(journal, entry(seq, produced(seq), sync=sync and seq % 3 == 0)))

    async with anyio.create_task_group() as tasks:
        for seq in range(2, 60):
            tasks.start_soon(one, seq)
    # Tasks of a group may start in any order, so some are refused; what was written is whole and in order all the same.
    told = await journal.read(RUN)
    assert [record.seq for record in told] == list(range(1, 60 - len(refused)))
    assert facts_in(told)[1:] == [produced(record.seq) for record in told[1:]]


async def test_a_cancelled_append_does_no_harm(journal: SqliteJournal) -> None:
    await new_run(journal)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await append(journal, entry(2, produced(1), sync=True))
    told = facts_in(await journal.read(RUN))
    assert told == [accepted(), produced(1)]
    assert await append(journal, entry(3, passed())) == ()


async def test_a_loop_that_found_the_disk_slow_leaves_it_to_the_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "INLINE_SLOW_S", -1.0)
    threads = []
    write = group.Group.write

    def noted(self: group.Group) -> None:
        threads.append(threading.current_thread() is threading.main_thread())
        write(self)

    monkeypatch.setattr(group.Group, "write", noted)
    journal = await SqliteJournal.open(path)
    await new_run(journal)
    await append(journal, entry(2, passed()))
    await append(journal, entry(3, passed()))
    await journal.close()
    assert threads == [True, False, False]


# ---- owners


def exit_code(child: int) -> int:
    """Wait for a forked child."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def test_a_second_opener_is_refused_with_the_owners_number(journal: SqliteJournal, path: Path) -> None:
    with pytest.raises(JournalOwned) as caught:
        await SqliteJournal.open(path)
    assert (caught.value.path, caught.value.pid) == (str(path), os.getpid())

    await journal.close()
    again = await SqliteJournal.open(path)
    await again.close()


async def test_a_program_without_manners_is_kept_out(journal: SqliteJournal, path: Path) -> None:
    await new_run(journal)
    stranger = sqlite3.connect(path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        stranger.execute("DELETE FROM events")
    stranger.close()
    assert await append(journal, entry(2, passed())) == ()
    assert await journal.verify_run(RUN) == 2


async def test_a_stranger_in_the_file_is_waited_for_and_then_reported(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.adapters.sql.schema.BUSY_TIMEOUT_S", 0.01)
    path.parent.mkdir()
    stranger = sqlite3.connect(path)
    stranger.execute("CREATE TABLE t (a)")
    stranger.execute("BEGIN EXCLUSIVE")
    with pytest.raises(JournalError, match="used by another program"):
        await SqliteJournal.open(path)
    stranger.close()


async def test_another_event_loop_is_refused(journal: SqliteJournal, path: Path) -> None:
    caught: list[BaseException] = []

    async def use() -> None:
        await journal.read(RUN)

    def elsewhere(backend: str) -> None:
        try:
            anyio.run(use, backend=backend)
        except JournalError as error:
            caught.append(error)

    for backend in ("asyncio", "trio"):
        thread = threading.Thread(target=elsewhere, args=(backend,))
        thread.start()
        thread.join()
    assert [str(error).endswith("use it there, or open it here alone") for error in caught] == [True, True]
    assert await journal.read(RUN) == []


async def test_there_is_no_opening_without_a_loop(path: Path) -> None:
    caught: list[BaseException] = []

    def step() -> None:
        try:
            SqliteJournal.open(path).send(None)
        except JournalError as error:
            caught.append(error)

    thread = threading.Thread(target=step)
    thread.start()
    thread.join()
    assert "inside an event loop" in str(caught[0])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_forked_child_can_neither_use_nor_spoil_it(journal: SqliteJournal, path: Path) -> None:
    await new_run(journal)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                SqliteJournal.append(journal, [entry(2, produced("child"))]).send(None)
            except JournalError as error:
                code = 0 if "before this process was forked" in str(error) else 2
            journal._writer._store._connection = None  # type: ignore[union-attr, assignment] # what exiting would clear
        finally:
            os._exit(code)
    assert exit_code(child) == 0

    assert path.with_name("journal.db-wal").exists()
    assert await append(journal, entry(2, produced("parent"))) == ()
    await journal.close()
    journal = await SqliteJournal.open(path)
    assert facts_in(await journal.read(RUN)) == [accepted(), produced("parent")]
    await journal.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_lock_does_not_live_on_in_a_forked_child(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    reader, writer_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reader, 1)  # until the parent is done
        os._exit(0)
    try:
        await journal.close()
        again = await SqliteJournal.open(path)
        await again.close()
    finally:
        os.write(writer_end, b"x")
        assert exit_code(child) == 0
        os.close(reader)
        os.close(writer_end)


# ---- places and files


async def test_a_network_file_system_is_refused(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    monkeypatch.setattr("orchestrator.adapters.sql.ownership.MOUNTS", mounts)
    monkeypatch.setattr("orchestrator.adapters.sql.ownership.refuse_network_file_system.__defaults__", (mounts,))
    spaced = str(tmp_path / "with space").replace(" ", "\\040")
    mounts.write_text(
        f"rootfs / ext4 rw 0 0\nserver:/x {path.parent} nfs4 rw 0 0\nshort\n"
        f"//s/y {spaced} cifs rw 0 0\nserver:/z {tmp_path}/over nfs rw 0 0\n/dev/a {tmp_path}/over xfs rw 0 0\n"
    )

    with pytest.raises(PromiseError, match=r"network file system \(nfs4\).*--store"):
        await SqliteJournal.open(path)
    with pytest.raises(PromiseError, match=r"\(cifs\)"):
        await SqliteJournal.open(tmp_path / "with space" / "j.db")
    for place in ("over", "store-other"):
        await (await SqliteJournal.open(tmp_path / place / "j.db")).close()
    mounts.unlink()
    await (await SqliteJournal.open(path)).close()


async def test_files_that_are_no_journals_are_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("not a database, but long enough to look like one " * 20)
    foreign, newer = tmp_path / "foreign.db", tmp_path / "newer.db"
    sql(foreign, "CREATE TABLE t (a)")
    await (await SqliteJournal.open(newer)).close()
    sql(newer, "PRAGMA user_version = 99")

    for path, reason in [
        (text, "cannot be opened as a journal: file is not a database"),
        (foreign, "but no journal; name another file"),
        (newer, "has schema 99, this release reads 1"),
        (tmp_path, "cannot be"),
        (text / "below" / "j.db", "cannot be created"),
    ]:
        with pytest.raises(JournalError, match=reason):
            await SqliteJournal.open(path)
    assert text.read_text().startswith("not a database")


async def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 30, 1))
    with pytest.raises(PromiseError, match="too old for a journal"):
        await SqliteJournal.open(path)


async def test_a_journal_that_could_not_be_opened_can_be_opened_later(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.write_text("x" * 5_000)
    with pytest.raises(JournalError):
        await SqliteJournal.open(path)
    path.unlink()
    journal = await SqliteJournal.open(path)
    await journal.close()
    assert tmp_path.exists()


# ---- copies


async def test_a_copy_made_in_use_is_a_journal_of_its_own(journal: SqliteJournal, path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    await new_run(journal, RUN, produced(LARGE))
    await journal.backup(copy)
    told = await journal.read(RUN)
    await append(journal, entry(3, passed()))

    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with pytest.raises(JournalError, match="exists; name a file that does not"):
        await journal.backup(copy)
    with pytest.raises(JournalError, match="cannot be written"):
        await journal.backup(tmp_path / "none" / "copy.db")
    with pytest.raises(JournalOwned):
        restore(copy, path)
    await journal.close()

    restore(copy, path)
    journal = await SqliteJournal.open(path)
    assert await journal.read(RUN) == told
    assert await append(journal, entry(3, ended())) == ()
    await journal.close()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["copy.db", "store"]


async def test_only_sound_copies_are_restored(journal: SqliteJournal, path: Path, tmp_path: Path) -> None:
    copy, place = tmp_path / "copy.db", tmp_path / "new" / "place.db"
    await new_run(journal, RUN, *[produced("x" * 2_000) for _ in range(20)])
    await journal.backup(copy)
    sound = copy.read_bytes()

    restore(copy, place)
    again = await SqliteJournal.open(place)
    assert await again.read(RUN) == await journal.read(RUN)
    await again.close()
    before = place.read_bytes()

    damaged = bytearray(sound)
    damaged[3 * 4096 : 3 * 4096 + 40] = b"\xff" * 40
    sql(tmp_path / "foreign.db", "CREATE TABLE t (a)")
    for data, reason in [
        (bytes(damaged), "is damaged|cannot be read"),
        (b"text " * 999, "cannot be read as a journal"),
        ((tmp_path / "foreign.db").read_bytes(), "no journal of this release"),
    ]:
        copy.write_bytes(data)
        with pytest.raises(JournalError, match=reason):
            restore(copy, place)
    with pytest.raises(JournalError, match="is not there"):
        restore(tmp_path / "none.db", place)
    assert place.read_bytes() == before


async def test_closing_answers_everything_first(path: Path) -> None:
    journal = await SqliteJournal.open(path)
    refused: list[RunId] = []

    async def one(n: int) -> None:
        run_id = RunId(f"run {n}")
        refused.extend(await append(journal, entry(1, accepted(run_id), run_id=run_id, sync=n % 2 == 0)))

    async with anyio.create_task_group() as tasks:
        for n in range(30):
            tasks.start_soon(one, n)
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(journal.close)
        tasks.start_soon(journal.close)

    again = await SqliteJournal.open(path)
    assert (len(await again.runs(RunQuery())), refused) == (30, [])
    await again.close()


def test_a_loop_that_ended_without_closing_lets_the_process_go_on(path: Path) -> None:
    async def leave() -> SqliteJournal:
        journal = await SqliteJournal.open(path)
        await new_run(journal)
        return journal

    journal = asyncio.run(leave())
    journal._writer._hand_over([writer.AppendCall([entry(2, passed())])])  # answered to a loop that is no more
    journal._writer._queue.put(None)
    assert journal._writer._thread is not None
    journal._writer._thread.join(5)

    async def look() -> int:
        again = await SqliteJournal.open(path)
        count = await again.verify_run(RUN)
        await again.close()
        return count

    assert asyncio.run(look()) == 2
