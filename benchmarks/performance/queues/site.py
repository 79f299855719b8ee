"""The servers of a measurement, and our processes on them.

Valkey syncs its append-only file every second, PostgreSQL every commit, both on the disk of the temporary folder.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.performance.queues.peers_runner import ROOT, SETTLE_S, cpu_of
from tests.servers.postgres import TEMPLATE, PostgresServer, with_tables
from tests.servers.redis import RedisServer

POOLS: Final = "benchmarks.performance.queues.bench_pool"
READY_S: Final = 60.0


class Site:
    """One PostgreSQL for the whole measurement, a new Valkey for each cell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = PostgresServer(Path(tempfile.mkdtemp(prefix="bench-pg-"))).create().start()
        with_tables(self.postgres)

    def close(self) -> None:
        """Both servers are gone afterwards."""
        self.postgres.delete()

    @contextmanager
    def redis(self) -> Iterator[RedisServer]:
        """A fresh server."""
        server = RedisServer("valkey").start()
        try:
            yield server
        finally:
            server.close()


class OurWorkers:
    """`orchestrator worker` processes."""

    def __init__(self, url: str, concurrency: int, witness: Path, lease_s: float, under: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", *under, "orchestrator", "worker", "--pool", "jobs"]
        self._command += ["--concurrency", str(concurrency)]
        self._environment = {
            **os.environ, "ORCHESTRATOR_TRANSPORT": url, "ORCHESTRATOR_POOLS": POOLS,
            "ORCHESTRATOR_LEASE_S": str(lease_s), "BENCH_WITNESS": str(witness), "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        self.processes: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        """One more, ready to work."""
        process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        assert process.stderr is not None
        end_s = time.monotonic() + READY_S
        for line in process.stderr:
            if "serves" in line:
                return
            if time.monotonic() > end_s:
                break
        raise RuntimeError("our worker did not get ready")

    def cpu_s(self) -> float:
        """CPU time of those that live."""
        return sum(cpu_of(process.pid) for process in self.processes if process.poll() is None)

    def kill(self, process: "subprocess.Popen[str]") -> None:
        """End one at once."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def drain(self) -> None:
        """Let all end in good order, so that they tell what they have to."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
            assert process.wait(READY_S) == 0, f"a worker ended with {process.returncode}"

    def stop(self) -> None:
        """End all."""
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)
            if process.stderr is not None:
                process.stderr.close()


@contextmanager
def our_workers(
    url: str,
    *,
    workers: int,
    concurrency: int,
    witness: Path = Path("/dev/null"),
    lease_s: float = 3.0,
    under: Sequence[str] = (),
) -> Iterator[OurWorkers]:
    """Workers at work, ended with the block; `under`: a module that runs them, with its arguments."""
    made = OurWorkers(url, concurrency, witness, lease_s, under)
    try:
        for _ in range(workers):
            made.start()
        time.sleep(SETTLE_S)
        yield made
    finally:
        made.stop()


def our_producer(
    site: Site, url: str, way: str, kind: str, jobs: int, in_flight: int, *, under: Sequence[str] = ()
) -> "subprocess.Popen[str]":
    """Our producer at work, on a database of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", *under, "benchmarks.performance.queues.ours",
         site.postgres.database(TEMPLATE), url, way, kind, str(jobs), str(in_flight)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "BENCH_WITNESS": "/dev/null"},
    )  # fmt: skip
