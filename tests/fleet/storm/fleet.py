"""The fleet that a storm hits: real servers behind proxies, two supervisors, eight workers, all of them processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.fleet.storm.storm_pool import WITNESS
from tests.servers.postgres import TEMPLATE, PostgresServer, with_tables
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer

SUPERVISORS, WORKERS = 2, 8
SLOTS = WORKERS * 2 * 2  #: tasks at work at most: two pools, two at a time
TAIL_S = 1.0  #: what `appendfsync everysec` may lose
STARTS_MAX = 6  #: of Redis after a kill
POOLS = "tests.fleet.storm.storm_pool"
NAMESPACE = "{orchestrator}"
LEFT = """
local left = 0
for _, pool in ipairs({'calculating', 'publishing'}) do
  left = left + redis.call('ZCARD', ARGV[1] .. ':delay:' .. pool)
  for lane = 1, 4 do
    local queue = ARGV[1] .. ':q:' .. pool .. ':' .. lane
    left = left + redis.call('XLEN', queue)
    for _, group in ipairs(redis.call('EXISTS', queue) == 1 and redis.call('XINFO', 'GROUPS', queue) or {}) do
      left = left + group[6]
    end
  end
end
return left
"""


class Member:
    """One process of the fleet, started again after it was killed."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.name, self._command, self._environment, self._log = name, command, environment, log
        self.process: subprocess.Popen[bytes] | None = None
        self.frozen = False
        self.starts = 0

    def start(self) -> None:
        with self._log.open("ab") as out:
            self.process = subprocess.Popen(
                self._command, env=self._environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
        self.starts += 1
        self.frozen = False

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def send(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, frozen or not."""
        self.send(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
        self.frozen = False

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        self.send(signal.SIGCONT)
        self.frozen = False


class StormFleet:
    """Servers, proxies, processes. `start`, then break what you like, then `close`."""

    def __init__(self, folder: Path, root: Path, *, lease_s: float) -> None:
        self.folder = folder
        self.witness = folder / "witness"
        self.witness.touch()
        self.postgres = PostgresServer().create().start()
        with_tables(self.postgres)
        self.store = self.postgres.database(TEMPLATE)
        self.database = self.store.rpartition("/")[2]
        # The append-only file is rewritten early: a server that loads it must be back soon, on a busy machine too.
        self.redis = RedisServer("valkey", options=("--auto-aof-rewrite-min-size", "4mb")).start()
        self._sizes: list[tuple[float, Path, int]] = []  #: of its append-only file: when, which, bytes
        self.redis_proxy = FaultProxy(self.redis.port)
        self.postgres_proxy = FaultProxy(self.postgres.port)
        environment = {
            **os.environ,
            "ORCHESTRATOR_STORE": self.postgres.url(self.database, port=self.postgres_proxy.port),
            "ORCHESTRATOR_TRANSPORT": self.redis_proxy.url,
            "ORCHESTRATOR_POOLS": POOLS,
            "ORCHESTRATOR_LEASE_S": str(lease_s),
            "ORCHESTRATOR_OPEN_RUNS_MAX": "1000",
            "PYTHONPATH": str(root),
            WITNESS: str(self.witness),
        }
        own = [sys.executable, "-m", "orchestrator"]
        serving = ["worker", "--pool", "calculating", "--pool", "publishing", "--concurrency", "2", "--grace", "5"]
        self.supervisors = [
            Member(f"supervisor-{n}", [*own, "supervise", "--grace", "5"], environment, folder / f"supervisor-{n}.log")
            for n in range(SUPERVISORS)
        ]
        self.workers = [
            Member(f"worker-{n}", [*own, *serving], environment, folder / f"worker-{n}.log") for n in range(WORKERS)
        ]

    @property
    def members(self) -> list[Member]:
        return [*self.supervisors, *self.workers]

    def start(self) -> None:
        for member in self.members:
            member.start()

    def keep_alive(self) -> None:
        """Start again what ended by itself: a process may end when a server was away at its start."""
        for member in self.members:
            if not member.frozen and not member.alive():
                member.start()

    def start_redis(self) -> None:
        """Start it; a machine under load may need more than one try to load what was written."""
        for attempt in range(STARTS_MAX):
            try:
                self.redis.start()
            except RuntimeError:
                if attempt == STARTS_MAX - 1:
                    raise
            else:
                return

    def watch_tail(self) -> None:
        """Note how long the append-only file is now."""
        path = self._tail()
        if path is not None:
            now_s = time.monotonic()
            self._sizes = [entry for entry in self._sizes if now_s - entry[0] < TAIL_S and entry[1] == path]
            self._sizes.append((now_s, path, path.stat().st_size))

    def _tail(self) -> Path | None:
        files = sorted((self.redis.folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
        return files[-1] if files else None

    def cut_tail(self, share: float) -> int:
        """Lose a share of what Redis wrote in the last second, which is what it may lose with its machine."""
        self.redis.kill()
        path, lost = self._tail(), 0
        if path is not None:
            size = path.stat().st_size
            before = min((entry[2] for entry in self._sizes if entry[1] == path), default=size)
            lost = int((size - before) * share)
            os.truncate(path, size - lost)
        self.start_redis()
        return lost

    def left(self) -> int:
        """How many tasks are held, wait or are delayed in Redis."""
        return int(self.redis.command("EVAL", LEFT, "0", NAMESPACE)[1:])

    def heal(self) -> None:
        """All faults off."""
        for member in self.members:
            if member.frozen:
                member.thaw()
        self.redis_proxy.heal()
        self.postgres_proxy.heal()
        self.keep_alive()

    def close(self) -> None:
        """End every process, gracefully where it can be had, and delete what the servers kept."""
        for member in self.members:
            member.thaw()
            member.send(signal.SIGTERM)
        until = time.monotonic() + 20
        for member in self.members:
            if member.process is not None:
                try:
                    member.process.wait(max(until - time.monotonic(), 0.1))
                except subprocess.TimeoutExpired:
                    member.kill()
        self.redis_proxy.close()
        self.postgres_proxy.close()
        self.redis.close()
        self.postgres.delete()
