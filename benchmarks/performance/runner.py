"""The parent's side of a measurement: a fresh process per job, contestants interleaved, medians over repetitions."""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.performance.cell import Job
from benchmarks.performance.registry import Contestant

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "benchmarks.performance.contestants"
TIMEOUT_S = 240.0  #: a job that takes longer is reported as such and not repeated
OWN_MODULES = ("orchestrator", "workers", "benchmarks")  #: a failing import of these is a failure, not a missing peer
NO_MODULE = "No module named '"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asked for."""

    sections: tuple[str, ...]
    shapes: tuple[str, ...]
    contestants: tuple[str, ...]
    quick: bool
    reps: int
    cell_budget_s: float  #: a cell is not repeated further once its repetitions took this long together
    scratch: Path  #: where databases are written


@dataclass(slots=True, kw_only=True)
class Series:
    """All repetitions of one cell of a table."""

    contestant: str
    job: Job
    note: str = ""  #: printed behind the row, such as a reduced size
    facts: list[dict[str, object]] = field(default_factory=list)
    unsupported: str = ""
    failure: str = ""
    spent_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether at least one repetition was measured and none failed."""
        return bool(self.facts) and not self.failure

    @property
    def reason(self) -> str:
        """Why there is no figure."""
        return self.failure or self.unsupported

    def median(self, key: str) -> float:
        """Median of the fact `key` over the repetitions.

        Raises:
            KeyError: no repetition was measured, or it has no such fact.
        """
        if not self.facts:
            raise KeyError(f"{self.contestant}: nothing measured ({self.reason})")
        return statistics.median(number(facts[key]) for facts in self.facts)

    def as_json(self) -> dict[str, object]:
        """Everything, for the results file."""
        return {
            "contestant": self.contestant,
            "job": dict(self.job),
            "note": self.note,
            "repetitions": self.facts,
            "unsupported": self.unsupported,
            "failure": self.failure,
        }


def number(value: object) -> float:
    """`value` as a float.

    Raises:
        TypeError: it is not a number.
    """
    if not isinstance(value, (int, float)):
        raise TypeError(f"expected a number in a measurement, got {value!r}")
    return float(value)


def environment() -> dict[str, str]:
    """The child's environment: no telemetry, a fixed hash seed."""
    quiet = {"PYTHONHASHSEED": "0", "LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false", "NO_COLOR": "1"}
    return {**os.environ, **quiet}


def run_once(contestant: Contestant, job: Job, scratch: Path) -> dict[str, object]:
    """One job in a fresh process: its facts, or `unsupported`, or `failure` with the last line of its error."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=scratch) as directory:
        sent: Job = {**job, "variant": job.get("variant", contestant.variant)}
        if job["measure"] in ("durable", "repeat"):
            sent["directory"] = directory
        command = [sys.executable, "-m", f"{PACKAGE}.{contestant.module}", json.dumps(sent)]
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = child.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            return {"unsupported": f"took more than {TIMEOUT_S:.0f} s"}
    return _answer(child.returncode, out, err)


def _answer(code: int, out: str, err: str) -> dict[str, object]:
    lines = out.strip().splitlines()
    if code == 0 and lines and lines[-1].startswith("{"):
        parsed: dict[str, object] = json.loads(lines[-1])
        return parsed
    last = err.strip().splitlines()[-1] if err.strip() else f"exit {code} without a word"
    if NO_MODULE in last:
        missing = last.split(NO_MODULE, 1)[1].split("'", 1)[0]
        if missing.partition(".")[0] not in OWN_MODULES:
            return {"unsupported": f"{missing} is not installed (extra: bench)"}
    return {"failure": f"exit {code}: {last[:300]}"}


def measure_all(wanted: Sequence[tuple[Contestant, Job, str]], options: Options) -> list[Series]:
    """Measure every (contestant, job, note), one repetition of each in turn, `options.reps` times."""
    series = [Series(contestant=who.name, job=job, note=note) for who, job, note in wanted]
    for _ in range(options.reps):
        for (who, job, _note), into in zip(wanted, series, strict=True):
            if into.reason or (into.facts and into.spent_s > options.cell_budget_s):
                continue
            began_s = time.monotonic()
            facts = run_once(who, job, options.scratch)
            into.spent_s += time.monotonic() - began_s
            if "unsupported" in facts:
                into.unsupported = str(facts["unsupported"])
            elif "failure" in facts:
                into.failure = str(facts["failure"])
                progress(f"{who.name} {describe(job)}: {into.failure}")
            else:
                into.facts.append(facts)
    return series


def describe(job: Mapping[str, object]) -> str:
    """A job in a few words."""
    return " ".join(str(job[key]) for key in ("measure", "shape", "size", "runs") if key in job)


def progress(line: str) -> None:
    """Say on stderr what is being done."""
    print(line, file=sys.stderr, flush=True)
