"""The Redis transport beside the least that could do its work: bare redis-py, pipelined, in the same run.

`python -m benchmarks.performance.fleet_transport [--tasks N] [--profile DIR]` starts a private server, two worker
processes and, here, the producer. Rows: `floor` is XADD batched per turn of the loop, XREADGROUP, and reply with XACK
in one pipeline; `transport` is ours with a worker that answers at once; `pool` runs a registered function. No journal.
"""

import argparse
import asyncio
import cProfile
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import anyio
import redis.asyncio as vendor

from orchestrator.adapters.redis.owner import RedisTransport
from orchestrator.adapters.redis.worker import RedisWorkers
from orchestrator.ids import PoolName, RunId, StepId, TenantId
from orchestrator.ports.tasks import StepTask, TaskDone, TaskKey, TaskMessage
from workers import Pool, Workers

WORKERS: Final = 2
SLOTS: Final = 100
IN_FLIGHT: Final = 1_000
POOL: Final = PoolName("bench")
KINDS: Final = ("floor", "transport", "pool")
Submit = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one contestant did."""

    name: str
    per_s: float
    producer_us: float
    workers_us: float
    server_us: float
    one: tuple[float, float]  #: milliseconds, p50 and p99, one at a time
    hundred: tuple[float, float]  #: the same with 100 in flight


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quantiles(times_s: list[float]) -> tuple[float, float]:
    """p50 and p99 in milliseconds."""
    ordered = sorted(times_s)
    return ordered[len(ordered) // 2] * 1000, ordered[len(ordered) * 99 // 100] * 1000


# ---- the floor


async def floor_worker(url: str, name: str) -> None:
    """Read, answer, acknowledge; nothing else."""
    client: Any = vendor.Redis.from_url(url, protocol=2)  # its stubs mix both of its clients
    print("ready", flush=True)
    while True:
        reply = await client.xreadgroup("g", name, {"floor": ">"}, count=SLOTS, block=1000)
        rows = reply[0][1] if reply else []
        if not rows:
            continue
        async with client.pipeline(transaction=False) as pipe:
            for _entry, fields in rows:
                pipe.xadd("floor:back", {b"n": fields[b"n"]})
            pipe.xack("floor", "g", *(entry for entry, _fields in rows))
            await pipe.execute()


class Floor:
    """The producer of the floor."""

    def __init__(self, url: str) -> None:
        self._client: Any = vendor.Redis.from_url(url, protocol=2)
        self._reader: Any = vendor.Redis.from_url(url, protocol=2)
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._queued: list[int] = []
        self._wake = asyncio.Event()
        self._stopping = False

    async def open(self) -> None:
        """Make the group and begin."""
        await self._client.xgroup_create("floor", "g", "0", mkstream=True)
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._read())]

    async def close(self) -> None:
        self._stopping = True  # a blocking read is never cancelled
        self._wake.set()
        await asyncio.gather(*self._tasks)
        await self._client.aclose()
        await self._reader.aclose()

    async def submit(self, number: int) -> None:
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._queued.append(number)
        self._wake.set()
        await future

    async def _send(self) -> None:
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            queued, self._queued = self._queued, []
            async with self._client.pipeline(transaction=False) as pipe:
                for number in queued:
                    pipe.xadd("floor", {"n": number, "body": '{"number": 1}'})
                await pipe.execute()

    async def _read(self) -> None:
        at = b"0"
        while not self._stopping:
            reply = await self._reader.xread({"floor:back": at}, count=500, block=200)
            for entry, fields in reply[0][1] if reply else []:
                at = entry
                self._waiting.pop(int(fields[b"n"])).set_result(None)


# ---- ours


async def our_worker(url: str, name: str, kind: str) -> None:
    """Answer at once, or through a registered function."""
    port = await RedisWorkers.open(url, worker=name)
    print("ready", flush=True)
    if kind == "transport":
        while True:
            for task in await port.fetch(POOL, SLOTS):
                port.post(TaskDone(key=task.key, worker=name, output=None))
    pool = Pool(POOL, concurrency=SLOTS)

    @pool.worker
    async def nothing(number: int) -> int:
        return number

    workers = Workers([pool], port, worker=name)
    async with anyio.create_task_group() as group:
        workers.open(group)
        await asyncio.Event().wait()


class Ours:
    """The producer of ours."""

    def __init__(self, transport: RedisTransport) -> None:
        self._transport = transport
        self._waiting: dict[int, asyncio.Future[None]] = {}
        transport.bind(self._heard)

    def _heard(self, message: TaskMessage) -> None:
        if isinstance(message, TaskDone):
            self._waiting.pop(message.key.branch).set_result(None)

    async def submit(self, number: int) -> None:
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._transport.send(
            StepTask(
                key=TaskKey(RunId("run"), StepId("step"), number, 1),
                tenant=TenantId("default"),
                pool=POOL,
                lane="normal",
                function="nothing",
                instruction=None,
                args={"number": number},
            )
        )
        await future


# ---- measuring


async def drive(submit: Submit, first: int, count: int, in_flight: int) -> list[float]:
    """Submit `count` tasks with so many under way; how long each took."""
    numbers = iter(range(first, first + count))
    times_s: list[float] = []

    async def one() -> None:
        for number in numbers:
            started = time.perf_counter()
            await submit(number)
            times_s.append(time.perf_counter() - started)

    await asyncio.gather(*(one() for _ in range(in_flight)))
    return times_s


async def measure(kind: str, url: str, server_pid: int, tasks: int, profile: Path | None) -> Row:
    """One contestant from start to end."""
    floor, transport = Floor(url), None
    if kind == "floor":
        await floor.open()
        submit: Submit = floor.submit
    else:
        transport = await RedisTransport.open(url, owner=f"bench-{kind}")
        submit = Ours(transport).submit
    command = [sys.executable, "-m", "benchmarks.performance.fleet_transport", "--worker", kind, "--url", url]
    extra = ["--profile", str(profile)] if profile else []
    children = [
        subprocess.Popen([*command, "--name", f"{kind}-{n}", *extra], stdout=subprocess.PIPE)  # noqa: ASYNC220  # nothing else runs yet
        for n in range(WORKERS)
    ]
    try:
        for child in children:
            while b"ready" not in (line := child.stdout.readline() if child.stdout else b""):
                assert line, "the worker came up"
        await drive(submit, 0, 500, 100)
        one = await drive(submit, 1_000, min(tasks // 20, 1_000), 1)
        hundred = await drive(submit, 10_000, min(tasks // 4, 5_000), 100)
        before = (time.process_time(), sum(cpu_s(child.pid) for child in children), cpu_s(server_pid))
        profiler = cProfile.Profile() if profile else None
        started = time.perf_counter()
        if profiler:
            profiler.enable()
        await drive(submit, 100_000, tasks, IN_FLIGHT)
        if profiler:
            profiler.disable()
        wall_s = time.perf_counter() - started
        after = (time.process_time(), sum(cpu_s(child.pid) for child in children), cpu_s(server_pid))
        if profiler and profile:
            profiler.dump_stats(profile / f"{kind}-producer.prof")
    finally:
        for child in children:
            child.terminate() if profile else child.kill()
            child.wait()
            if child.stdout:
                child.stdout.close()
        await (transport.close() if transport else floor.close())
    spent = [(b - a) / tasks * 1e6 for a, b in zip(before, after, strict=True)]
    return Row(
        name=kind, per_s=tasks / wall_s, producer_us=spent[0], workers_us=spent[1], server_us=spent[2],
        one=quantiles(one), hundred=quantiles(hundred),
    )  # fmt: skip


async def main(tasks: int, rounds: int, profile: Path | None) -> None:
    """All contestants, interleaved, and the table of their medians."""
    from tests.servers.redis import redis_server  # the servers of the tests are the servers of the benchmarks

    rows: dict[str, list[Row]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind in KINDS:
            with redis_server("valkey") as server:
                rows[kind].append(await measure(kind, server.url, server.pid, tasks, profile))
    print(f"{tasks} tasks, {WORKERS} workers with {SLOTS} slots, {IN_FLIGHT} in flight; median of {rounds}")
    print("| contestant | tasks/s | x floor | CPU us: producer, workers, server | p50 / p99 ms, one | 100 in flight |")
    print("|---|---|---|---|---|---|")
    base = sorted(row.per_s for row in rows["floor"])[rounds // 2]
    for kind in KINDS:
        row = sorted(rows[kind], key=lambda one: one.per_s)[rounds // 2]
        print(
            f"| {row.name} | {row.per_s:,.0f} | {row.per_s / base:.2f} | {row.producer_us:.0f}, {row.workers_us:.0f}, "
            f"{row.server_us:.0f} | {row.one[0]:.2f} / {row.one[1]:.2f} | {row.hundred[0]:.1f} / {row.hundred[1]:.1f} |"
        )


async def work(kind: str, url: str, name: str, profile: Path | None) -> None:
    """Be a worker until told to stop."""
    profiler = cProfile.Profile() if profile else None
    serving = asyncio.create_task(floor_worker(url, name) if kind == "floor" else our_worker(url, name, kind))
    import signal

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    if profiler:
        profiler.enable()
    (error,) = await asyncio.gather(serving, return_exceptions=True)
    if isinstance(error, Exception):
        print(repr(error), file=sys.stderr, flush=True)
    if profiler and profile:
        profiler.disable()
        profiler.dump_stats(profile / f"{name}.prof")
    os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--worker", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        asyncio.run(work(given.worker, cast(str, given.url), cast(str, given.name), given.profile))
    else:
        asyncio.run(main(given.tasks, given.rounds, given.profile))
