"""The processes under load: `orchestrator serve` on a store of its own, and the stand-in for a model."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
START_S = 60.0
STOP_S = 60.0
USERS_PER_TENANT = 500
TENANTS_MAX = 20
PLANS = {
    "reply": """
version: 1
name: reply
inputs: {text: {type: string}}
budget: {tokens: 100000, wall: 10m}
steps:
  answer:
    pool: chat
    task: "Answer ${{ inputs.text }}"
    with: {before: "${{ session.turns }}"}
result: ${{ steps.answer.output }}
""",
    "job": """
version: 1
name: job
inputs: {text: {type: string}}
budget: {tokens: 100000, wall: 10m}
steps:
  answer: {pool: chat, task: "Answer ${{ inputs.text }}"}
result: ${{ steps.answer.output }}
""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where everything is."""

    pid: int  #: of the service
    port: int
    model_port: int
    keys: tuple[str, ...]  #: one for each tenant

    def rss_bytes(self) -> int:
        """Memory of the service now."""
        return _status(self.pid, "VmRSS")

    def peak_bytes(self) -> int:
        """The most memory it has ever had."""
        return _status(self.pid, "VmHWM")

    def cpu_s(self) -> float:
        """Processor seconds of the service so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/status has no {name}")


@contextmanager
def site(folder: Path, *, users: int, latency_s: float, store: str | None) -> Iterator[Site]:
    """Start both; stop both at the end. `store` None: a new SQLite file in `folder`."""
    url = store or f"sqlite:///{folder / 'journal.db'}"
    (folder / "plans").mkdir(exist_ok=True)
    for name, text in PLANS.items():
        (folder / "plans" / f"{name}.plan.yaml").write_text(text, encoding="utf-8")
    model = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.performance.instant_endpoint", str(latency_s)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert model.stdout is not None, "it is a pipe"
    service: subprocess.Popen[bytes] | None = None
    try:
        model_port = int(model.stdout.readline())
        environment = _environment(url, model_port)
        if store is not None:
            _run(["db", "upgrade", "--store", url], environment, folder)
        keys = tuple(_key(number, environment, folder) for number in range(tenants(users)))
        log = folder / "serve.log"
        with log.open("wb") as sink:
            service = subprocess.Popen(
                [
                    *(sys.executable, "-m", "orchestrator", "serve", "--port", "0"),
                    *("--plans", str(folder / "plans"), "--pools", "benchmarks.performance.load.load_pool"),
                ],
                cwd=folder,
                env=environment,
                stdout=sink,
                stderr=sink,
            )
        port = _port(service, log)
        yield Site(pid=service.pid, port=port, model_port=model_port, keys=keys)
    finally:
        if service is not None:
            service.terminate()
            _end(service)
        if model.stdin is not None:
            model.stdin.close()
        _end(model)
        model.stdout.close()


def tenants(users: int) -> int:
    """How many tenants so many users are spread over."""
    return min(max(users // USERS_PER_TENANT, 1), TENANTS_MAX)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment(store: str, model_port: int) -> dict[str, str]:
    endpoint = {
        "base_url": f"http://127.0.0.1:{model_port}/v1",
        "api_key_env": "",
        "stream": False,
        "concurrency": 20_000,
    }
    model = {"model": "stand-in", "endpoint": "standin", "free": True}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATOR_", "OTEL_"))}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "ORCHESTRATOR_STORE": store,
        "ORCHESTRATOR_OPEN_RUNS_MAX": "20000",
        "ORCHESTRATOR_MODELS__ENDPOINTS__STANDIN": json.dumps(endpoint),
        **{f"ORCHESTRATOR_MODELS__TIERS__{tier}": json.dumps(model) for tier in ("CHEAP", "STANDARD", "STRONG")},
    }


def _run(words: list[str], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *words], cwd=folder, env=environment, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"orchestrator {' '.join(words)}: {done.stderr.decode()}")
    return done.stdout.decode()


def _key(number: int, environment: dict[str, str], folder: Path) -> str:
    """A key whose caps are out of the way: what the service itself can take is asked here."""
    caps = ["--requests-per-minute", "1000000", "--open-runs", "100000"]
    words = ["keys", "create", f"load {number}", "--tenant", f"tenant-{number}", "--scope", "read", "--scope", "run"]
    return _run([*words, *caps], environment, folder).strip()


def _port(service: subprocess.Popen[bytes], log: Path) -> int:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and service.poll() is None:
        found = re.search(r"serving at http://127\.0\.0\.1:(\d+)", log.read_text(encoding="utf-8"))
        if found is not None:
            return int(found[1])
        time.sleep(0.05)
    raise RuntimeError(f"the service does not start: {log.read_text(encoding='utf-8')}")
