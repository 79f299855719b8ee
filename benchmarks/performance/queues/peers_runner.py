"""Runs one contestant: its workers, its producer, and what the machine spent on them."""

import json
import os
import select
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[2]
READY_S: Final = 30.0
SETTLE_S: Final = 1.0  #: between the word of a worker that it is there and its first fetch


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One contestant."""

    name: str
    script: str
    environment: str  #: below .venv-queues
    slots: int = 100  #: jobs at the same time, per worker
    suffix: str = ""  #: to the role: another way of the same script
    in_flight_max: int = 1_000  #: more break it
    kill_slots: int = 10  #: slots in the kill test
    tuned: bool = False  #: has a variant for the kill test with shorter leases

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return ROOT / ".venv-queues" / self.environment / "bin" / "python"


PEERS: Final = (
    Peer(name="raw", script="raw.py", environment="redis8"),
    Peer(name="raw-single", script="raw.py", environment="redis8", suffix="-single"),
    Peer(
        name="dramatiq", script="dramatiq_peer.py", environment="redis8", slots=8, kill_slots=8, in_flight_max=100,
        tuned=True,
    ),
    Peer(name="saq", script="saq_peer.py", environment="redis7", tuned=True, in_flight_max=100),
    Peer(name="arq", script="arq_peer.py", environment="redis5", tuned=True, in_flight_max=100),
    Peer(name="taskiq", script="taskiq_peer.py", environment="redis8", tuned=True, in_flight_max=100),
    Peer(name="faststream", script="faststream_peer.py", environment="redis8", in_flight_max=50, kill_slots=1),
    Peer(name="celery", script="celery_peer.py", environment="redis8", kill_slots=4, tuned=True),
    Peer(name="streaq", script="streaq_peer.py", environment="redis8", in_flight_max=60, tuned=True),
)  # fmt: skip


class Workers:
    """Worker processes of one contestant."""

    def __init__(self, peer: Peer, url: str, slots: int, environment: dict[str, str], role: str) -> None:
        self._command = [str(peer.python), peer.script, role, url, str(slots)]
        self._environment = environment
        self.processes: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        """One more, ready to work."""
        process = subprocess.Popen(
            self._command,
            cwd=HERE / "peers",
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], READY_S)
        if not readable or process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{' '.join(self._command)} did not get ready")

    def cpu_s(self) -> float:
        """CPU time of those that live."""
        return sum(cpu_of(process.pid) for process in self.processes if process.poll() is None)

    def kill(self, process: "subprocess.Popen[str]") -> None:
        """End one at once, with whatever it started."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End all of them."""
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)
            if process.stdout is not None:
                process.stdout.close()


def cpu_of(pid: int, *, waited: bool = False) -> float:
    """CPU time of a process in seconds; with `waited` also of the children it has waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    ticks = sum(int(field) for field in fields[11 : 15 if waited else 13])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def workers_of(
    peer: Peer, url: str, *, workers: int, slots: int, witness: Path | None = None, tuned: bool = False
) -> "Iterator[Workers]":
    """Workers at work, ended with the block."""
    environment = environment_of(url, witness, tuned=tuned)
    role = f"worker{peer.suffix}" + ("-tuned" if tuned else "")
    with ExitStack() as stack:
        made = Workers(peer, url, slots, environment, role)
        stack.callback(made.stop)
        for _ in range(workers):
            made.start()
        time.sleep(SETTLE_S)
        yield made


def environment_of(url: str, witness: Path | None, *, tuned: bool = False, patience_s: float = 60.0) -> dict[str, str]:
    """What a contestant's process sees."""
    return {
        **os.environ,
        "BENCH_URL": url,
        "BENCH_WITNESS": str(witness or "/dev/null"),
        "BENCH_TUNED": "1" if tuned else "",
        "BENCH_PATIENCE_S": str(patience_s),
        "PYTHONHASHSEED": "0",
    }


def producer(
    peer: Peer,
    url: str,
    kind: str,
    jobs: int,
    in_flight: int,
    *,
    witness: Path | None = None,
    tuned: bool = False,
    patience_s: float = 60.0,
) -> "subprocess.Popen[str]":
    """A producer at work."""  # fmt: skip
    role = f"producer{peer.suffix}" + ("-tuned" if tuned else "")
    return subprocess.Popen(
        [str(peer.python), peer.script, role, url, kind, str(jobs), str(in_flight)],
        cwd=HERE / "peers",
        env=environment_of(url, witness, tuned=tuned, patience_s=patience_s),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def answers_of(process: "subprocess.Popen[str]", timeout_s: float) -> dict[str, object]:
    """What a producer found, or `failure` in a few words."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return {"failure": f"took more than {timeout_s:.0f} s"}
    lines = out.strip().splitlines()
    if process.returncode or not lines:
        return {"failure": (err.strip().splitlines() or ["no word"])[-1][:300]}
    found: dict[str, object] = json.loads(lines[-1])
    return found
