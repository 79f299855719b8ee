"""What may come over the wire: so many bytes and not one more, and never compressed."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2


class TooManyBytes(Exception):
    """The body passed its limit; the rest was not read."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.limit_bytes = limit_bytes


class Compressed(Exception):
    """The body is compressed though that was not asked for: a few bytes could unpack to any size."""


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, limit_bytes: int) -> None:
        self._inner, self._left, self._limit_bytes = inner, limit_bytes, limit_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._inner:
            self._left -= len(part)
            if self._left < 0:
                raise TooManyBytes(self._limit_bytes)
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


def limit_to(limit_bytes: int) -> Callable[[httpx2.Response], Awaitable[None]]:
    """A response hook for an HTTP client that keeps every body within `limit_bytes`."""

    async def hook(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Compressed
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Counted(response.stream, limit_bytes)

    return hook
