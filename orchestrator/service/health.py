"""The small HTTP page of a fleet's process: is it alive, is it ready, how much has each pool to do.

For probes and scalers inside a cluster, hence read-only, without keys, and with nothing on it but numbers and names.
One request per connection.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
from anyio.abc import SocketAttribute, SocketStream

from orchestrator.errors import OrchestratorError, PromiseError
from orchestrator.ids import JsonValue
from orchestrator.ports.tasks import Backlog

HEAD_BYTES_MAX: Final = 8_192  #: of a request, headers included
REQUEST_S: Final = 5.0  #: to send one, and to be answered
CONNECTIONS_MAX: Final = 64  #: at the same time; more wait
_TEXT, _JSON = "text/plain; charset=utf-8", "application/json"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_WORDS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a process tells of itself."""

    role: str  #: supervisor or worker
    ready: Callable[[], str]  #: empty when it can work, else why not
    backlog: Callable[[], Awaitable[Sequence[Backlog]]] | None = None  #: None: this process does not know
    pools: tuple[str, ...] = ()  #: those that exist; one without work has a backlog of 0


@asynccontextmanager
async def serve_health(address: str, health: Health) -> AsyncIterator[int]:
    """Answer at `host:port` while the block runs; gives the port, which is a free one where 0 was asked for.

    Raises:
        PromiseError: the address cannot be used.
    """
    host, _, port = address.rpartition(":")
    if not port.isdigit() or int(port) > 65_535:
        raise PromiseError(f"{address!r} is no address to listen at", "use host:port, such as 127.0.0.1:9464")
    try:
        listener = await anyio.create_tcp_listener(local_host=host.strip("[]") or "127.0.0.1", local_port=int(port))
    except OSError as error:
        raise PromiseError(f"cannot listen at {address}: {error}", "choose another --http host:port") from error
    slots = anyio.Semaphore(CONNECTIONS_MAX)

    async def answer(stream: SocketStream) -> None:
        async with stream, slots:
            with anyio.move_on_after(REQUEST_S):
                await _serve(stream, health)

    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer)
        yield listener.extra(SocketAttribute.local_port)  # noqa: S610  # anyio's word, no database in sight
        group.cancel_scope.cancel()
    await listener.aclose()


async def _serve(stream: SocketStream, health: Health) -> None:
    head = b""
    try:
        while b"\r\n\r\n" not in head and len(head) <= HEAD_BYTES_MAX:
            head += await stream.receive(HEAD_BYTES_MAX)
        status, kind, body = await answer_of(head, health)
        data = body.encode()
        lines = [f"HTTP/1.1 {status} {_WORDS[status]}", f"Content-Type: {kind}", f"Content-Length: {len(data)}"]
        lines += ["Cache-Control: no-store", "Connection: close", "", ""]
        await stream.send("\r\n".join(lines).encode() + data)
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return  # whoever asked has gone


async def answer_of(head: bytes, health: Health) -> tuple[int, str, str]:
    """Status, content type and body for the head of a request."""
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if len(head) > HEAD_BYTES_MAX or len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return 400, _TEXT, "this is no HTTP request\n"
    if words[0] not in (b"GET", b"HEAD"):
        return 405, _TEXT, "only GET\n"
    path = words[1].split(b"?", 1)[0].decode("latin-1")
    if path == "/healthz":
        return 200, _TEXT, f"{health.role} is alive\n"
    if path == "/readyz":
        why = health.ready()
        return (503, _TEXT, f"{why}\n") if why else (200, _TEXT, "ready\n")
    if health.backlog is None or not (path in {"/metrics", "/v1/pools"} or path.startswith("/v1/pools/")):
        return 404, _TEXT, "there is /healthz and /readyz\n" if health.backlog is None else _PLACES
    try:
        found = {str(one.pool): one for one in await health.backlog()}
    except OrchestratorError as error:
        return 503, _TEXT, f"{error}\n"
    rows = [document(found.get(name), name) for name in sorted({*health.pools, *found})]
    if path == "/metrics":
        return 200, _METRICS, metrics(rows)
    if path == "/v1/pools":
        return 200, _JSON, json.dumps(rows) + "\n"
    for row in rows:
        if path == f"/v1/pools/{row['pool']}/backlog":
            return 200, _JSON, json.dumps(row) + "\n"
    return 404, _TEXT, "there is no such pool\n"


_PLACES: Final = "there is /healthz, /readyz, /metrics, /v1/pools and /v1/pools/{pool}/backlog\n"


def document(backlog: Backlog | None, pool: str) -> dict[str, JsonValue]:
    """The backlog of a pool; `backlog` in it is the scaling signal: waiting + delayed + running."""
    one = backlog or Backlog(pool=pool)  # type: ignore[arg-type]  # a name is a name
    return {
        "pool": pool,
        "backlog": one.waiting + one.delayed + one.running,
        "waiting": one.waiting,
        "delayed": one.delayed,
        "running": one.running,
        "oldest_wait_s": round(one.oldest_wait_s, 3),
        "by_lane": dict(one.by_lane),
    }


def metrics(rows: Sequence[dict[str, JsonValue]]) -> str:
    """The same as gauges, in Prometheus' text format."""
    lines = [
        "# HELP orchestrator_pool_backlog Tasks that need a worker: waiting, delayed and running.",
        "# TYPE orchestrator_pool_backlog gauge",
        *(f'orchestrator_pool_backlog{{pool="{row["pool"]}"}} {row["backlog"]}' for row in rows),
        "# HELP orchestrator_pool_tasks Tasks of a pool by state.",
        "# TYPE orchestrator_pool_tasks gauge",
    ]
    for row in rows:
        lines += [
            f'orchestrator_pool_tasks{{pool="{row["pool"]}",state="{state}"}} {row[state]}'
            for state in ("waiting", "delayed", "running")
        ]
    lines += [
        "# HELP orchestrator_pool_oldest_wait_seconds How long the oldest waiting task has waited.",
        "# TYPE orchestrator_pool_oldest_wait_seconds gauge",
        *(f'orchestrator_pool_oldest_wait_seconds{{pool="{row["pool"]}"}} {row["oldest_wait_s"]}' for row in rows),
    ]
    return "\n".join(lines) + "\n"


__all__ = ["Health", "answer_of", "document", "metrics", "serve_health"]
