"""A whole service, with everything that `serve` opens, in a thread with a loop of its own: for clients that block."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.from_thread

from orchestrator.ids import TenantId
from orchestrator.ports.keys import SCOPES, ApiKey, Caps, Scope
from orchestrator.service.http.app import make_app
from orchestrator.service.http.key_text import digest_of_key, new_key
from orchestrator.service.http.limits import Limits
from orchestrator.service.http.parts import Service
from orchestrator.service.http.serving import Going, open_service, server_of
from orchestrator.service.http.state import Kept
from orchestrator.settings import Settings, WebhookSettings
from tests.service.http.house import read_plans

POOLS = "tests.service.http.served_pools"
WIDE = Limits(
    requests_per_minute=10_000_000, guesses_per_minute=10_000_000, queue_depth=100_000, open_runs_per_tenant=100_000
)


@dataclass
class Threaded:
    """A service in another thread."""

    url: str = ""
    keys: dict[str, str] = field(default_factory=dict)  #: by name: `acme`, `other`, and one per scope as `acme:read`
    service: Service | None = None


@contextmanager
def threaded(folder: Path, limits: Limits = WIDE, loopback: Sequence[str] = ()) -> Iterator[Threaded]:
    """A service on a SQLite file, with two tenants and keys of one scope each; `loopback`: receivers of webhooks."""
    made, up = Threaded(), threading.Event()
    stop: list[anyio.Event] = []
    broken: list[BaseException] = []

    async def work() -> None:
        settings = Settings(
            store=f"sqlite:///{folder}/journal.db",
            pools=(POOLS,),
            drain_s=0.0,
            open_runs_max=100_000,
            webhooks=WebhookSettings(loopback=tuple(loopback)),
        )
        going = Going()
        with socket.create_server(("127.0.0.1", 0)) as sock:
            async with open_service(settings, plans=read_plans(), keyless=False, going=going, limits=limits) as service:
                for tenant in ("acme", "other"):
                    made.keys[tenant] = await add_key(service, tenant, *SCOPES)
                    for scope in SCOPES:
                        made.keys[f"{tenant}:{scope}"] = await add_key(service, tenant, scope)
                going.why, made.service = "", service
                app = make_app(service)
                server = server_of(app)
                stopped = anyio.Event()
                stop.append(stopped)
                made.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
                async with anyio.create_task_group() as group:
                    group.start_soon(server.serve, [sock])
                    up.set()
                    await stopped.wait()
                    kept: Kept = app.state.kept
                    assert kept.feeds is not None
                    kept.feeds.leave()
                    server.should_exit = True

    def run() -> None:
        try:
            anyio.run(entered)
        except BaseException as error:  # noqa: BLE001  # raised in the thread that waits
            broken.append(error)
        finally:
            up.set()

    loop: list[object] = []

    async def entered() -> None:
        loop.append(anyio.lowlevel.current_token())
        await work()

    thread = threading.Thread(target=run, name="service")
    thread.start()
    up.wait()
    try:
        if broken:
            raise broken[0]
        yield made
    finally:
        if stop:
            anyio.from_thread.run_sync(stop[0].set, token=loop[0])  # type: ignore[arg-type]  # as the loop gave it
        thread.join(30)
    if broken:
        raise broken[0]


async def add_key(service: Service, tenant: str, *scopes: Scope, caps: Caps | None = None) -> str:
    """A new key of a service."""
    key, key_id = new_key()
    assert service.keys is not None
    stored = ApiKey(
        id=key_id,
        name=f"{tenant} key",
        tenant=TenantId(tenant),
        scopes=scopes,
        digest=digest_of_key(key),
        created_at_s=service.clock.now_s(),
        caps=caps or Caps(),
    )
    assert await service.keys.add(stored)
    return key
