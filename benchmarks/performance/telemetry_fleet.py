"""What telemetry costs a fleet: jobs a second with two workers, without and with spans sent to a collector.

    python -m benchmarks.performance.telemetry_fleet [--jobs 2000] [--rounds 5] [--kind quick|slow]

PostgreSQL, Valkey, the supervisor and two workers are processes of their own, and so is the collector, which reads what
it is sent and throws it away. `quick` jobs do nothing, so that all there is to slow down is the fleet itself; `slow`
ones take 200 ms each, as a short call of a model does. The two modes take turns. The processor time of supervisor and
workers is told beside the rate: on a busy machine it says more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from benchmarks.performance.queues.site import Site, our_producer, our_workers

WORKERS: Final = 2
CONCURRENCY: Final = 100
IN_FLIGHT: Final = 200
ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


def main() -> None:
    """Measure and print; in a child, collect."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kind", choices=("quick", "slow"), default="quick")
    parser.add_argument("--collect", action="store_true")
    told = parser.parse_args()
    if told.collect:
        _collect()
        return
    site = Site(Path(tempfile.mkdtemp(prefix="bench-telemetry-")))
    found: dict[str, list[tuple[float, float]]] = {"off": [], "on": []}
    try:
        with _collector() as url:
            _measure(site, told.kind, told.jobs, "off", url)  # warm
            for number in range(told.rounds):
                for mode in ("off", "on") if number % 2 else ("on", "off"):
                    found[mode].append(_measure(site, told.kind, told.jobs, mode, url))
    finally:
        site.close()
    print(f"{told.jobs:,} {told.kind} jobs, {WORKERS} workers, {told.rounds} rounds; median [least, most]")
    for mode, cells in found.items():
        rates, costs = zip(*cells, strict=True)
        print(
            f"{mode:<4} {statistics.median(rates):8.1f} jobs/s [{min(rates):.1f}, {max(rates):.1f}]"
            f"  {statistics.median(costs):8.0f} µs of the processor a job [{min(costs):.0f}, {max(costs):.0f}]"
        )
    pairs = list(zip(found["off"], found["on"], strict=True))
    slower = sorted(1 - on[0] / off[0] for off, on in pairs)
    dearer = sorted(on[1] / off[1] - 1 for off, on in pairs)
    print(
        f"on is slower by {statistics.median(slower):.1%} in pairs [{slower[0]:.1%}, {slower[-1]:.1%}]; the bar is 5%"
    )
    print(f"on needs {statistics.median(dearer):.1%} more of the processor [{dearer[0]:.1%}, {dearer[-1]:.1%}]")


def _measure(site: Site, kind: str, jobs: int, mode: str, url: str) -> tuple[float, float]:
    """Jobs a second, and microseconds of the processor a job."""
    os.environ.pop(ENDPOINT, None)
    if mode == "on":
        os.environ[ENDPOINT] = url
    with site.redis() as redis, our_workers(redis.url, workers=WORKERS, concurrency=CONCURRENCY) as workers:
        before_s = workers.cpu_s()
        process = our_producer(site, redis.url, "map", kind, jobs, IN_FLIGHT)
        out, err = process.communicate(timeout=600)
        worked_s = workers.cpu_s() - before_s
    assert process.returncode == 0, err
    told = json.loads(out.strip().splitlines()[-1])
    return told["done"] / told["seconds"], (told["cpu_s"] + worked_s) / told["done"] * 1e6


@contextmanager
def _collector() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.performance.telemetry_fleet", "--collect"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1/traces"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _collect() -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
