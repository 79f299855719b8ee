"""A chat endpoint that answers at once, in a process of its own: `python -m benchmarks.performance.instant_endpoint`.

An argument is the seconds after which it answers instead. Prints its port, then serves until its standard input closes.
It reads requests by their length and parses nothing but whether a stream was asked for, so that what is measured is the
client.
"""

import asyncio
import json
import sys
from functools import partial

PIECES = 20  #: chunks of a streamed answer
_WORD = "word "
_USAGE = {"prompt_tokens": 20, "completion_tokens": PIECES, "total_tokens": 20 + PIECES}


def _chunk(delta: dict[str, str], finish: str | None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": choices}).encode() + b"\n\n"


def _answer(kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_MESSAGE = {"role": "assistant", "content": _WORD * PIECES}
_CHOICE = {"index": 0, "message": _MESSAGE, "finish_reason": "stop"}
AT_ONCE = _answer(
    "application/json",
    json.dumps({"id": "c", "object": "chat.completion", "choices": [_CHOICE], "usage": _USAGE}).encode(),
)
_LAST = json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": _USAGE}).encode()
STREAM = _answer(
    "text/event-stream",
    b"".join(_chunk({"content": _WORD}, None) for _ in range(PIECES))
    + _chunk({}, "stop")
    + b"data: "
    + _LAST
    + b"\n\ndata: [DONE]\n\n",
)


async def _serve(latency_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(size)
            if latency_s:
                await asyncio.sleep(latency_s)
            writer.write(STREAM if b'"stream":true' in body.replace(b" ", b"") else AT_ONCE)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        writer.close()


async def main() -> None:
    """Serve until standard input closes."""
    latency_s = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    server = await asyncio.start_server(partial(_serve, latency_s), "127.0.0.1", 0, backlog=2_048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
