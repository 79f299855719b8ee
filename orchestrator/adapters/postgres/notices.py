"""Hints over LISTEN and NOTIFY, on a connection of their own that is made again when it breaks."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from orchestrator.adapters.postgres.connecting import Server, is_lost
from orchestrator.adapters.postgres.schema import CHANNEL

AGAIN_S: Final = 0.5  #: between two tries to listen
ALIVE_S: Final = 15.0  #: a quiet connection is asked so often whether it still stands


class PostgresNotices:
    """See `Notices`. Listens while anybody does."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._heard: dict[object, Callable[[str, str], None]] = {}
        self._task: asyncio.Task[None] | None = None

    def listen(self, heard: Callable[[str, str], None]) -> Callable[[], None]:
        self._server.must_be_usable()
        mark = object()
        self._heard[mark] = heard
        if self._task is None:
            self._task = asyncio.create_task(self._listen(), name="journal notices")

        def stop() -> None:
            self._heard.pop(mark, None)

        return stop

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _tell(self, topic: str, subject: str) -> None:
        for heard in list(self._heard.values()):
            heard(topic, subject)

    def _on_notice(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        topic, _, subject = payload.partition(" ")
        self._tell(topic, subject)

    async def _listen(self) -> None:
        while True:
            connection = None
            try:
                connection = await self._server.connect()
                gone = asyncio.Event()
                connection.add_termination_listener(lambda _connection, gone=gone: gone.set())
                await connection.add_listener(CHANNEL, self._on_notice)
                self._tell("gap", "")  # whatever was said before is to be looked up
                while not gone.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(gone.wait(), ALIVE_S)
                    if not gone.is_set():
                        await connection.execute("SELECT 1")
            except Exception as error:
                if not is_lost(error):
                    raise
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(AGAIN_S)
