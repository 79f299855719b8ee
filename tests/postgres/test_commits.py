"""Commits on a server that goes away: what became of them is found out, never guessed; and two who write at once."""

import asyncio
import os
import random
import shutil

import anyio
import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.postgres import connecting
from orchestrator.adapters.postgres.journal import PostgresJournal
from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.core.facts import StepProduced
from orchestrator.errors import JournalError, JournalUnreachable, ValueRefused
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, Journal, RunQuery
from orchestrator.testing.facts import accepted, ended, passed, produced
from tests.servers.postgres import TEMPLATE, PostgresServer, with_tables
from tests.servers.proxy import WAYS, Way, fault_proxy
from tests.sizes import SIZES

pytestmark = pytest.mark.anyio
RUN = RunId("run-1")
CUTS = 60 if SIZES.name == "ci" else 1_000
ZOMBIES = 1_000


def entry(first_seq: int, *facts: object, run_id: RunId = RUN, epoch: int = 1, owner: str = "") -> Append:
    return Append(run_id=run_id, first_seq=first_seq, epoch=epoch, facts=facts, owner=owner)  # type: ignore[arg-type] # facts


async def outputs(journal: PostgresJournal, run_id: RunId = RUN) -> list[object]:
    return [r.fact.output for r in await journal.read(run_id) if isinstance(r.fact, StepProduced)]


@pytest.mark.parametrize("way", ["to_server", "to_client"])
async def test_a_connection_cut_around_a_commit_is_neither_lost_nor_doubled(
    postgres_server: PostgresServer, postgres_url: str, way: Way
) -> None:
    with fault_proxy(postgres_server.port) as proxy:
        journal = await PostgresJournal.open(postgres_url.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
        assert await journal.append([entry(1, accepted()), entry(2, produced(2))]) == ()  # the statement is known now

        proxy.cut_after(0, way)
        assert await journal.append([entry(3, produced(3)), entry(1, accepted("b"), run_id=RunId("b"))]) == ()

        assert proxy.connections == 2  # one broke, and one was made anew
        assert await journal.append([entry(4, produced(4))]) == ()
        assert await outputs(journal) == [2, 3, 4]
        assert await journal.verify_run(RUN) == 4
        assert await journal.verify_run(RunId("b")) == 1
        await journal.close()


async def test_cuts_at_any_moment_leave_one_unbroken_story(postgres_server: PostgresServer, postgres_url: str) -> None:
    chance = random.Random(2_026)
    with fault_proxy(postgres_server.port) as proxy:
        journal = await PostgresJournal.open(postgres_url.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
        assert await journal.append([entry(1, accepted())]) == ()
        for n in range(2, CUTS + 2):
            if chance.random() < 0.7:
                proxy.cut_after(0, chance.choice(WAYS))
            elif chance.random() < 0.5:
                proxy.cut()
            assert await journal.append([entry(n, produced(n))]) == ()
        assert proxy.connections > CUTS / 3
        assert await outputs(journal) == list(range(2, CUTS + 2))
        assert await journal.verify_run(RUN) == CUTS + 1
        await journal.close()


async def test_what_another_wrote_while_the_outcome_was_unknown_is_no_success(
    postgres_server: PostgresServer, postgres_url: str, second: PostgresJournal
) -> None:
    with fault_proxy(postgres_server.port) as proxy:
        journal = await PostgresJournal.open(postgres_url.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
        assert await journal.append([entry(1, accepted())]) == ()
        assert await second.append([entry(2, produced("of the other"))]) == ()

        proxy.cut_after(0, "to_server")
        assert await journal.append([entry(2, produced("mine"))]) == (RUN,)

        assert await outputs(journal) == ["of the other"]
        await journal.close()


async def test_a_server_that_is_killed_and_started_again_loses_nothing_acknowledged() -> None:
    server = PostgresServer().create().start()
    try:
        await anyio.to_thread.run_sync(with_tables, server)
        journal = await PostgresJournal.open(server.url(TEMPLATE))
        assert await journal.append([entry(1, accepted())]) == ()
        said: list[int] = []

        async def write() -> None:
            for n in range(2, 10_000):
                assert await journal.append([entry(n, produced(n))]) == ()
                said.append(n)
                if len(said) > 400 and kills == 2:
                    return

        kills = 0
        async with anyio.create_task_group() as group:
            group.start_soon(write)
            for _ in range(2):
                before = len(said)
                while len(said) < before + 50:  # noqa: ASYNC110 # a place in a stream of commits
                    await anyio.sleep(0.005)
                await anyio.to_thread.run_sync(server.kill)
                await anyio.to_thread.run_sync(server.start)
                kills += 1
        assert await outputs(journal) == said
        assert await journal.verify_run(RUN) == len(said) + 1
        await journal.close()
    finally:
        server.delete()


async def test_a_server_that_stays_away_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    server = PostgresServer().create().start()
    try:
        await anyio.to_thread.run_sync(with_tables, server)
        journal = await PostgresJournal.open(server.url(TEMPLATE))
        assert await journal.append([entry(1, accepted())]) == ()
        server.stop()
        monkeypatch.setattr(connecting.Pauses.__init__, "__defaults__", (0.2,))
        with pytest.raises(JournalError, match="cannot be reached"):
            await journal.append([entry(2, produced(2))])
        with pytest.raises(JournalUnreachable, match=r"cannot be reached: .*; see that it runs"):
            await PostgresJournal.open(server.url(TEMPLATE))
        assert server.password not in str(await _error(PostgresJournal.open(server.url(TEMPLATE))))
        await journal.close()
    finally:
        server.delete()


async def _error(call: object) -> Exception:
    try:
        await call  # type: ignore[misc] # an awaitable
    except JournalUnreachable as error:
        return error
    raise AssertionError("it did not fail")


async def test_a_copy_that_is_older_fences_whoever_lived_through_the_restore() -> None:
    server = PostgresServer().create().start()
    try:
        await anyio.to_thread.run_sync(with_tables, server)
        journal = await PostgresJournal.open(server.url(TEMPLATE))
        assert await journal.append([entry(1, accepted(), produced(2))]) == ()
        epoch = await journal.claim(RUN, "before")
        server.stop()
        copy = server.folder / "copy"
        server.copy(copy)
        server.start()
        assert await journal.append([entry(3, produced(3), epoch=epoch)]) == ()
        lost = await journal.claim(RUN, "lost in time")
        assert await journal.append([entry(4, produced(4), epoch=lost)]) == ()
        server.stop()
        shutil.rmtree(server.data)
        copy.rename(server.data)
        server.start()

        other = await PostgresJournal.open(server.url(TEMPLATE))
        assert await outputs(other) == [2]
        assert await journal.append([entry(5, produced(5), epoch=lost)]) == (RUN,)
        anew = await other.claim(RUN, "after")
        assert anew > lost  # an epoch of the time that is gone is never given again
        assert await other.append([entry(3, produced("again"), produced("more"), epoch=anew)]) == ()
        assert await journal.append([entry(5, produced(5), epoch=lost)]) == (RUN,)
        assert await outputs(other) == [2, "again", "more"]
        await journal.close()
        await other.close()
    finally:
        server.delete()


async def test_a_thousand_writes_of_an_owner_that_was_replaced_count_for_nothing(
    journal: PostgresJournal, second: PostgresJournal
) -> None:
    assert await journal.append([entry(1, accepted())]) == ()
    epoch = await second.claim(RUN, "heir")
    assert await second.append([entry(2, produced("heir"), epoch=epoch)]) == ()

    refused = [await journal.append([entry(n % 5 + 1, produced("zombie"))]) for n in range(ZOMBIES)]

    assert refused == [(RUN,)] * ZOMBIES
    assert await outputs(journal) == ["heir"]


async def test_of_many_that_append_the_same_number_at_once_one_wins(postgres_url: str) -> None:
    journals = [await PostgresJournal.open(postgres_url) for _ in range(4)]
    assert await journals[0].append([entry(1, accepted())]) == ()
    winners: list[int] = []
    for n in range(2, 52):
        answers = await asyncio.gather(*(j.append([entry(n, produced(k))]) for k, j in enumerate(journals)))
        (winner,) = [k for k, answer in enumerate(answers) if answer == ()]
        winners.append(winner)
    assert await outputs(journals[0]) == winners
    for journal in journals:
        await journal.close()


async def test_two_who_write_the_same_runs_in_opposite_order_both_come_through(
    journal: PostgresJournal, second: PostgresJournal
) -> None:
    names = [RunId(f"r{n}") for n in range(20)]
    assert await journal.append([entry(1, accepted(name), run_id=name) for name in names]) == ()

    for seq in range(2, 22):
        ours, theirs = await asyncio.gather(
            journal.append([entry(seq, produced(1), run_id=name) for name in names]),
            second.append([entry(seq, produced(2), run_id=name) for name in reversed(names)]),
        )
        assert {*ours} | {*theirs} == {*names}
        assert not {*ours} & {*theirs}  # each run took the one or the other
    assert {await journal.verify_run(name) for name in names} == {21}


async def test_an_idempotency_key_is_taken_once_by_processes_that_race(
    journal: PostgresJournal, second: PostgresJournal
) -> None:
    def asking(name: str, n: int) -> Append:
        return entry(1, accepted(name, key=f"key {n}"), run_id=RunId(name))

    for n in range(50):
        answers = await asyncio.gather(journal.append([asking(f"a{n}", n)]), second.append([asking(f"b{n}", n)]))
        assert sorted(map(len, answers)) == [0, 1]
    assert len(await journal.runs(RunQuery())) == 50


async def test_a_sweep_amid_appends_of_the_same_large_payload_never_takes_it_away(
    journal: PostgresJournal, second: PostgresJournal
) -> None:
    large = "large " * 20_000
    stop = False

    async def sweep() -> None:
        while not stop:
            await second.artifacts.sweep(set())

    async with anyio.create_task_group() as group:
        group.start_soon(sweep)
        for n in range(30):
            name = RunId(f"r{n}")
            assert await journal.append([entry(1, accepted(name), produced(large), ended(), run_id=name)]) == ()
            await journal.forget([RunId(f"r{n - 1}")], payloads_only=n % 2 == 0)
            assert await outputs(journal, name) == [large]
        stop = True


def _values() -> st.SearchStrategy[object]:
    odd = st.sampled_from(
        [float("nan"), float("inf"), "\ud800", "a\0b", 10**400, -(10**400), {1: 2}, b"a", {"\udfff": 1}]
    )
    sound = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    return st.recursive(
        sound | odd,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(value=_values())
async def test_every_journal_refuses_and_keeps_the_same_values(
    journal: PostgresJournal, tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    name = RunId(os.urandom(8).hex())
    others: list[Journal] = [MemoryJournal(), await SqliteJournal.open(tmp_path_factory.mktemp("j") / "journal.db")]
    said: list[object] = []
    for one in [journal, *others]:
        try:
            answer = await one.append([entry(1, accepted(name), produced(value), run_id=name)])  # type: ignore[arg-type] # the point
            said.append((answer, [r.fact for r in await one.read(name)]))
        except ValueRefused as error:
            said.append((error.args, await one.read(name)))
    for one in others:
        await one.close()
    assert said[0] == said[1] == said[2]


async def test_a_fork_another_loop_and_a_closed_journal_are_refused(
    journal: PostgresJournal, postgres_url: str
) -> None:
    pid = os.fork()
    if not pid:
        try:
            journal._server.must_be_usable()
        except JournalError as error:
            os._exit(0 if "fork" in str(error) else 1)
        os._exit(2)
    _, status = await anyio.to_thread.run_sync(os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0

    def elsewhere() -> str:
        try:
            asyncio.run(journal.read(RUN))
        except JournalError as error:
            return str(error)
        return ""

    assert "another event loop" in await anyio.to_thread.run_sync(elsewhere)


async def test_durability_is_put_back_where_a_database_has_it_off(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    database = postgres_url.rpartition("/")[2]
    await postgres_server.sql(f"ALTER DATABASE {database} SET synchronous_commit = off")
    plain = await asyncpg.connect(postgres_url)
    assert await plain.fetchval("SHOW synchronous_commit") == "off"
    await plain.close()
    journal = await PostgresJournal.open(postgres_url)
    writer = await journal._server.writer()
    assert await writer.fetchval("SHOW synchronous_commit") == "on"
    await journal.append([entry(1, accepted(), passed())])
    await journal.close()
