"""What every contestant's producer shares: jobs sent and answered, their times, and one JSON line at the end.

Runs inside a contestant's own environment, beside the script that uses it: nothing of this project is importable here.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

SLOW_S = 0.2  #: how long a job of the kill test takes
PATIENCE_S = float(os.environ.get("BENCH_PATIENCE_S", "60"))  #: for one answer


def witness(number: int, word: str) -> None:
    """One line outside of every queue: `began` and `ended` of a slow job."""
    line = f"{time.time():.4f} {word} {number} {os.getpid()}\n"
    out = os.open(os.environ["BENCH_WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(out, line.encode())
    os.close(out)


async def slow_job(number: int) -> int:
    """A job of 200 ms that leaves two lines with the witness."""
    witness(number, "began")
    await asyncio.sleep(SLOW_S)
    witness(number, "ended")
    return number


def slow_job_blocking(number: int) -> int:
    """As `slow_job`, for contestants that run jobs in threads or processes."""
    witness(number, "began")
    time.sleep(SLOW_S)
    witness(number, "ended")
    return number


def tell(began_s: float, times_s: Iterable[float], failed: int) -> None:
    """Print the figures of one producer."""
    lasted = time.perf_counter() - began_s
    cpu = os.times()
    ordered = sorted(times_s)
    print(json.dumps({
        "done": len(ordered), "failed": failed, "seconds": lasted, "cpu_s": cpu.user + cpu.system,
        "times_ms": [round(t * 1000, 3) for t in ordered],
    }), flush=True)  # fmt: skip


async def produce(call: Callable[[int], Awaitable[int]], jobs: int, in_flight: int) -> None:
    """`jobs` calls, at most `in_flight` at the same time; each must answer with its own number."""
    numbers, times, failed = iter(range(jobs)), [], 0

    async def one() -> None:
        nonlocal failed
        for number in numbers:
            sent_s = time.perf_counter()
            try:
                answer = await asyncio.wait_for(call(number), PATIENCE_S)
            except Exception as error:  # a job that is lost is a result here
                failed += 1
                print(f"job {number}: {type(error).__name__}: {error}", file=sys.stderr)
                continue
            assert answer == number, f"job {number} answered {answer}"
            times.append(time.perf_counter() - sent_s)

    began_s = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(min(in_flight, jobs))))
    tell(began_s, times, failed)


def produce_in_threads(call: Callable[[int], int], jobs: int, in_flight: int) -> None:
    """As `produce`, for clients that block."""
    times, failed = [], 0

    def one(number: int) -> None:
        nonlocal failed
        sent_s = time.perf_counter()
        try:
            answer = call(number)
        except Exception as error:
            failed += 1
            print(f"job {number}: {type(error).__name__}: {error}", file=sys.stderr)
            return
        assert answer == number
        times.append(time.perf_counter() - sent_s)

    began_s = time.perf_counter()
    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(one, range(jobs)))
    tell(began_s, times, failed)
