"""A small HTTP/1.1 client: one connection per user, kept between requests, as cheap as Python allows.

What is measured is the service; a client with more in it would take the processor that the service needs.
"""

import asyncio
import json
from dataclasses import dataclass

ANSWER_S = 120.0  #: for one answer
HEAD_BYTES = 64 * 1024


class Lost(Exception):
    """No whole answer came; the message says what did."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.body)
        return found


class Client:
    """Asks one server, one request after another."""

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self._port = port
        self._lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, path: str, document: object = None, headers: dict[str, str] | None = None
    ) -> Answered:
        """One request. A connection that was closed while it lay idle is made again, once.

        Raises:
            Lost: there was no answer.
        """
        body = b"" if document is None else json.dumps(document).encode()
        lines = self._lines + "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        if body:
            lines += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        request = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode() + body
        idle = self._streams is not None
        try:
            async with asyncio.timeout(ANSWER_S):
                try:
                    return await self._once(request)
                except (asyncio.IncompleteReadError, ConnectionError):
                    if not idle:
                        raise
                    self.close()
                    return await self._once(request)
        except TimeoutError:
            self.close()
            raise Lost("timeout") from None
        except (asyncio.IncompleteReadError, OSError) as error:
            self.close()
            raise Lost(type(error).__name__) from None

    async def _once(self, request: bytes) -> Answered:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=HEAD_BYTES)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if "chunked" in headers.get("transfer-encoding", ""):
            body = await self._chunks(reader)
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answered(int(first.split(" ")[1]), headers, body)

    @staticmethod
    async def _chunks(reader: asyncio.StreamReader) -> bytes:
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return b"".join(parts)

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
