"""Questions of workers to the owner of their run, and the way back of what it says."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from orchestrator.adapters.redis import codec, scripts
from orchestrator.adapters.redis.limits import STREAM_KEEP_S
from orchestrator.adapters.redis.wire import Wire
from orchestrator.errors import PromiseError
from orchestrator.ports import tasks as t


class Answers:
    """Has questions answered, each once however often it is asked meanwhile, and keeps the answers until they are sent.

    `ready` is called when there is one to send.
    """

    def __init__(self, ready: Callable[[], None]) -> None:
        self.answer: Callable[[t.OwnerRequest], Awaitable[t.OwnerReply]] | None = None
        self._ready = ready
        self._replies: deque[tuple[str, str, bytes]] = deque()  #: worker, number of its question, answer
        self._answering: dict[tuple[str, str], asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._replies)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Those that are at it."""
        return list(self._answering.values())

    def asked(self, fields: dict[bytes, bytes], request: t.OwnerRequest) -> None:
        """Answer it; not at once, as the answer is journaled first."""
        number, worker = fields[b"i"].decode(), fields[b"w"].decode()
        mark = (worker, number)
        if mark in self._answering:
            return  # asked again while the answer is being journaled
        task = asyncio.create_task(self._reply(mark, request), name="transport answer")
        self._answering[mark] = task
        task.add_done_callback(lambda _done: self._answering.pop(mark, None))

    async def _reply(self, mark: tuple[str, str], request: t.OwnerRequest) -> None:
        if self.answer is None:
            raise PromiseError("a worker asked, but nobody owns its run", "call `bind_answer` before `send`")
        reply = await self.answer(request)
        self._replies.append((*mark, codec.message_bytes(reply)))
        self._ready()

    async def send_first(self, wire: Wire, namespace: str) -> None:
        """Send the oldest answer; it leaves the queue once the server has it.

        Raises:
            TransportError: the server cannot be told now.
        """
        worker, number, body = self._replies[0]
        keep_ms = int(STREAM_KEEP_S * 1000)
        await wire.run(scripts.SAY, f"{namespace}:in:{worker}", 0, keep_ms, "t", "reply", "i", number, "b", body)
        self._replies.popleft()
