"""Queues beside ours: `python -m benchmarks.performance.queues [--sections …] [--quick]`.

Needs the development environment and those of the contestants (environments.sh). Exit codes: 0 measured, 1 something
of ours failed, 3 with --strict: a target was missed.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.performance.queues.profile import profile
from benchmarks.performance.queues.scale import scale
from benchmarks.performance.queues.sections import Options, Section, growing, killed_worker, round_trips, throughput
from benchmarks.performance.queues.site import Site

SECTIONS: Final[dict[str, Callable[[Site, Options], Section]]] = {
    "throughput": throughput,
    "round_trips": round_trips,
    "killed_worker": killed_worker,
    "growing": growing,
    "scale": scale,
    "profile": profile,
}


def main() -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description="Queues beside ours, in one run on one machine.")
    parser.add_argument("--sections", nargs="*", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--contestants", nargs="*", default=[])
    parser.add_argument("--jobs", type=int, default=4_000)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--scale-runs", type=int, default=0, help="default: 10,000, or 200 with --quick")
    parser.add_argument("--quick", action="store_true", help="reduced sizes, to see that it works")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("bench-output/queues.json"))
    given = parser.parse_args()
    signal.signal(
        signal.SIGTERM, lambda number, _: sys.exit(128 + number)
    )  # so that the contestants' processes end too
    document: dict[str, object] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "load_at_start": os.getloadavg(),
    }
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()}", flush=True)
    missed = broken = 0
    with tempfile.TemporaryDirectory(prefix="bench-queues-") as folder:
        options = Options(
            jobs=400 if given.quick else given.jobs, reps=1 if given.quick else given.reps,
            contestants=tuple(given.contestants), folder=Path(folder),
            scale_runs=given.scale_runs or (200 if given.quick else 10_000), kill_wait_s=30.0 if given.quick else 60.0,
        )  # fmt: skip
        site = Site(Path(folder))
        try:
            for name in given.sections:
                began_s = time.monotonic()
                section = SECTIONS[name](site, options)
                print(f"\n## {section.title}\n\n{section.table}\n", flush=True)
                for verdict in section.verdicts:
                    print(verdict.line(), flush=True)
                print(f"({time.monotonic() - began_s:.0f} s, load {os.getloadavg()[0]:.1f})", flush=True)
                missed += sum(not verdict.met for verdict in section.verdicts)
                ours = [
                    facts for who, all_facts in section.facts.items() if who.startswith("ours") for facts in all_facts
                ]
                broken += sum("failure" in facts for facts in ours)
                document[name] = {"title": section.title, "cells": section.facts}
        finally:
            site.close()
    document["load_at_end"] = os.getloadavg()
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(document, indent=1))
    return 1 if broken else 3 if missed and given.strict else 0


if __name__ == "__main__":
    raise SystemExit(main())
