"""One server for everything that a service talks to: a model that says secrets, a collector of traces, a receiver.

What the collector and the receiver are sent is looked through byte for byte, packed or not.
"""

import asyncio
import gzip
import json
import mmap
import random
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.safety.canary_pools import CANARIES, prose

#: What the model's answers carry besides.
HEADERS = f"\r\nx-request-id: {CANARIES[-1]}\r\nSet-Cookie: key={CANARIES[0]}\r\n".encode()
STREAMED_WORDS = 60  #: of an answer, which comes in pieces of seven characters, each looked at by itself
AROUND = 200  #: bytes of context, each side
ENDINGS = ("gzip", "deflate")  #: how a body may be packed


class Sinks:
    """Counts the bytes of each sink, and remembers which canary was found where."""

    def __init__(self, canaries: Iterable[str]) -> None:
        self.canaries = [canary.encode() for canary in canaries]
        self.found: dict[str, str] = {}  #: canary and sink, and what stood around it first
        self.volume: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()  #: requests by path
        self.packed = 0  #: bodies that came packed
        self.port = 0
        self._chance = random.Random(9)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def scan(self, sink: str, data: bytes | mmap.mmap) -> None:
        """Look for every canary in what a sink was given."""
        self.volume[sink] += len(data)
        for one in self.canaries:
            at = data.find(one)
            if at >= 0:
                around = data[max(at - AROUND, 0) : at + len(one) + AROUND].decode(errors="replace")
                self.found.setdefault(f"{one.decode()} in {sink}", around)

    def scan_file(self, sink: str, path: Path) -> None:
        """The same with a file of any size; one that is packed is unpacked."""
        if not path.stat().st_size:
            return
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            self.scan(sink, data)
            if data[:2] == b"\x1f\x8b":
                self.scan(sink, gzip.decompress(data))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Sinks"]:
        """Listen on loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                path = first.split(" ")[1]
                self.asked[path] += 1
                if path.endswith("/chat/completions"):
                    answer = self._completion(json.loads(body), headers.get("authorization", ""))
                    answer = answer.replace(b"\r\n", HEADERS, 1)
                else:
                    self._take("webhooks" if path == "/hook" else "traces", head.encode(), headers, body)
                    answer = _answer(200, b"", "application/x-protobuf")
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the other side is gone, or the test is over
        finally:
            writer.close()

    def _take(self, sink: str, head: bytes, headers: dict[str, str], body: bytes) -> None:
        packed = headers.get("content-encoding", "")
        assert packed in {"", *ENDINGS}, packed
        if packed:
            self.packed += 1
            body = gzip.decompress(body) if packed == "gzip" else zlib.decompress(body)
        self.scan(sink, head + body)

    def _completion(self, asked: dict[str, object], key: str) -> bytes:
        """A call of the tool, then an answer full of canaries; now and then a failure that repeats the key."""
        messages = asked["messages"]
        assert isinstance(messages, list)
        if self._chance.random() < 0.1:
            error = {"message": f"Incorrect key provided: {key}; {prose(8, self._chance)}", "code": key}
            return _answer(400, json.dumps({"error": error}).encode(), "application/json")
        if messages[-1]["role"] == "tool":
            message: dict[str, object] = {"role": "assistant", "content": prose(STREAMED_WORDS, self._chance)}
            finish = "stop"
        else:
            word = {"word": prose(8, self._chance)}
            call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": json.dumps(word)}}
            message, finish = {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **call}]}, "tool_calls"
        usage = {"prompt_tokens": 20, "completion_tokens": 20, "total_tokens": 40}
        if not asked.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": finish}
            told = {"id": prose(2, self._chance), "object": "chat.completion", "choices": [choice], "usage": usage}
            return _answer(200, json.dumps(told).encode(), "application/json")
        text = message["content"]
        deltas = [message] if text is None else [{"content": text[at : at + 7]} for at in range(0, len(str(text)), 7)]  # type: ignore[index]  # a text
        chunks = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        chunks.append({"index": 0, "delta": {}, "finish_reason": finish})
        lines = [{"id": "c", "object": "chat.completion.chunk", "choices": [chunk]} for chunk in chunks]
        lines.append({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": usage})
        body = "".join(f"data: {json.dumps(line)}\n\n" for line in lines) + "data: [DONE]\n\n"
        return _answer(200, body.encode(), "text/event-stream")


def _answer(status: int, body: bytes, kind: str) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
