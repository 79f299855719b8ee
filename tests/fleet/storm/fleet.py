"""The fleet that a storm hits: servers behind proxies, a service, two supervisors, eight workers, all of them real."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.fleet.storm.model import PRICE, REQUESTS_PER_MINUTE
from tests.fleet.storm.storm_pool import WITNESS
from tests.servers.postgres import TEMPLATE, PostgresServer, with_tables
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer, free_port

SUPERVISORS, WORKERS = 2, 8
POOL_NAMES = ("calculating", "publishing", "asking")
SLOTS = WORKERS * 2 * len(POOL_NAMES)  #: tasks at work at most: two of each pool at a time
TAIL_S = 1.0  #: what `appendfsync everysec` may lose
#: The file is rewritten early, and as plain commands: what stands in it is looked for byte by byte.
AOF = ("--auto-aof-rewrite-min-size", "4mb", "--aof-use-rdb-preamble", "no")
STARTS_MAX = 6  #: of Redis after a kill
POOLS = "tests.fleet.storm.storm_pool"
PLANS = Path(__file__).resolve().parent / "plans"
MODEL_KEY = "sk-proj-theKeyOfTheModelInTheStorm0123"
SERVES_S = 120.0  #: until the service must answer at its first start
NAMESPACE = "{orchestrator}"
LEFT = """
local left = 0
for _, pool in ipairs({'calculating', 'publishing', 'asking'}) do
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

#: PostgreSQL ends with the thread that started it, so these stay as long as this process does.
HANDS = ThreadPoolExecutor(3)


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

    def __init__(self, folder: Path, root: Path, *, lease_s: float, model: str, hooks: Collection[str]) -> None:
        """`model` is the address of a model that workers ask, `hooks` where webhooks may be sent: host:port."""
        self.folder = folder
        self.witness = folder / "witness"
        self.witness.touch()
        self.postgres = PostgresServer().create().start()
        with_tables(self.postgres)
        self.store = self.postgres.database(TEMPLATE)
        self.database = self.store.rpartition("/")[2]
        # The append-only file is rewritten early: a server that loads it must be back soon, on a busy machine too.
        self.redis = RedisServer("valkey", options=AOF).start()
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
            "ORCHESTRATOR_WEBHOOKS__LOOPBACK": json.dumps([*hooks]),
            "ORCHESTRATOR_SAFETY": json.dumps({"inputs": "redact", "pii": {"given": "redact", "gives": "redact"}}),
            **_asking(model),
            "PYTHONPATH": str(root),
            WITNESS: str(self.witness),
        }
        self._direct = {**environment, "ORCHESTRATOR_STORE": self.store}  #: past the proxies
        own = [sys.executable, "-m", "orchestrator"]
        pools = [word for name in POOL_NAMES for word in ("--pool", name)]
        serving = ["worker", *pools, "--concurrency", "2", "--grace", "5"]
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        door = ["serve", "--port", str(self._port), "--plans", str(PLANS), "--grace", "5"]
        self.services = [Member("service-0", [*own, *door], environment, folder / "service-0.log")]
        self.supervisors = [
            Member(f"supervisor-{n}", [*own, "supervise", "--grace", "5"], environment, folder / f"supervisor-{n}.log")
            for n in range(SUPERVISORS)
        ]
        self.workers = [
            Member(f"worker-{n}", [*own, *serving], environment, folder / f"worker-{n}.log") for n in range(WORKERS)
        ]

    @property
    def members(self) -> list[Member]:
        return [*self.services, *self.supervisors, *self.workers]

    def key(self, tenant: str) -> str:
        """A key of a tenant, as `orchestrator keys create` prints it."""
        more = [word for scope in ("read", "run", "manage") for word in ("--scope", scope)]
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", "keys", "create", tenant, "--tenant", tenant, *more,
             "--requests-per-minute", "1000000"],
            env=self._direct, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.stdout.strip()

    def start(self) -> None:
        """Start every process, and wait until the service answers."""
        for member in self.members:
            member.start()
        until_s = time.monotonic() + SERVES_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                assert time.monotonic() < until_s, (self.folder / "service-0.log").read_text()[-2_000:]
            time.sleep(0.1)

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
        now_s, path = time.monotonic(), self._tail()
        with suppress(FileNotFoundError):  # it was just written anew under another name
            if path is not None:
                self._sizes = [entry for entry in self._sizes if now_s - entry[0] < TAIL_S and entry[1] == path]
                self._sizes.append((now_s, path, path.stat().st_size))

    def _tail(self) -> Path | None:
        files = []
        for path in (self.redis.folder / "appendonlydir").glob("*.incr.aof"):
            with suppress(FileNotFoundError):
                files.append((path.stat().st_mtime, path))
        return max(files)[1] if files else None

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


def _asking(model: str) -> dict[str, str]:
    """Settings of a model that has its price and its rate, for all workers together."""
    endpoint = {"base_url": model, "api_key_env": "STORM_MODEL_KEY", "requests_per_minute": REQUESTS_PER_MINUTE}
    tier = json.dumps({"model": "m", "endpoint": "standin", "price": PRICE})
    return {
        "STORM_MODEL_KEY": MODEL_KEY,
        "ORCHESTRATOR_MODELS__ENDPOINTS__STANDIN": json.dumps(endpoint),
        "ORCHESTRATOR_MODELS__FAILURES_TO_OPEN": "1000000",
        **{f"ORCHESTRATOR_MODELS__TIERS__{name}": tier for name in ("CHEAP", "STANDARD", "STRONG")},
    }
