"""Section startup: wall time of `orchestrator --help` and of imports, beside a bare interpreter."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.performance.cell import Job
from benchmarks.performance.report import Report, at_most, ratio, table
from benchmarks.performance.runner import ROOT, Options, Series, environment

REPS, QUICK_REPS = 11, 2
TIMEOUT_S = 60.0
MOST_HELP_MS = 200.0
BARE, FLOOR, HELP = "python -c pass", "import anyio, its backend, pydantic", "orchestrator --help"
IMPORTS = {
    BARE: "pass",
    FLOOR: "import anyio, anyio._backends._asyncio, pydantic",
    "import orchestrator": "import orchestrator",
    "from orchestrator import Engine, Plan": "from orchestrator import Engine, Plan",
    "pydantic-graph": "from pydantic_graph import GraphBuilder",
    "llamaindex workflows": "from workflows import Workflow",
    "dbos": "from dbos import DBOS",
    "langgraph": "from langgraph.graph import StateGraph",
}
PEERS = ("pydantic-graph", "llamaindex workflows", "dbos", "langgraph")


def run(options: Options) -> Report:
    """Measure each command in turn, the first round unrecorded (it may write byte code)."""
    report = Report(title="startup: wall ms of a fresh process, median")
    commands = {name: [sys.executable, "-c", code] for name, code in IMPORTS.items()}
    commands[HELP] = [str(Path(sys.executable).with_name("orchestrator")), "--help"]
    series = {name: Series(contestant=name, job=Job(measure="startup")) for name in commands}
    for repetition in range(1 + (QUICK_REPS if options.quick else REPS)):
        for name, command in commands.items():
            if series[name].reason:
                continue
            took_s, problem = _time(command)
            if problem and name in PEERS and "No module named" in problem:
                series[name].unsupported = problem
            elif problem:
                series[name].failure = problem
            elif repetition:
                series[name].facts.append({"wall_s": took_s})
    report.series = list(series.values())
    bare_s = series[BARE].median("wall_s") if series[BARE].ok else None
    floor_s = series[FLOOR].median("wall_s") if series[FLOOR].ok else None
    rows = []
    for name, one in series.items():
        if one.ok:
            wall_s = one.median("wall_s")
            rows.append([name, f"{wall_s * 1e3:,.0f}", ratio(wall_s, bare_s), ratio(wall_s, floor_s), ""])
        else:
            rows.append([name, "-", "-", "-", one.reason])
    report.tables.append(table(["", "ms", "/ bare python", "/ anyio + pydantic", "note"], rows))
    if series[HELP].ok and not options.quick:
        report.verdicts.append(at_most(HELP, series[HELP].median("wall_s") * 1e3, MOST_HELP_MS, " ms", 0))
    return report


def _time(command: list[str]) -> tuple[float, str]:
    """Seconds of one run, and what went wrong, if anything."""
    began_s = time.perf_counter()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        return 0.0, f"{Path(command[0]).name} is not installed beside this interpreter"
    except subprocess.TimeoutExpired:
        return 0.0, f"took more than {TIMEOUT_S:.0f} s"
    took_s = time.perf_counter() - began_s
    if done.returncode:
        return took_s, (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:200]
    return took_s, ""
