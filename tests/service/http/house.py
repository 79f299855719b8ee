"""A service in this process: an engine on a journal in memory, some pools, tenants with keys, and clients."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import httpx2
from fastapi import FastAPI

from orchestrator import Engine
from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.memory.keys import MemoryKeys
from orchestrator.ids import TenantId
from orchestrator.plan.files import parse_plan
from orchestrator.plan.models import Plan
from orchestrator.ports.clock import Clock
from orchestrator.ports.journal import Journal
from orchestrator.ports.keys import SCOPES, ApiKey, Caps, Scope
from orchestrator.service.control_desk import Desk
from orchestrator.service.http.app import make_app
from orchestrator.service.http.key_text import digest_of_key, new_key
from orchestrator.service.http.limits import Limits
from orchestrator.service.http.parts import Service
from orchestrator.service.http.serving import server_of
from orchestrator.service.http.state import Kept
from orchestrator.settings import Settings
from workers import Pool

PLANS = {
    "double": """
version: 1
name: double
description: Twice as much
inputs: {n: {type: integer, default: 3}}
steps:
  twice: {pool: desk, call: double, with: {n: "${{ inputs.n }}"}}
result: ${{ steps.twice.output }}
""",
    "asks": """
version: 1
name: asks
inputs: {text: {type: string, default: the draft}}
steps:
  draft: {pool: desk, call: note, with: {text: "${{ inputs.text }}"}}
  ask:
    human: {ask: "Publish?", show: "${{ steps.draft.output }}", choices: [publish, hold], expires: 1h, then: hold}
  after: {if: steps.ask.output.choice == "publish", pool: desk, call: note, with: {text: published}}
result: ${{ steps.ask.output.choice }}
""",
    "gated": """
version: 1
name: gated
inputs: {name: {type: string, default: gate}}
steps:
  slow: {pool: desk, call: gated, with: {name: "${{ inputs.name }}"}}
result: ${{ steps.slow.output }}
""",
    "fails": """
version: 1
name: fails
inputs: {n: {type: integer, default: 2}}
steps:
  first: {pool: desk, call: note, with: {text: done}}
  odd: {pool: desk, call: odd, needs: [first], with: {n: "${{ inputs.n }}"}, on_fail: [{retry: 1}]}
result: ${{ steps.odd.output }}
""",
    "many": """
version: 1
name: many
inputs: {count: {type: array, items: {type: integer}}}
steps:
  each: {pool: desk, call: double, foreach: {over: "${{ inputs.count }}", as: k}, with: {n: "${{ k }}"}}
result: ${{ steps.each.passed }}
""",
    "paid": """
version: 1
name: paid
budget: {usd: 2.0}
inputs: {usd: {type: number, default: 0.25}}
steps:
  one: {pool: desk, call: paid, with: {usd: "${{ inputs.usd }}"}}
result: ${{ steps.one.output }}
""",
}


@dataclass
class Gates:
    """Steps that wait until a test lets them go on."""

    events: dict[str, anyio.Event] = field(default_factory=dict)

    def of(self, name: str) -> anyio.Event:
        return self.events.setdefault(name, anyio.Event())

    def open(self, name: str = "gate") -> None:
        self.of(name).set()


def pools(gates: Gates) -> list[Pool]:
    desk = Pool("desk", concurrency=16)

    @desk.worker
    async def double(n: int) -> int:
        return n * 2

    @desk.worker
    async def odd(n: int) -> int:
        if n % 2 == 0:
            raise ValueError(f"{n} is even")
        return n

    @desk.worker
    async def note(text: str) -> str:
        return text

    @desk.worker
    async def gated(ctx, name: str) -> str:
        await gates.of(name).wait()
        return name

    @desk.worker
    async def paid(ctx, usd: float) -> float:
        ctx.cost(usd=usd)
        return usd

    return [desk]


@dataclass
class House:
    """A running service, and what tests reach into."""

    service: Service
    app: FastAPI
    engine: Engine
    gates: Gates
    keys: dict[str, str]  #: by tenant: a key with every scope

    def client(self, tenant: str | None = "acme", key: str | None = None) -> httpx2.AsyncClient:
        """A client of a tenant; None: without a key."""
        key = key or (self.keys[tenant] if tenant is not None else None)
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://test",
            headers=headers,
        )

    async def key(self, tenant: str, *scopes: Scope, caps: Caps | None = None, **more: float) -> str:
        """A new key."""
        key, key_id = new_key()
        assert self.service.keys is not None
        stored = ApiKey(
            id=key_id,
            name=f"{tenant} key",
            tenant=TenantId(tenant),
            scopes=scopes or SCOPES,
            digest=digest_of_key(key),
            created_at_s=1.0,
            caps=caps or Caps(),
            **more,
        )
        assert await self.service.keys.add(stored)
        return key


def read_plans() -> dict[str, Plan]:
    return {name: parse_plan(text) for name, text in PLANS.items()}


@asynccontextmanager
async def house(
    *,
    limits: Limits | None = None,
    journal: Journal | None = None,
    clock: Clock | None = None,
    keyless: bool = False,
    settings: Mapping[str, object] | None = None,
) -> AsyncIterator[House]:
    """A service with the tenants acme and other."""
    gates = Gates()
    given = Settings(store="memory:", drain_s=0.0, **(settings or {}))  # type: ignore[arg-type]
    journal = journal or MemoryJournal()
    async with Engine(given, pools=pools(gates), journal=journal, recover=False) as engine:
        service = Service(
            desk=Desk(journal, engine.registry, engine.runs),
            settings=given,
            clock=clock or SystemClock(),
            plans=read_plans(),
            keys=None if keyless else MemoryKeys(),
            limits=limits or Limits(),
        )
        made = House(service, make_app(service), engine, gates, {})
        if not keyless:
            made.keys = {tenant: await made.key(tenant) for tenant in ("acme", "other")}
        yield made
        for name in [*gates.events]:
            gates.open(name)


@asynccontextmanager
async def listening(made: House, send_buffer: int | None = None) -> AsyncIterator[str]:
    """The application behind a real uvicorn on a real socket; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        if send_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        server = server_of(made.app)
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [sock])
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
            kept: Kept = made.app.state.kept
            assert kept.feeds is not None
            kept.feeds.leave()
            server.should_exit = True


async def until_ended(client: httpx2.AsyncClient, run: str) -> dict:
    """The run, once it is over."""
    async with client.stream("GET", f"/v1/runs/{run}/events?said=false", timeout=30) as events:
        async for _ in events.aiter_lines():
            pass
    return (await client.get(f"/v1/runs/{run}")).json()


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for something that others do."""
    with anyio.move_on_after(30) as patience:
        while not await holds():  # noqa: ASYNC110  # nothing tells of it
            await anyio.sleep(0.005)
    assert not patience.cancelled_caught, f"not in time: {what}"
