"""An endpoint on loopback that misbehaves on request, by seed, and keeps its own ledger of calls and spend."""

import asyncio
import email.utils
import gzip
import json
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, Self

#: USD per million tokens, said again on the other side in the settings.
USD_IN, USD_CACHED, USD_OUT = Decimal(3), Decimal("0.5"), Decimal(12)
MILLION = Decimal(1_000_000)

#: told: the client was told what it owes (maybe nothing). silent: no usage at all. hidden: it cannot know.
Told = Literal["told", "silent", "hidden"]


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request as the endpoint saw it."""

    body: dict[str, Any]
    usd: Decimal = Decimal(0)
    tokens: int = 0
    told: Told = "told"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a generated answer costs."""

    tokens_in: int
    tokens_cached: int
    tokens_out: int

    @property
    def usd(self) -> Decimal:
        fresh = self.tokens_in - self.tokens_cached
        return (USD_IN * fresh + USD_CACHED * self.tokens_cached + USD_OUT * self.tokens_out) / MILLION

    def as_json(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.tokens_in,
            "completion_tokens": self.tokens_out,
            "total_tokens": self.tokens_in + self.tokens_out,
            "prompt_tokens_details": {"cached_tokens": self.tokens_cached},
        }


class Exchange:
    """One request and what is written back."""

    def __init__(self, entry: Entry, writer: asyncio.StreamWriter, chance: random.Random, number: int) -> None:
        self.entry, self.chance, self.number = entry, chance, number
        self._writer = writer
        self.body = entry.body
        self.stream = bool(entry.body.get("stream"))

    def bill_for(self, text: str) -> Bill:
        """A bill for this prompt and this answer, four bytes to a token; parts of the prompt are cached."""
        size = len(json.dumps(self.body["messages"]))
        tokens_in = max(size // 8, 1)
        return Bill(
            tokens_in=tokens_in,
            tokens_cached=self.chance.randrange(tokens_in + 1),
            tokens_out=max(-(-len(text) // 4), 1),
        )

    def charge(self, bill: Bill, told: Told = "told") -> None:
        self.entry.usd, self.entry.tokens, self.entry.told = bill.usd, bill.tokens_in + bill.tokens_out, told

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode())

    async def whole(self, data: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        await self.head(status, kind, Content_Length=str(len(data)), **headers)
        await self.raw(data)

    async def error(self, status: int, code: str = "", message: str = "no", **headers: str) -> None:
        told = json.dumps({"error": {"message": message, "type": "error", "code": code or None}})
        await self.whole(told.encode(), status, **headers)

    async def open_stream(self) -> None:
        await self.head(200, "text/event-stream", Transfer_Encoding="chunked")

    async def piece(self, data: bytes) -> None:
        """One chunk of a chunked body."""
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def event(self, value: object) -> None:
        await self.piece(b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n")

    async def close_stream(self) -> None:
        await self.event(b"[DONE]")
        await self.raw(b"0\r\n\r\n")

    def hang_up(self, *, reset: bool = False) -> None:
        if reset:
            sock: socket.socket = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    def pieces(self, text: str) -> list[str]:
        """The text in pieces, cut by chance."""
        found = []
        while text:
            size = self.chance.randint(1, 12)
            found.append(text[:size])
            text = text[size:]
        return found

    async def answer(
        self,
        text: str = "",
        *,
        finish: str = "stop",
        tools: list[tuple[str, str]] | None = None,
        refusal: str = "",
        usage: object = "real",
        told: Told = "told",
    ) -> None:
        """A proper answer, streamed or at once as the request wants it."""
        bill = self.bill_for(text + refusal + "".join(name + arguments for name, arguments in tools or ()))
        self.charge(bill, told)
        said = bill.as_json() if usage == "real" else usage
        calls: list[dict[str, Any]] = [
            {"index": index, "id": f"t{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for index, (name, arguments) in enumerate(tools or ())
        ]
        if not self.stream:
            message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": refusal or None}
            if calls:
                message["tool_calls"] = calls
            choice = {"index": 0, "message": message, "finish_reason": finish}
            reply = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            await self.whole(json.dumps(reply | ({"usage": said} if said is not None else {})).encode())
            return
        await self.open_stream()
        for piece in self.pieces(text):
            await self.event(self.chunk({"content": piece}))
        if refusal:
            await self.event(self.chunk({"refusal": refusal}))
        for call in calls:
            function = call["function"]
            head = {**call, "function": {"name": function["name"], "arguments": ""}}
            await self.event(self.chunk({"tool_calls": [head]}))
            for piece in self.pieces(function["arguments"]):
                delta = {"index": call["index"], "function": {"arguments": piece}}
                await self.event(self.chunk({"tool_calls": [delta]}))
        await self.event(self.chunk({}, finish))
        if said is not None:
            await self.event(self.chunk({}) | {"choices": [], "usage": said})
        await self.close_stream()


Fault = Callable[[Exchange], Awaitable[None]]


class FaultyEndpoint:
    """Serves one fault at a time; `ledger` holds every request it read."""

    def __init__(self) -> None:
        self.ledger: list[Entry] = []
        self.fault: Fault = _ok
        self.chance = random.Random(0)
        self.in_flight = 0
        self.most_in_flight = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def set(self, fault: Fault, seed: int) -> None:
        """Begin a new case."""
        self.fault, self.chance = fault, random.Random(seed)
        self.ledger.clear()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(
                    int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
                )
                entry = Entry(body=json.loads(await reader.readexactly(size)))
                self.ledger.append(entry)
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    await self.fault(Exchange(entry, writer, self.chance, len(self.ledger)))
                finally:
                    self.in_flight -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()


def http_date(seconds: float) -> str:
    """A date as HTTP writes it."""
    return email.utils.formatdate(seconds, usegmt=True)


def packed(data: bytes) -> bytes:
    """The data, compressed."""
    return gzip.compress(data)


async def _ok(exchange: Exchange) -> None:
    await exchange.answer("hello")
