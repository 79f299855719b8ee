"""Real parts for the tests of `ask`: a small model on this machine, and a third-party stand-in for OpenAI's servers."""

import importlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ask.stand_in import StandIn, stand_in
from tests.cli.conftest import shell

__all__ = ["shell"]  # the command in a folder of its own

# What asking a model imports, here once for all forks: most of what a call costs.
for _name in (
    "genai_prices", "openai.resources.chat.completions", "orchestrator.adapters.openai.endpoint",
    "orchestrator.adapters.memory.limiter", "orchestrator.adapters.prices", "orchestrator.models.opening",
    "orchestrator.supervisor.agent", "workers.agent", "workers.kinds.analyst", "workers.kinds.critic",
    "workers.kinds.data", "workers.kinds.research", "workers.kinds.writer", "workers.kinds.verifiers",
    "workers.kinds.report", "workers.kinds.findings", "workers.kinds.packages",
):  # fmt: skip
    importlib.import_module(_name)

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = Path(__file__).with_name("fixtures")
LISTEN_S = 30.0  #: for node on a busy machine


def ensured(command: list[str], what: str) -> Path:
    """What a tool prints; where it cannot be had the test is skipped aloud, and in CI it fails."""
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        outcome = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        outcome(f"no {what}: {found.stderr.strip()}")
    return Path(found.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """Weights of a real small model."""
    return ensured([sys.executable, "tools/ensure-local-model.py", "smollm2"], "SmolLM2")


@pytest.fixture(scope="session")
def llmock() -> Path:
    """The command of a third-party stand-in for OpenAI-compatible servers."""
    return ensured(["tools/ensure-aimock.sh"], "aimock")


@dataclass
class Mock:
    """A server of answers, whichever it is."""

    url: str
    own: StandIn | None = None  #: None: aimock


@contextmanager
def aimock(command: Path, fixtures: Path) -> Iterator[Mock]:
    """The third-party stand-in on a free port, with one file of fixtures."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--port", str(port), "--fixtures", str(fixtures), "--validate-on-load", "--strict"]
    child = subprocess.Popen([command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until_it_listens(port, child)
        yield Mock(f"http://127.0.0.1:{port}/v1")
    finally:
        child.kill()
        child.wait()


def _until_it_listens(port: int, child: "subprocess.Popen[bytes]") -> None:
    end_s = time.monotonic() + LISTEN_S
    while child.poll() is None and time.monotonic() < end_s:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail("aimock does not listen")


@pytest.fixture
def own() -> Iterator[StandIn]:
    """Our own stand-in with the fixtures of the transcript."""
    with stand_in(FIXTURES / "crash.json") as made:
        yield made


def environment(url: str) -> dict[str, str]:
    """What `ask` is told of an endpoint, and where the documents are."""
    tiers = {"cheap": "gpt-5-nano", "standard": "gpt-5-mini", "strong": "gpt-5"}
    models = {"endpoints": {"default": {"provider": "openai"}}, "tiers": tiers}
    return {
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": "sk-stand-in",
        "ORCHESTRATOR_MODELS": json.dumps(models),
        "ORCHESTRATOR_POOLS": "workers.kinds",
        "ORCHESTRATOR_DOCUMENTS": str(ROOT / "docs"),
        "NO_COLOR": "1",
        "COLUMNS": "120",
    }


def with_variable(name: str, value: str) -> list[int]:
    """Processes that were started with a variable of this value."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{name}={value}".encode() in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found
