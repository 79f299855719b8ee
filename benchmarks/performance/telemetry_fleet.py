"""What telemetry costs a fleet: jobs a second and processor time a job, without and with spans sent to a collector.

    python -m benchmarks.performance.telemetry_fleet [--jobs 20000] [--rounds 5] [--kind quick|slow] [--way map|runs]
                                                         [--branches 1000]

PostgreSQL, Valkey, the supervisor and two workers are processes of their own, and so is the collector. `quick` jobs do
nothing, so that all there is to slow down is the fleet itself; `slow` ones take 200 ms each, as a short call of a model
does. With `map` all jobs are branches of one run, the cheapest way to send them; with `runs` each is a run of its own,
as users' are. The two modes take turns. `--branches` is the setting `traced_branches`: of how many branches of a step
spans are made although they pass at once.

The processor time is that of supervisor and workers, user and system, from warm until everything is exported: what is
sent after the last job is in it, starting the processes is not, nor are the servers and the collector. Two runs of the
same mode differ by more than telemetry needs, as the work is done in larger batches where time is short; what its calls
and its thread take is therefore counted too, in cells of their own.

The collector keeps what it is sent until a round is over, counts its spans then, and its processor time is told apart:
in a fleet it is on a machine of its own, here it takes the cores from the fleet, so the rate tells a little more than
telemetry costs.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, NamedTuple
from urllib.request import urlopen

from benchmarks.performance.queues.site import Site, our_producer, our_workers
from orchestrator.adapters.otel.runs import BRANCHES_MAX

WORKERS: Final = 2
CONCURRENCY: Final = 100
IN_FLIGHT: Final = 200
INSIDE: Final = "benchmarks.performance.queues.inside"
ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
WARM: Final = 1_000  #: jobs before those that count, for the same workers
DELAY_S: Final = 2.0  #: between two exports of less than a batch
#: Of a job: its branch, its attempt and the work on it; a run of its own has itself, its plan and its step besides.
SPANS: Final = {"map": 3, "runs": 5}
BAR: Final = 0.05  #: of a fleet's throughput


class Cell(NamedTuple):
    """One mode of one round."""

    rate: float  #: jobs a second
    cpu_us: float  #: of supervisor and workers, a job
    inside_us: float  #: of it, what calls into telemetry and its thread take, where that is counted
    collector_us: float  #: of the collector, a job
    sent_bytes: float  #: a job
    requests: int


def main() -> None:
    """Measure and print; in a child, collect."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kind", choices=("quick", "slow"), default="quick")
    parser.add_argument("--branches", type=int, default=BRANCHES_MAX)
    parser.add_argument("--way", choices=tuple(SPANS), default="map")
    parser.add_argument("--collect", action="store_true")
    told = parser.parse_args()
    if told.collect:
        _collect()
        return
    os.environ["ORCHESTRATOR_TRACED_BRANCHES"] = str(told.branches)
    site = Site(Path(tempfile.mkdtemp(prefix="bench-telemetry-")))
    found: dict[str, list[Cell]] = {"off": [], "on": [], "inside": []}
    try:
        with _collector() as url:
            _measure(site, told.way, told.kind, told.jobs, "off", url)  # warm
            for number in range(told.rounds):
                for mode in ("off", "on", "inside") if number % 2 else ("on", "off", "inside"):
                    found[mode].append(_measure(site, told.way, told.kind, told.jobs, mode, url))
    finally:
        site.close()
    print(
        f"{told.jobs:,} {told.kind} jobs ({told.way}, at most {told.branches:,} branches told), {WORKERS} workers,"
        f" {told.rounds} rounds; median [least, most]"
    )
    counted = found.pop("inside")
    for mode, cells in found.items():
        rates, costs = [cell.rate for cell in cells], [cell.cpu_us for cell in cells]
        print(
            f"{mode:<4} {statistics.median(rates):8.1f} jobs/s [{min(rates):.1f}, {max(rates):.1f}]"
            f"  {statistics.median(costs):8.1f} µs of the processor a job [{min(costs):.1f}, {max(costs):.1f}]"
        )
    pairs = list(zip(found["off"], found["on"], strict=True))
    slower = sorted(1 - on.rate / off.rate for off, on in pairs)
    dearer = sorted(on.cpu_us / off.cpu_us - 1 for off, on in pairs)
    more = statistics.median(on.cpu_us - off.cpu_us for off, on in pairs)
    print(
        f"on is slower by {statistics.median(slower):.1%} in pairs [{slower[0]:.1%}, {slower[-1]:.1%}];"
        f" the bar is {BAR:.0%}"
    )
    print(
        f"on needs {statistics.median(dearer):.1%} more of the processor in pairs [{dearer[0]:.1%}, {dearer[-1]:.1%}],"
        f" {more:.1f} µs a job"
    )
    kept = found["on"]
    inside = sorted(cell.inside_us for cell in counted)
    share = sorted(cell.inside_us / (cell.cpu_us - cell.inside_us) for cell in counted)
    print(
        f"inside of telemetry, counted: {statistics.median(inside):.1f} µs a job [{inside[0]:.1f}, {inside[-1]:.1f}],"
        f" {statistics.median(share):.1%} [{share[0]:.1%}, {share[-1]:.1%}] of the rest"
    )
    print(
        f"the collector: {statistics.median(cell.collector_us for cell in kept):.1f} µs a job,"
        f" {statistics.median(cell.sent_bytes for cell in kept):.0f} bytes a job,"
        f" {statistics.median(cell.requests for cell in kept):.0f} requests; no span is missing"
    )


def _measure(site: Site, way: str, kind: str, jobs: int, mode: str, url: str) -> Cell:
    os.environ.pop(ENDPOINT, None)
    if mode != "off":
        os.environ[ENDPOINT] = f"{url}/v1/traces"
        os.environ["OTEL_BSP_SCHEDULE_DELAY"] = str(int(DELAY_S * 1000))
    folder = Path(tempfile.mkdtemp(dir=site.folder))
    of_workers, of_owner = ((INSIDE, str(folder / who)) if mode == "inside" else () for who in ("worker", "owner"))
    with (
        site.redis() as redis,
        our_workers(redis.url, workers=WORKERS, concurrency=CONCURRENCY, under=of_workers) as workers,
    ):
        _produced(site, redis.url, way, kind, WARM)
        time.sleep(DELAY_S * 1.5)  # until they have sent what they tell of it
        if of_workers:
            for worker in workers.processes:
                worker.send_signal(signal.SIGUSR1)
        before_s = workers.cpu_s()
        os.environ |= {"BENCH_WARM": str(WARM), "BENCH_SETTLE_S": str(DELAY_S * 1.5)}
        told = _produced(site, redis.url, way, kind, jobs, of_owner)
        del os.environ["BENCH_WARM"]
        time.sleep(DELAY_S * 1.5)  # the workers send what they still have
        worked_s = workers.cpu_s() - before_s
        workers.drain()
    with urlopen(f"{url}/told", timeout=60) as answer:
        kept = json.load(answer)
    most = int(os.environ["ORCHESTRATOR_TRACED_BRANCHES"]) if way == "map" else jobs + WARM
    expected = SPANS[way] * (min(jobs, most) + 2 * min(WARM, most)) if mode != "off" else 0
    assert kept["spans"] - expected in range(20), f"{kept['spans']} spans, not about {expected}"
    cpu_us = (told["closed_cpu_s"] / jobs + worked_s / (jobs + WARM)) * 1e6
    inside_us = (_inside_s(folder, "owner") / jobs + _inside_s(folder, "worker") / (jobs + WARM)) * 1e6
    every = jobs + 2 * WARM
    return Cell(
        jobs / told["seconds"], cpu_us, inside_us, kept["cpu_s"] / every * 1e6, kept["bytes"] / every, kept["requests"]
    )


def _inside_s(folder: Path, who: str) -> float:
    return sum(sum(json.loads(file.read_text()).values()) for file in folder.glob(f"{who}-*"))


def _produced(site: Site, url: str, way: str, kind: str, jobs: int, under: Sequence[str] = ()) -> dict[str, float]:
    process = our_producer(site, url, way, kind, jobs, IN_FLIGHT, under=under)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    told: dict[str, float] = json.loads(out.strip().splitlines()[-1])
    return told


@contextmanager
def _collector() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.performance.telemetry_fleet", "--collect"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _collect() -> None:
    kept: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            kept.append(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(b"")

        def do_GET(self) -> None:
            told = {"requests": len(kept), "bytes": sum(map(len, kept)), "cpu_s": time.process_time() - began_s[0]}
            told["spans"] = sum(map(_spans_of, kept))
            kept.clear()
            began_s[0] = time.process_time()
            self._answer(json.dumps(told).encode())

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    began_s = [time.process_time()]
    print(server.server_address[1], flush=True)
    server.serve_forever()


def _spans_of(body: bytes) -> int:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest.FromString(body)
    return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)


if __name__ == "__main__":
    main()
