"""Command line: run the sections asked for, print their tables and verdicts, write one results file.

Exit code: 0 every section ran (a missed target is printed, it is not a failure), 1 a section or a cell failed,
2 usage, 3 with `--strict` where a target was missed.
"""

import argparse
import json
import os
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks.performance import machine
from benchmarks.performance.registry import CONTESTANTS, known
from benchmarks.performance.report import Report
from benchmarks.performance.runner import ROOT, Options, progress
from benchmarks.performance.sections import durable, eager, gateway, growth, memory, postgres, sessions, startup, steps
from benchmarks.performance.shapes import SHAPES

SECTIONS: dict[str, Callable[[Options], Report]] = {
    "steps": steps.run,
    "growth": growth.run,
    "memory": memory.run,
    "durable": durable.run,
    "sessions": sessions.run,
    "eager": eager.run,
    "startup": startup.run,
    "gateway": gateway.run,
    "postgres": postgres.run,
}
OUTPUT = ROOT / "benchmarks" / "results" / "performance.json"
REPS, CELL_BUDGET_S = 5, 60.0
QUICK_REPS, QUICK_CELL_BUDGET_S = 2, 5.0


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(prog="python -m benchmarks.performance", description=__doc__)
    found.add_argument(
        "--only",
        action="append",
        default=[],
        choices=[*SECTIONS, *SHAPES],
        help="a section, or a shape (then section steps on that shape alone); repeatable",
    )
    found.add_argument("--quick", action="store_true", help="reduced sizes; targets are not judged")
    found.add_argument("--contestants", default="", help="comma-separated names or prefixes; default: all")
    found.add_argument("--reps", type=int, default=0, help=f"repetitions per cell, default {REPS}")
    found.add_argument("--scratch", type=Path, help="directory for databases, default: the system's temporary one")
    found.add_argument("--output", type=Path, default=OUTPUT, help="results file")
    found.add_argument("--strict", action="store_true", help="exit 3 where a target is missed")
    return found


def main() -> int:
    """Run and report; the exit code."""
    arguments = parser().parse_args()
    names = tuple(name for name in arguments.contestants.split(",") if name)
    for name in names:
        if not known(name):
            parser().error(f"no contestant {name!r}; known: {', '.join(sorted({c.name for c in CONTESTANTS}))}")
    asked_shapes = tuple(name for name in arguments.only if name in SHAPES)
    asked = tuple(name for name in arguments.only if name in SECTIONS)
    sections = asked or (() if asked_shapes else tuple(SECTIONS))
    if asked_shapes and "steps" not in sections:
        sections = ("steps", *sections)
    options = Options(
        sections=sections,
        shapes=asked_shapes or tuple(SHAPES),
        contestants=names,
        quick=arguments.quick,
        reps=arguments.reps or (QUICK_REPS if arguments.quick else REPS),
        cell_budget_s=QUICK_CELL_BUDGET_S if arguments.quick else CELL_BUDGET_S,
        scratch=arguments.scratch or Path(tempfile.gettempdir()),
    )
    distributions = sorted({contestant.distribution for contestant in CONTESTANTS if contestant.distribution})
    facts = machine.facts(options.scratch, [*distributions, "pydantic"])
    print("machine\n" + machine.text(facts) + f"\n  repetitions: {options.reps}, quick: {options.quick}\n", flush=True)

    began_s = time.monotonic()
    reports: dict[str, Report] = {}
    broken: dict[str, str] = {}
    for name in sections:
        progress(f"… {name}")
        try:
            reports[name] = SECTIONS[name](options)
        except Exception:  # noqa: BLE001 # a section must not take the others along; the exit code tells of it
            broken[name] = traceback.format_exc()
            print(f"## {name}: FAILED\n{broken[name]}", flush=True)
            continue
        show(reports[name])
    facts["load_at_end"] = os.getloadavg()
    took_s = time.monotonic() - began_s
    write(arguments.output, facts, options, reports, broken)
    return conclude(reports, broken, took_s, facts, arguments.strict)


def show(report: Report) -> None:
    """Print one section."""
    lines = [*(verdict.line() for verdict in report.verdicts), *(f"FAILED  {failure}" for failure in report.failures())]
    print("\n\n".join([f"## {report.title}", *report.tables, "\n".join(lines)]).rstrip() + "\n", flush=True)


def write(
    path: Path, facts: dict[str, object], options: Options, reports: dict[str, Report], broken: dict[str, str]
) -> None:
    """Write everything that was measured, every repetition included."""
    document = {
        "machine": facts,
        "options": {"quick": options.quick, "repetitions": options.reps, "contestants": options.contestants},
        "sections": {
            name: {
                "title": report.title,
                "figures": report.figures,
                "verdicts": [
                    {"target": v.target, "measured": v.measured, "met": v.met, "miss": "" if v.met else v.miss}
                    for v in report.verdicts
                ],
                "cells": [series.as_json() for series in report.series],
            }
            for name, report in reports.items()
        },
        "broken": broken,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")


def conclude(
    reports: dict[str, Report], broken: dict[str, str], took_s: float, facts: dict[str, object], strict: bool
) -> int:
    """Print the summary; the exit code."""
    verdicts = [verdict for report in reports.values() for verdict in report.verdicts]
    failures = [failure for report in reports.values() for failure in report.failures()]
    missed = [verdict for verdict in verdicts if not verdict.met]
    print(f"## summary: {len(verdicts) - len(missed)} of {len(verdicts)} targets met, {took_s:.0f} s, ", end="")
    print(f"load {facts['load_at_start']} to {facts['load_at_end']}")
    print("\n".join([*(verdict.line() for verdict in missed), *(f"FAILED  {failure}" for failure in failures)]))
    if broken or failures:
        return 1
    return 3 if strict and missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
