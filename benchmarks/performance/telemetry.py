"""What telemetry costs a step: never imported, imported and off, on, and on with every span encoded for OTLP.

    python -m benchmarks.performance.telemetry [--steps 2000] [--rounds 7]

Each cell is a process of its own that runs wide plans of steps that return at once, on a journal in memory; the modes
take turns, so that a busy moment of the machine strikes them all. Two figures: seconds of the clock until the last run
has ended, and seconds of the processor for everything, the telling thread and its last export included. Both per step.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

import anyio

MODES: Final = ("never", "off", "on", "otlp")
BAR_US: Final = 60.0  #: that a step may cost more with telemetry on, by the processor's clock
PLAN_STEPS: Final = 500


def main() -> None:
    """Measure and print; in a child, one cell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cell", choices=MODES)
    told = parser.parse_args()
    if told.cell:
        print(json.dumps(_cell(told.cell, told.steps)))
        return
    cells: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    for number in range(told.rounds):
        for mode in MODES if number % 2 else MODES[::-1]:
            command = [sys.executable, "-m", __spec__.name if __spec__ else "benchmarks.performance.telemetry"]
            done = subprocess.run(
                [*command, "--cell", mode, "--steps", str(told.steps)], capture_output=True, text=True, check=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
            )  # fmt: skip
            cells[mode].append(json.loads(done.stdout))
    _print(cells, told.steps)


def _print(cells: dict[str, list[dict[str, float]]], steps: int) -> None:
    print(f"{steps:,} steps a cell, {len(cells['never'])} rounds; µs a step, median [least, most]")
    base = {clock: statistics.median(cell[clock] for cell in cells["never"]) for clock in ("wall", "cpu")}
    for mode in MODES:
        row = [f"{mode:<6}"]
        for clock in ("wall", "cpu"):
            found = sorted(cell[clock] for cell in cells[mode])
            middle = statistics.median(found)
            more = f"{middle - base[clock]:+7.1f}"
            row.append(f"{clock} {middle:7.1f} [{found[0]:.1f}, {found[-1]:.1f}] {more}")
        row.append(f"{cells[mode][0]['spans']:.1f} spans a step, {sum(c['lost'] for c in cells[mode]):.0f} lost")
        print("  ".join(row))
    for mode in ("on", "otlp"):
        paired = [b["cpu"] - a["cpu"] for a, b in zip(cells["never"], cells[mode], strict=True)]
        print(
            f"{mode}: {statistics.median(paired):.1f} µs of the processor a step more, in pairs; the bar is {BAR_US:g}"
        )
    noise = [b["cpu"] - a["cpu"] for a, b in zip(cells["never"], cells["off"], strict=True)]
    signs = sum(one > 0 for one in noise)
    print(f"off: {statistics.median(noise):+.1f} µs in pairs, more than never in {signs} of {len(noise)}")


def _cell(mode: str, steps: int) -> dict[str, float]:
    from orchestrator import Engine, Plan
    from workers import Pool

    pool = Pool("bench", concurrency=64)

    @pool.worker
    async def one() -> int:
        return 1

    with Plan("wide") as p:
        made: Sequence[object] = [p.step(one, id=f"s{number}") for number in range(PLAN_STEPS)]
        p.result(made[0])
    plan = p.freeze()
    telemetry = None
    if mode != "never":
        from orchestrator.adapters.otel.telemetry import Telemetry

        telemetry = Telemetry(_sink(encode=mode == "otlp")) if mode != "off" else None

    async def run() -> tuple[float, float]:
        async with Engine(pools=[pool], store="memory:", telemetry=telemetry) as engine:
            await (await engine.submit(plan)).result()  # warm
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(max(steps // PLAN_STEPS, 1)):
                await (await engine.submit(plan)).result()
            wall = time.perf_counter() - wall
        if telemetry is not None:
            telemetry.close()
        return wall, time.process_time() - cpu

    wall, cpu = anyio.run(run)
    done = max(steps // PLAN_STEPS, 1) * PLAN_STEPS
    counts = telemetry.counts if telemetry is not None else {}
    if mode == "never":
        assert not any(name.split(".")[0] == "opentelemetry" for name in sys.modules)
    return {
        "wall": wall / done * 1e6,
        "cpu": cpu / done * 1e6,
        "spans": counts.get("exported", 0) / (done + PLAN_STEPS),
        "lost": counts.get("dropped", 0) + counts.get("failed", 0) + counts.get("broken", 0),
    }


def _sink(*, encode: bool):  # type: ignore[no-untyped-def]  # of a module that is imported late
    from opentelemetry.sdk.resources import Resource

    from orchestrator.adapters.otel.encoding import Encoder
    from orchestrator.adapters.otel.encoding import encode as encoded
    from orchestrator.adapters.otel.sink import Formed, Sink
    from orchestrator.adapters.otel.span import Told

    class Nowhere(Sink):
        """Takes spans, and encodes them where that is measured too; nothing is sent."""

        def form(self, told: Told) -> Formed:
            return encoded(told) if encode else told

        def send(self, formed: Sequence[Formed], resource: Resource) -> bool:
            if encode:
                list(Encoder(resource).requests(formed))
            return True

        def shutdown(self) -> None:
            pass

    return Nowhere()


if __name__ == "__main__":
    main()
