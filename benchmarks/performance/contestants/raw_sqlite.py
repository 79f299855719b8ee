"""Floor of durability: sqlite3 and nothing else, committing as often as the contestant it is compared with.

Variants: `inline-MODE` commits on the thread that runs the steps; `writer-MODE` hands rows to one writer thread that
commits whatever queued up (group commit), and a step's successors wait for that commit; `same-MODE` repeats the
commits and rows of another contestant (`commits`, `rows`, `row_bytes` of the job), one after the other. MODE is
`normal` or `full`, always with a write-ahead log.
"""

import asyncio
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.performance.cell import Job, Probe, graph_measure, main, stored_bytes
from benchmarks.performance.shapes import CAP, Shape, noop

INSERT = "INSERT INTO event (seq, body) VALUES (?, ?)"
Row = tuple[int, bytes]
Commit = Callable[[Row], Awaitable[None]]


def connect(directory: str, mode: str) -> sqlite3.Connection:
    """A database with one table, WAL, `synchronous` set to `mode`."""
    connection = sqlite3.connect(Path(directory) / "raw.sqlite", check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={mode.upper()}")
    connection.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    return connection


def commit_rows(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """One transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(INSERT, rows)
    connection.execute("COMMIT")


class Writer:
    """A thread that commits in groups: a batch is what queued up during the last commit."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.rows: queue.SimpleQueue[tuple[Row, asyncio.Future[None]] | None] = queue.SimpleQueue()
        self.loop = asyncio.get_running_loop()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    async def commit(self, row: Row) -> None:
        """Return once `row` is committed."""
        done: asyncio.Future[None] = self.loop.create_future()
        self.rows.put((row, done))
        await done

    def close(self) -> None:
        """Commit what is queued and end the thread."""
        self.rows.put(None)
        self.thread.join()

    def _work(self) -> None:
        while (first := self.rows.get()) is not None:
            batch = [first]
            closing = False
            while not self.rows.empty():
                more = self.rows.get()
                if more is None:
                    closing = True
                    break
                batch.append(more)
            commit_rows(self.connection, [row for row, _ in batch])
            self.loop.call_soon_threadsafe(_settle, [done for _, done in batch])
            if closing:
                return


def _settle(waiting: list[asyncio.Future[None]]) -> None:
    for done in waiting:
        done.set_result(None)


async def run(graph: Shape, commit: Commit) -> int:
    """The shape with at most `CAP` tasks; a step counts as done once its row is committed."""
    consumers = graph.consumers()
    missing = [len(needs) for needs in graph.inputs]
    values = [0] * len(graph.inputs)
    ready = deque(node for node, count in enumerate(missing) if not count)
    running: set[asyncio.Task[int]] = set()

    async def step(node: int) -> int:
        values[node] = await noop(node, [values[need] for need in graph.inputs[node]])
        await commit((node, b'{"step":"n%d","value":%d}' % (node, values[node])))
        return node

    while ready or running:
        while ready and len(running) < CAP:
            running.add(asyncio.create_task(step(ready.popleft())))
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            for consumer in consumers[task.result()]:
                missing[consumer] -= 1
                if not missing[consumer]:
                    ready.append(consumer)
    return values[graph.sink]


async def steps(graph: Shape, probe: Probe) -> int:
    """Open, then run with the variant's way of committing."""
    form, _, mode = probe.job["variant"].partition("-")
    connection = connect(probe.job["directory"], mode)
    try:
        if form == "inline":

            async def inline(row: Row) -> None:
                commit_rows(connection, [row])

            probe.start()
            answer = await run(graph, inline)
            probe.stop()
            return answer
        writer = Writer(connection)
        probe.start()
        answer = await run(graph, writer.commit)
        probe.stop()
        writer.close()
        return answer
    finally:
        connection.close()


async def repeat(job: Job, probe: Probe) -> None:
    """The commits, rows and bytes of another contestant, without any step around them."""
    connection = connect(job["directory"], job["variant"].partition("-")[2])
    body = b"x" * job["row_bytes"]
    commits, rows = job["commits"], job["rows"]
    probe.start()
    written = 0
    for number in range(1, commits + 1):
        until = rows * number // commits
        commit_rows(connection, [(row, body) for row in range(written, until)])
        written = until
    probe.stop()
    connection.close()
    probe.facts |= {"commits": commits, "rows": written, "stored_bytes": stored_bytes(job["directory"])}


if __name__ == "__main__":
    main({"durable": graph_measure(steps), "repeat": repeat})
