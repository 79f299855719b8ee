"""`orchestrator serve` as a process of its own, the way users start it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.service.http.house import PLANS

ROOT = Path(__file__).resolve().parents[3]
COMMAND = Path(sys.executable).parent / "orchestrator"
POOLS = "tests.service.http.served_pools"
WAIT_S = 120.0  #: for a process on a busy machine
EFFECT = """
version: 1
name: effect
inputs: {text: {type: string}}
steps:
  first: {pool: desk, call: note, with: {text: "${{ inputs.text }}"}}
  mark:
    pool: desk
    call: witness
    with: {text: "${{ steps.first.output }}"}
    effect: {key: "${{ inputs.text }}", on_unknown: retry}
result: ${{ steps.mark.output }}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@dataclass
class Shop:
    """A folder with plans and a store, in which services are started."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    running: list[subprocess.Popen] = field(default_factory=list)
    logs: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATOR_", "OTEL_"))}
        for name in ("DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY"):
            kept.pop(name, None)
        return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "ORCHESTRATOR_POOLS": POOLS, **self.env}

    def command(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [COMMAND, *words], cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=WAIT_S,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert code is None or done.returncode == code, done.stderr
        return done

    def key(self, name: str = "ada", *more: str) -> str:
        return self.command("keys", "create", name, *more).stdout.strip()

    def start(self, *words: str) -> subprocess.Popen:
        """Start a command that goes on; what it says is in `log-N`."""
        self.logs += 1
        with (self.folder / f"log-{self.logs}").open("wb") as out:
            child = subprocess.Popen(
                [COMMAND, *words], cwd=self.folder, env=self.environment(), stdout=out, stderr=out,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.running.append(child)
        return child

    def serve(self, *more: str) -> subprocess.Popen:
        """Start the service and wait until it serves."""
        child = self.start("serve", "--port", str(self.port), "--plans", "plans", *more)
        self.until_said(self.logs, r"serving at http", child)
        return child

    def said(self) -> str:
        return "".join((self.folder / f"log-{number}").read_text() for number in range(1, self.logs + 1))

    def until_said(self, log: int, pattern: str, child: subprocess.Popen) -> None:
        end_s = time.monotonic() + WAIT_S
        path = self.folder / f"log-{log}"
        while not re.search(pattern, path.read_text()):
            assert time.monotonic() < end_s, f"never said {pattern}: {path.read_text()}"
            assert child.poll() is None, path.read_text()
            time.sleep(0.02)


@contextmanager
def shop(folder: Path, **env: str) -> Iterator[Shop]:
    """A shop whose processes do not outlive the block."""
    made = Shop(folder, env)
    (folder / "plans").mkdir()
    for name, text in {**PLANS, "effect": EFFECT}.items():
        (folder / "plans" / f"{name}.plan.yaml").write_text(text)
    try:
        yield made
    finally:
        for child in made.running:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.wait()
