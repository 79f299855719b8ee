"""A span for each request, so that the runs it starts are part of the caller's trace."""

from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.ports.observer import Tracing

PART: Final = "telemetry"  #: the name under which a service has its observer
QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})  #: asked every few seconds, by nobody who follows a trace


class Traced:
    """ASGI middleware: tells an observer of every request but those of probes."""

    def __init__(self, app: ASGIApp, observer: Tracing, now_s: Callable[[], float]) -> None:
        self._app, self._observer, self._now_s = app, observer, now_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and tell of it."""
        if scope["type"] != "http" or scope["path"] in QUIET:
            await self._app(scope, receive, send)
            return
        method, status = str(scope["method"]), 500  # where nothing was sent, something broke

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._observer.request(method, _traceparent(scope), self._now_s()) as span:
            scope = _going_on(scope, self._observer.here())
            try:
                await self._app(scope, receive, sent)
            finally:
                route = getattr(scope.get("route"), "path", "")  # the form of the address, not what the caller wrote
                span.answered(status, route, method, self._now_s())


def _going_on(scope: Scope, traceparent: str) -> Scope:
    """The request as if its caller were the span of the request: what routes start is below that."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"traceparent"]
    return {**scope, "headers": [*headers, (b"traceparent", traceparent.encode())]}


def _traceparent(scope: Scope) -> str:
    found = [value for name, value in scope["headers"] if name == b"traceparent"]
    return found[0].decode("latin-1") if len(found) == 1 else ""


__all__ = ["PART", "Traced"]
