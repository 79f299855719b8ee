"""A service without keys obeys its own page and programs; what browsers send for a page of another site it refuses."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.service.http.problems import Problem

LOOKING: Final = frozenset({"GET", "HEAD", "OPTIONS"})  #: change nothing; what they answer no other page can read
OWN: Final = frozenset({b"same-origin", b"none"})


class OwnPagesAlone:
    """ASGI middleware: refuses what a browser sends for a page that this service has not served.

    A form of any site can post an empty body here without asking first; with keys it would lack one.

    Source: Fetch standard, `Origin`; Fetch Metadata Request Headers, `Sec-Fetch-Site`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope["method"] not in LOOKING:
            headers = dict(scope["headers"])
            own = f"{scope['scheme']}://".encode() + headers.get(b"host", b"")
            if headers.get(b"origin", own).lower() != own.lower() or headers.get(b"sec-fetch-site", b"none") not in OWN:
                said = "this service without keys takes nothing from pages of other sites"
                refused = Problem(403, "forbidden", said, remedy="use its own page at /ui/, a program, or keys")
                await refused.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


__all__ = ["OwnPagesAlone"]
