"""Real parts for the tests of `ask`: a small model on this machine, and a third-party stand-in for OpenAI's servers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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
