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
START_S = 180.0  #: for a process on a busy machine
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
    pool: POOL
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
  answer: {pool: POOL, task: "Answer ${{ inputs.text }}"MODEL}
result: ${{ steps.answer.output }}
""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where everything is."""

    pids: tuple[int, ...]  #: of what was started, without the stand-in
    ports: tuple[int, ...]  #: of the services; users are spread over them
    model_port: int
    keys: tuple[str, ...]  #: one for each tenant

    def rss_bytes(self) -> int:
        """Memory of all processes now."""
        return sum(_status(pid, "VmRSS") for pid in self.family())

    def peak_bytes(self) -> int:
        """The most memory that each process has ever had, together."""
        return sum(_status(pid, "VmHWM") for pid in self.family())

    def cpu_s(self) -> float:
        """Processor seconds of all processes so far."""
        return sum(_cpu_s(pid) for pid in self.family())

    def family(self) -> list[int]:
        """What was started and everything below it."""
        found = [*self.pids]
        for pid in found:
            children = Path(f"/proc/{pid}/task/{pid}/children")
            if children.exists():
                found += map(int, children.read_text(encoding="utf-8").split())
        return found


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int, name: str) -> int:
    """In bytes; 0 of a process that is over."""
    try:
        told = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in told.splitlines() if line.startswith(f"{name}:")), 0)


@contextmanager
def site(
    folder: Path, *, users: int, latency_s: float, store: str | None, at_once: int | None = None
) -> Iterator[Site]:
    """Start both; stop both at the end. `store` None: a new SQLite file in `folder`."""
    url = store or f"sqlite:///{folder / 'journal.db'}"
    write_plans(folder, "chat")
    with model_of(latency_s) as model_port:
        environment = _environment(url, model_port)
        if at_once is not None:
            environment["ORCHESTRATOR_REQUESTS_AT_ONCE"] = str(at_once)
        if store is not None:
            run(["db", "upgrade", "--store", url], environment, folder)
        keys = keys_of(tenants(users), environment, folder)
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
        try:
            yield Site(pids=(service.pid,), ports=(_port(service, log),), model_port=model_port, keys=keys)
        finally:
            service.terminate()
            ended(service)


@contextmanager
def model_of(latency_s: float) -> Iterator[int]:
    """The stand-in of a model, which answers after so many seconds; its port."""
    model = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.performance.instant_endpoint", str(latency_s)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert model.stdout is not None, "it is a pipe"
    assert model.stdin is not None, "it is a pipe"
    try:
        yield int(model.stdout.readline())
    finally:
        model.stdin.close()
        ended(model)
        model.stdout.close()


def write_plans(folder: Path, pool: str, tier: str | None = None) -> None:
    """The plans of the load, whose steps go to a pool; those of jobs begin at a tier, where one is named."""
    (folder / "plans").mkdir(exist_ok=True)
    model = "" if tier is None else f", model: {{tier: {tier}}}"
    for name, text in PLANS.items():
        written = text.replace("POOL", pool).replace("MODEL", model)
        (folder / "plans" / f"{name}.plan.yaml").write_text(written, encoding="utf-8")


def tenants(users: int) -> int:
    """How many tenants so many users are spread over."""
    return min(max(users // USERS_PER_TENANT, 1), TENANTS_MAX)


def ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process that was asked to go; kill it where it does not."""
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


def run(words: list[str], environment: dict[str, str], folder: Path) -> str:
    """What a command of the product prints.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *words], cwd=folder, env=environment, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"orchestrator {' '.join(words)}: {done.stderr.decode()}")
    return done.stdout.decode()


def keys_of(count: int, environment: dict[str, str], folder: Path) -> tuple[str, ...]:
    """A key for each tenant, whose caps are out of the way: what the service itself can take is asked here."""
    caps = ["--requests-per-minute", "1000000", "--open-runs", "100000", "--scope", "read", "--scope", "run"]
    return tuple(
        run(["keys", "create", f"load {number}", "--tenant", f"tenant-{number}", *caps], environment, folder).strip()
        for number in range(count)
    )


def log_text(path: Path) -> str:
    """What a process has said."""
    return path.read_text(encoding="utf-8", errors="replace")


def _port(service: subprocess.Popen[bytes], log: Path) -> int:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and service.poll() is None:
        found = re.search(r"serving at http://127\.0\.0\.1:(\d+)", log_text(log))
        if found is not None:
            return int(found[1])
        time.sleep(0.05)
    raise RuntimeError(f"the service does not start: {log_text(log)}")
