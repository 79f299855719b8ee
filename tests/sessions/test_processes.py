"""Sessions over real processes and servers: killed, shared, restarted, out of reach."""

import contextlib
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from pydantic import ValidationError

from orchestrator.adapters.postgres.upgrade import upgrade
from orchestrator.adapters.redis import sessions as on_redis
from orchestrator.adapters.redis.sessions import RedisSessions
from orchestrator.app import Engine
from orchestrator.errors import PromiseError, SessionDamaged, SessionNotFound, SessionsUnreachable
from orchestrator.ids import TenantId
from orchestrator.settings import SessionSettings, Settings
from orchestrator.testing.sessions_contract import begun, key, said
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer, redis_server
from tests.sessions.house import ECHO, SLOW, pool

pytestmark = pytest.mark.anyio
PATIENCE_S = 60.0


@pytest.fixture
def anyio_backend() -> str:
    """Real processes and servers."""
    return "asyncio"


@contextlib.contextmanager
def victim(root: Path, store: str, sessions: str = "") -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """A process that has accepted a turn, and the run of that turn."""
    command = [sys.executable, "-m", "tests.sessions.victim", store, sessions, "second"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = ""
            while not line.startswith("accepted "):  # the log may come first
                readable, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
                line = process.stdout.readline() if readable else ""
                if not line:
                    process.kill()
                    pytest.fail(f"the process accepted nothing: {process.stderr.read() if process.stderr else ''}")
            yield process, line.split()[1]
        finally:
            process.kill()


def settings_for(store: str, sessions: str = "") -> Settings:
    return Settings(store=store, lease_s=0.5, sessions=SessionSettings(store=sessions or None))


async def check_goes_on(engine: Engine, run_id: str) -> None:
    """The turn that was accepted is there once, gets its answer once, and the conversation goes on behind it."""
    session = engine.session("s")
    before = await session.turns()
    assert [turn.content for turn in before][:3] == ["before", before[1].content, "wait"]
    again = await session.ask(SLOW, "wait", inputs={"seconds": 0.3}, idempotency_key="second")
    assert (again.run.id, again.text) == (run_id, "at last: wait")

    after = await session.ask(ECHO, "after")

    turns = await session.turns()
    assert [(turn.number, turn.content) for turn in turns[2:5]] == [
        (3, "wait"),
        (4, "at last: wait"),
        (5, "after"),
    ]
    assert turns[2].run_id == turns[3].run_id == run_id
    assert len(turns) == 6
    assert after.text == "after [5|Facts, word for word:\n- Ann pays 40]"


async def test_killed_between_a_turn_and_its_answer_the_turn_is_there_once(tmp_path: Path, root: Path) -> None:
    store = f"sqlite:///{tmp_path / 'journal.db'}"
    with victim(root, store) as (process, run_id):
        process.send_signal(signal.SIGKILL)
        process.wait()
    async with Engine(settings_for(store), pools=[pool]) as engine:
        await check_goes_on(engine, run_id)


async def test_another_process_answers_the_turn_of_one_that_was_killed(postgres_url: str, root: Path) -> None:
    with victim(root, postgres_url) as (process, run_id):
        async with Engine(settings_for(postgres_url), pools=[pool], owns="leased") as engine:
            assert (await engine.session("s").turns())[2].content == "wait"
            process.send_signal(signal.SIGKILL)
            process.wait()
            await check_goes_on(engine, run_id)


async def test_two_engines_serve_one_session_by_turns_and_at_once(postgres_url: str) -> None:
    settings = settings_for(postgres_url)
    async with Engine(settings, pools=[pool]) as one, Engine(settings, pools=[pool], recover=False) as other:
        for number, engine in enumerate([one, other, one, other]):
            answer = await engine.session("s").ask(ECHO, f"n{number}")
            assert answer.text == f"n{number} [{2 * number + 1}|]"
        texts: list[str] = []

        async def ask(engine: Engine, number: int) -> None:
            texts.append((await engine.session("s").ask(ECHO, f"m{number}")).text)

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(ask, (one, other)[number % 2], number)

        turns = await one.session("s").turns()
        assert [turn.number for turn in turns] == list(range(1, 21))
        for at in range(0, 20, 2):
            assert turns[at + 1].content == f"{turns[at].content} [{min(at + 1, 19)}|]"
        assert sorted(texts) == sorted(turn.content for turn in turns[9::2])


async def test_sessions_on_redis_serve_engines_that_share_a_database(postgres_url: str, server: RedisServer) -> None:
    settings = settings_for(postgres_url, server.url)
    async with Engine(settings, pools=[pool]) as one, Engine(settings, pools=[pool], recover=False) as other:
        started = await one.session("r").begin(SLOW, "wait", inputs={"seconds": 0.02})
        assert (await other.session("r").ask(ECHO, "next")).text == "next [3|]"
        turns = await one.session("r").turns()
        assert [turn.content for turn in turns] == ["wait", "at last: wait", "next", "next [3|]"]
        assert turns[1].run_id == started.run.id
        assert await other.session("r").delete()


async def test_a_server_that_forgot_everything_begins_the_conversation_anew(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'journal.db'}"
    with redis_server("valkey", appendonly=False) as server:
        async with Engine(settings_for(store, server.url), pools=[pool]) as engine:
            session = engine.session("s")
            await session.ask(ECHO, "before")
            started = await session.begin(SLOW, "wait", inputs={"seconds": 0.05})

            server.restart()

            assert (await started.run.result()).output == "at last: wait"  # type: ignore[union-attr]  # it succeeds
            with pytest.raises(SessionNotFound):
                await session.turns()
            assert (await session.ask(ECHO, "after")).text == "after [1|]"


async def test_a_server_that_is_away_is_an_error_and_the_run_is_unharmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_redis, "PATIENCE_S", 0.05)
    store = f"sqlite:///{tmp_path / 'journal.db'}"
    with redis_server("valkey") as server:
        async with Engine(settings_for(store, server.url), pools=[pool]) as engine:
            session = engine.session("s")
            started = await session.begin(SLOW, "wait", inputs={"seconds": 0.05})
            server.kill()

            with pytest.raises(SessionsUnreachable, match=f"the sessions at 127.0.0.1:{server.port} cannot be used"):
                await session.ask(ECHO, "x")
            assert (await started.run.result()).output == "at last: wait"  # type: ignore[union-attr]  # it succeeds

            server.start()
            turns = await session.turns()
            assert [turn.content for turn in turns] == ["wait", "at last: wait"]


async def test_what_lies_damaged_in_a_store_is_told_and_can_be_deleted(server: RedisServer) -> None:
    sessions = RedisSessions(server.url, namespace="{damaged}")
    try:
        assert await sessions.write(begun(key(), 0.0), [], None)
        name = sessions._session(key())
        await sessions._wire.call("HSET", name, "head", '{"key": 1}')
        with pytest.raises(SessionDamaged, match="session 's' cannot be read: its head is damaged"):
            await sessions.read(key(), 0.0)
        await sessions._wire.call("HSET", name, "1", "no JSON")
        with pytest.raises(SessionDamaged, match="turn 1 is damaged"):
            await sessions.turns(key(), 0)
        assert await sessions.delete(key())
    finally:
        await sessions.close()


async def test_the_server_lets_go_of_a_session_and_of_its_name_when_it_has_expired(server: RedisServer) -> None:
    sessions = RedisSessions(server.url, namespace="{expiry}")
    try:
        short = replace(begun(key("short"), 0.0), turns=1, expires_at_s=0.02)
        assert await sessions.write(short, [said(1)], None)
        assert await sessions.write(begun(key("long"), 0.0), [], None)
        with anyio.fail_after(60):
            while await sessions._wire.call("EXISTS", sessions._session(key("short"))):  # noqa: ASYNC110 # a server's clock
                await anyio.sleep(0.005)
        rows = await sessions.page(TenantId("default"), "", 10, 0.0)
        assert [row.key.id for row in rows] == ["long"]
        names = await sessions._wire.call("ZRANGE", "{expiry}:sessions:default", "0", "-1")
        assert names == [b"long"]
    finally:
        await sessions.close()


async def test_a_server_that_is_killed_amid_writes_keeps_whole_versions() -> None:
    """Heads and turns are one transaction."""
    server = PostgresServer()
    try:
        server.create().start()
        url = server.url()
        await upgrade(url)
        async with Engine(settings_for(url), pools=[pool]) as engine:
            asked = 0

            async def ask_on() -> None:
                nonlocal asked
                while asked < 12:
                    await engine.session("s").ask(ECHO, f"n{asked}")
                    asked += 1

            async with anyio.create_task_group() as group:
                group.start_soon(ask_on)
                while asked < 4:  # noqa: ASYNC110 # nobody is told of it
                    await anyio.sleep(0.005)
                server.kill()
                server.start()
            turns = await engine.session("s").turns()
            head = await engine.session("s").head()
        assert [turn.content for turn in turns[::2]] == [f"n{number}" for number in range(12)]
        assert head.turns == len(turns) == 24
    finally:
        server.delete()


@pytest.mark.parametrize("store", ["sqlite:///x", "http://x", ""])
async def test_a_store_that_keeps_no_sessions_is_refused_before_anything_starts(store: str) -> None:
    with pytest.raises(ValidationError, match="it is a server such as redis://host:6379/0; left out, sessions lie"):
        SessionSettings(store=store)


async def test_an_address_that_cannot_be_read_is_refused() -> None:
    settings = Settings(store="memory:", sessions=SessionSettings(store="redis://host:notaport/0"))
    async with Engine(settings, pools=[pool]) as engine:
        with pytest.raises(PromiseError, match="cannot be read"):
            engine.session("s")
