"""A service that a browser can open: the application on a port of loopback, with its engine, in a thread of its own."""

import socket
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import anyio.from_thread
import uvicorn

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, Recorded
from tests.service.http.house import House, house

T = TypeVar("T")


@dataclass
class Served:
    """A running service, and how a test does things in its loop."""

    url: str
    house: House
    portal: anyio.from_thread.BlockingPortal

    def call(self, work: Callable[..., Coroutine[Any, Any, T]], *args: object) -> T:
        """Do something in the service's loop."""
        return self.portal.call(work, *args)

    def submit(self, plan: str, inputs: dict[str, Any] | None = None) -> RunId:
        """Start a run of a plan of the house."""

        async def begin() -> RunId:
            run = await self.house.engine.submit(self.house.service.plans[plan], inputs or {})
            return run.id

        return self.call(begin)

    def add(self, records: Iterable[Recorded]) -> RunId:
        """Put a journal that was written elsewhere into this one."""
        facts = tuple(record.fact for record in records)
        first = facts[0]
        run_id = RunId(first.run)  # type: ignore[attr-defined]  # of run.accepted, which is the first

        async def append() -> None:
            journal = self.house.service.journal
            for at in range(0, len(facts), 10_000):
                entry = Append(run_id=run_id, first_seq=at + 1, epoch=1, facts=facts[at : at + 10_000])
                assert await journal.append([entry]) == ()

        self.call(append)
        return run_id


@contextmanager
def served(*, keyless: bool = True) -> Iterator[Served]:
    """Serve a house until the block is left."""
    ready, leave = threading.Event(), anyio.Event
    found: list[Served] = []
    failure: list[BaseException] = []
    stop: list[Any] = []

    async def serve() -> None:
        async with (
            house(keyless=keyless, journal=MemoryJournal()) as made,
            anyio.from_thread.BlockingPortal() as portal,
        ):
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            config = uvicorn.Config(made.app, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
            server = uvicorn.Server(config)
            server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # they are the main thread's
            over = leave()
            stop.append(over)
            async with anyio.create_task_group() as group:
                group.start_soon(server.serve, [sock])
                while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
                    await anyio.sleep(0.005)
                found.append(Served(f"http://127.0.0.1:{sock.getsockname()[1]}", made, portal))
                ready.set()
                await over.wait()
                made.app.state.kept.feeds.leave()
                server.should_exit = True

    def run() -> None:
        try:
            anyio.run(serve, backend="asyncio")
        except BaseException as error:  # noqa: BLE001  # told to whoever waits
            failure.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(60)
    if failure:
        raise failure[0]
    try:
        yield found[0]
    finally:

        async def go() -> None:
            stop[0].set()

        found[0].call(go)
        thread.join(30)
        if failure:
            raise failure[0]
