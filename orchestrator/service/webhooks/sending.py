"""Sending one signed message, to an address that was checked and to no other, within bounds of time and size.

The name is resolved once, the connection goes to one of the addresses it gave, and no answer can lead elsewhere.
"""

import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.lowlevel
import httpcore2

from orchestrator.errors import WebhookRefused
from orchestrator.service.webhooks.addresses import Allowed, Target, is_public, read_url

SEND_S: Final = 15.0  #: for one attempt altogether
CONNECT_S: Final = 5.0  #: of it, for each of resolving and connecting
ADDRESSES_MAX: Final = 16  #: of one name; more than that is no receiver
RESOLVING_MAX: Final = 16  #: names being resolved at once, in threads of their own
RETRY_AFTER_S_MAX: Final = 86_400.0

Resolve = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of an attempt."""

    status: int = 0  #: of HTTP; 0: there was no answer
    problem: str = ""  #: why there was none
    retry_after_s: float | None = None  #: what the receiver asked for

    @property
    def well(self) -> bool:
        """Whether the receiver took it."""
        return 200 <= self.status < 300


async def system_resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, as this machine resolves it.

    Raises:
        OSError: there are none.
    """
    limiter = _limiter()
    found = await anyio.to_thread.run_sync(
        lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), limiter=limiter, abandon_on_cancel=True
    )
    return list(dict.fromkeys(str(info[4][0]) for info in found))


_limiters: Final = anyio.lowlevel.RunVar[anyio.CapacityLimiter]("webhook-resolving")


def _limiter() -> anyio.CapacityLimiter:
    """Of this loop: a slow name server holds up nobody but webhooks."""
    try:
        return _limiters.get()
    except LookupError:
        made = anyio.CapacityLimiter(RESOLVING_MAX)
        _limiters.set(made)
        return made


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to nothing else."""

    def __init__(self, target: Target, resolve: Resolve, inner: httpcore2.AsyncNetworkBackend) -> None:
        self._target, self._resolve, self._inner = target, resolve, inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 # the library's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve once, check every answer, connect to the first that takes the connection."""
        if (host, port) != (self._target.host, self._target.port):
            raise WebhookRefused(f"{host}:{port} is not the address that was read", "this is a bug")
        addresses = [host] if self._target.local else await self._checked(host, port, timeout)
        failed: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed

    async def _checked(self, host: str, port: int, within_s: float | None) -> list[str]:
        try:
            with anyio.fail_after(within_s):
                found = await self._resolve(host, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"{host} took too long to resolve") from None
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved") from error
        if not 0 < len(found) <= ADDRESSES_MAX:
            raise WebhookRefused(f"{host} has {len(found)} addresses", f"use 1 to {ADDRESSES_MAX}")
        for address in found:  # one that is not public spoils all: no mixture is an accident
            try:
                public = is_public(ipaddress.ip_address(address))
            except ValueError:
                public = False
            if not public:
                raise WebhookRefused(f"{host} resolves to {address}", "name a receiver on the public internet")
        return found

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 # likewise
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Never."""
        raise WebhookRefused(f"{path} is a file of this machine", "this is a bug")

    async def sleep(self, seconds: float) -> None:
        """As the loop sleeps."""
        await anyio.sleep(seconds)


class Sender:
    """Sends messages to receivers. Nothing of one is kept for the next: each has a connection of its own."""

    def __init__(
        self,
        allowed: Allowed,
        *,
        resolve: Resolve = system_resolve,
        tls: ssl.SSLContext | None = None,
        network: httpcore2.AsyncNetworkBackend | None = None,
        send_s: float = SEND_S,
    ) -> None:
        self.allowed, self._resolve, self._send_s = allowed, resolve, send_s
        self._network = network or httpcore2.AnyIOBackend()
        self._tls = tls or ssl.create_default_context()

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """One attempt; never raises for what a receiver, its name server or the network does."""
        try:
            with anyio.fail_after(self._send_s):
                return await self._send(read_url(url, self.allowed), headers, body)
        except WebhookRefused as error:
            return Answer(problem=f"refused: {error.what}")
        except TimeoutError:
            return Answer(problem=f"no answer within {self._send_s:g} s")
        except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            return Answer(problem=f"{type(error).__name__}: {error}")
        except (httpcore2.UnsupportedProtocol, OSError, UnicodeError) as error:
            return Answer(problem=f"{type(error).__name__}: {error}")

    async def _send(self, target: Target, headers: dict[str, str], body: bytes) -> Answer:
        sent = {"Host": target.authority, **headers, "Content-Length": str(len(body)), "Connection": "close"}
        async with httpcore2.AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=1,
            max_keepalive_connections=0,
            retries=0,
            network_backend=CheckedBackend(target, self._resolve, self._network),
        ) as pool:
            url = httpcore2.URL(
                scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
            )
            timeouts = {"connect": CONNECT_S, "read": self._send_s, "write": self._send_s, "pool": self._send_s}
            async with pool.stream(
                "POST", url, headers=list(sent.items()), content=body, extensions={"timeout": timeouts}
            ) as response:
                return Answer(status=response.status, retry_after_s=_retry_after_s(response.headers))
            # The answer's body is left unread: nobody here would look at it, and nobody can fill memory with it.


def _retry_after_s(headers: list[tuple[bytes, bytes]]) -> float | None:
    """Seconds that an answer asks to wait; dates are not read: two clocks would have to agree."""
    for name, value in headers:
        if name.lower() == b"retry-after" and value.strip().isdigit():
            return min(float(value[:16]), RETRY_AFTER_S_MAX)
    return None
