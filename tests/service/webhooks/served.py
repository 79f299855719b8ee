"""A real `orchestrator serve` on a SQLite file, to be killed and started again; and pools and plans for it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from workers import Pool

ROOT = Path(__file__).resolve().parents[3]
START_S = 60.0
desk = Pool("desk", concurrency=16)
PLANS = {
    "note": """
version: 1
name: note
inputs: {text: {type: string, default: done}}
steps:
  one: {pool: desk, call: note, with: {text: "${{ inputs.text }}"}}
result: ${{ steps.one.output }}
""",
}


@desk.worker
async def note(text: str) -> str:
    """What it was given."""
    return text


class Served:
    """One process after another on one store."""

    def __init__(self, folder: Path, *, loopback: Sequence[str] = (), pools: str = __name__) -> None:
        self.folder, self._loopback, self._pools = folder, loopback, pools
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "plans").mkdir(exist_ok=True)
        for name, text in PLANS.items():
            (folder / "plans" / f"{name}.plan.yaml").write_text(text)

    @property
    def said(self) -> str:
        """All that its processes wrote."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def start(self) -> str:
        """Start a process; return its address."""
        log = self.folder / f"{time.monotonic_ns()}.log"
        receivers = ", ".join(f'"{one}"' for one in self._loopback)
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "orchestrator", "serve", "--port", "0", "--no-keys"),
                    *("--plans", str(self.folder / "plans"), "--pools", self._pools),
                    *("--store", f"sqlite:///{self.folder / 'journal.db'}"),
                ],
                cwd=self.folder,
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")},
                    "PYTHONPATH": str(ROOT),
                    "ORCHESTRATOR_WEBHOOKS__LOOPBACK": f"[{receivers}]",
                },
                stdout=sink,
                stderr=sink,
            )
        until_s = time.monotonic() + START_S
        while time.monotonic() < until_s and self._process.poll() is None:
            found = re.search(r"serving at (http://\S+)", log.read_text())
            if found is not None:
                return found[1]
            time.sleep(0.02)
        raise AssertionError(f"it does not serve: {log.read_text()}")

    def kill(self) -> None:
        """The process is gone, from one instruction to the next."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """Ask it to go, if there is one."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None
