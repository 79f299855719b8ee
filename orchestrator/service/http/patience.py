"""Connections: cut when a request's head does not arrive in time, and answered without a wait for acknowledgements."""

import asyncio
import socket
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_S: Final = 10.0  #: for a request's line and headers, from the first byte or the beginning of the connection


class PatientProtocol(H11Protocol):
    """uvicorn's own protocol, with a limit on how long a head may take; it has one between requests alone."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        super().connection_made(transport)  # type: ignore[arg-type]  # as asyncio hands it over
        # asyncio does this for sockets that name their protocol alone, and ours do not. Without it, the body of every
        # answer on a connection that is used again waits some 40 ms for the other side to acknowledge the head.
        taken: socket.socket = transport.get_extra_info("socket")
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._late = self.loop.call_later(HEAD_S, self._cut)

    def data_received(self, data: bytes) -> None:
        """Bytes came: once a request is whole nobody is late; part of the next one sets the clock again."""
        super().data_received(data)
        if self._answering():
            self._stop()
        elif self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(HEAD_S, self._cut)

    def on_response_complete(self) -> None:
        """A request is answered; part of the next one may have come with it."""
        super().on_response_complete()
        if self._late is None and not self._answering() and self.conn.trailing_data[0]:
            self._late = self.loop.call_later(HEAD_S, self._cut)

    def connection_lost(self, exc: Exception | None) -> None:
        """They left."""
        self._stop()
        super().connection_lost(exc)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _cut(self) -> None:
        self._late = None
        if not self._answering():
            self.transport.close()

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request is whole
        return cycle is not None and not cycle.response_complete
