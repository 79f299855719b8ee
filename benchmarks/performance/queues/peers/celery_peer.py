"""Celery with its thread pool, results through Redis. Usage: celery_peer.py worker|producer URL and more."""

import os
import sys
import time

from celery import Celery
from producing import PATIENCE_S, slow_job_blocking, tell

app = Celery("bench", broker=os.environ.get("BENCH_URL", sys.argv[2] if len(sys.argv) > 2 else ""))
app.conf.update(result_backend=app.conf.broker_url, task_serializer="json", result_serializer="json")
if os.environ.get("BENCH_TUNED"):
    app.conf.update(task_acks_late=True, broker_transport_options={"visibility_timeout": 10})


@app.task(name="quick")
def quick(n: int) -> int:
    return n


@app.task(name="slow")
def slow(n: int) -> int:
    return slow_job_blocking(n)


def producer(kind: str, jobs: int, in_flight: int) -> None:
    """Windows of `in_flight` jobs: its client is not made for many waiting threads."""
    function, times, failed = slow if kind == "slow" else quick, [], 0
    began_s = time.perf_counter()
    for first in range(0, jobs, in_flight):
        sent = [(n, time.perf_counter(), function.delay(n)) for n in range(first, min(first + in_flight, jobs))]
        for number, sent_s, result in sent:
            try:
                assert result.get(timeout=PATIENCE_S) == number
            except Exception as error:
                failed += 1
                print(f"job {number}: {type(error).__name__}: {error}", file=sys.stderr)
                continue
            times.append(time.perf_counter() - sent_s)
    tell(began_s, times, failed)


if __name__ == "__main__":
    role, url, *rest = sys.argv[1:]
    if role.startswith("worker"):
        print("ready", flush=True)
        app.worker_main([
            "worker", "--pool=threads", f"--concurrency={rest[0]}", f"--hostname=w{os.getpid()}@bench",
            "--loglevel=critical", "--without-gossip", "--without-mingle",
        ])  # fmt: skip
    else:
        producer(rest[0], int(rest[1]), int(rest[2]))
