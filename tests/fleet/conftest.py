"""Real servers and processes for the tests of a fleet."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.postgres import TEMPLATE, PostgresServer, shared_server
from tests.servers.redis import RedisServer

PATIENCE_S = 120.0  #: a process that has not done it by then never will


class Site:
    """Servers of a test's own, and commands on them."""

    def __init__(self, folder: Path, root: Path, postgres: PostgresServer, redis: RedisServer) -> None:
        self.folder, self.root, self.redis = folder, root, redis
        self.store = postgres.database(TEMPLATE)
        self.witness = folder / "witness"
        self.witness.touch()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")},
            "ORCHESTRATOR_STORE": self.store,
            "ORCHESTRATOR_TRANSPORT": redis.url,
            "ORCHESTRATOR_POOLS": "tests.fleet.fleet_pools",
            "ORCHESTRATOR_LEASE_S": "3",
            "FLEET_WITNESS": str(self.witness),
            "PYTHONPATH": str(root),
            "NO_COLOR": "1",
        }
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, *words: str, log: str, **environment: str) -> "subprocess.Popen[str]":
        """A command that runs until it is ended; what it says is in the file `log`."""
        with (self.folder / log).open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator", *words], cwd=self.folder, stdout=out, stderr=out,
                env={**self.environment, **environment}, text=True,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def run(self, *words: str, code: int = 0, **environment: str) -> "subprocess.CompletedProcess[str]":
        """A command that ends by itself."""
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *words], cwd=self.folder, capture_output=True, text=True,
            timeout=PATIENCE_S, check=False, env={**self.environment, **environment},
        )  # fmt: skip
        assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def said(self, log: str) -> str:
        path = self.folder / log
        return path.read_text() if path.exists() else ""

    def until(self, what: str, log: str, times: int = 1) -> str:
        """Wait until a log says it so often; return the log."""
        end_s = time.monotonic() + PATIENCE_S
        while self.said(log).count(what) < times:
            assert time.monotonic() < end_s, f"{log} never said {what!r} {times} times:\n{self.said(log)}"
            time.sleep(0.05)
        return self.said(log)

    def lines(self, word: str) -> list[list[str]]:
        """What the witness saw: [time, word, task, process]."""
        return [parts for line in self.witness.read_text().splitlines() if (parts := line.split())[1] == word]

    def plan(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.plan.yaml"
        path.write_text(text)
        return path

    def inputs(self, **values: object) -> str:
        path = self.folder / "inputs.json"
        path.write_text(json.dumps(values))
        return str(path)

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def site(tmp_path: Path, root: Path) -> Iterator[Site]:
    """A PostgreSQL database and a Valkey server of this test alone."""
    redis = RedisServer("valkey").start()
    made = Site(tmp_path, root, shared_server(), redis)
    try:
        yield made
    finally:
        made.close()
        redis.close()
