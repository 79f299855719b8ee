"""A server that is killed amid new connections is gone at once, with all its processes, and can be started again."""

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from tests.servers.postgres import PostgresServer

ROUNDS = 5
CLIENTS = 3


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    made = PostgresServer(
        Path(tempfile.mkdtemp(prefix="killed-pg-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    )
    try:
        yield made.create().start()
    finally:
        made.delete()


def of(server: PostgresServer) -> list[str]:
    """What each process of a server calls itself."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                if (process / "cwd").readlink() == server.data.resolve():
                    found.append((process / "cmdline").read_text())
    return found


async def connect(url: str, enough: threading.Event) -> None:
    while not enough.is_set():
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection = await asyncpg.connect(url, timeout=5)
            await connection.close()


def test_nothing_of_a_killed_server_is_left_and_it_starts_again(server: PostgresServer) -> None:
    enough = threading.Event()
    clients = [threading.Thread(target=asyncio.run, args=[connect(server.url(), enough)]) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    left = []
    try:
        for _ in range(ROUNDS):
            assert any("postgres" in one for one in of(server)), "while it runs it is seen"
            server.kill()
            left += of(server)
            server.start()
    finally:
        enough.set()
        for client in clients:
            client.join()

    assert left == []
