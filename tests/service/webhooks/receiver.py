"""A real receiver on loopback that keeps what it got, and a listener that counts whoever connects."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


@dataclass
class Got:
    """One request as it came."""

    target: str
    headers: dict[str, str]
    body: bytes
    told: object = None  #: what it says, if its signature was good when it came


@dataclass
class Receiver:
    """Answers with `answer(number of the request, from 0)`: raw bytes, or None to never answer."""

    answer: Callable[[int], bytes | None] = lambda _: b"HTTP/1.1 204 No Content\r\n\r\n"
    connections: int = 0
    got: list[Got] = field(default_factory=list)
    port: int = 0
    secret: str = ""  #: with one, signatures are looked at when they come: five minutes later they hold no more

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def allowed(self) -> str:
        return f"127.0.0.1:{self.port}"

    def verified(self, secret: str) -> list[object]:
        """Bodies, each checked with the reference library against what came with it."""
        return [one.told or Webhook(secret).verify(one.body, one.headers) for one in self.got]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            number = len(self.got)
            self.got.append(Got(first.split(" ")[1], headers, body))
            if self.secret:
                with suppress(WebhookVerificationError):  # `verified` says so
                    self.got[-1].told = Webhook(self.secret).verify(body, headers)
            answer = self.answer(number)
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass  # the other side is gone, or the test is over
        finally:
            writer.close()


@asynccontextmanager
async def receiving(
    answer: Callable[[int], bytes | None] | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """A receiver on a free port of loopback."""
    receiver = Receiver() if answer is None else Receiver(answer)
    server = await asyncio.start_server(receiver._serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


def http(status: int, *headers: str, body: str = "") -> bytes:
    """An answer."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()
