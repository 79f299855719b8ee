"""A process that serves: engine, application and port put together, until it is asked to go."""

import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import anyio
import uvicorn
from fastapi import FastAPI

from orchestrator.app import Engine
from orchestrator.app.service import open_keys
from orchestrator.engine.ownership import Owns
from orchestrator.errors import OrchestratorError, PlanError, PlanIssue, PromiseError
from orchestrator.fleet import open_fleet
from orchestrator.plan.files import SUFFIX, load_plan
from orchestrator.plan.models import Plan
from orchestrator.ports.keys import Keys
from orchestrator.service.control import serve_control
from orchestrator.service.control_desk import Desk
from orchestrator.service.fleet_worker import Say, until_asked_to_go
from orchestrator.service.http.app import make_app
from orchestrator.service.http.key_text import is_in_force
from orchestrator.service.http.limits import CONNECTIONS_MAX, HEAD_BYTES_MAX, Limits
from orchestrator.service.http.parts import Service
from orchestrator.service.http.patience import PatientProtocol
from orchestrator.service.http.routers import OPENERS
from orchestrator.service.http.state import Kept
from orchestrator.settings import Settings, on_redis, on_server, store_path

BACKLOG: Final = 2_048  #: connections that wait to be accepted
KEEP_ALIVE_S: Final = 30  #: of a connection between two requests
PLANS_MAX: Final = 1_000  #: with a name
ANSWER_S: Final = 5.0  #: for requests under way when the process is asked to go; streams are ended first


@dataclass(slots=True)
class Going:
    """Whether the service is about to end."""

    why: str = field(default="starting")  #: empty: it takes work


@asynccontextmanager
async def open_service(
    settings: Settings,
    *,
    plans: Mapping[str, Plan],
    keyless: bool,
    going: Going,
    limits: Limits | None = None,
) -> AsyncIterator[Service]:
    """A service on the settings' store and transport. What still runs when the block ends is drained.

    With `memory:` as transport this process drives the runs itself; on a fleet supervisors do, and it hands runs in.

    Raises:
        JournalOwned: another process has the store.
        PromiseError: store, transport or a pool module cannot be used.
    """
    async with AsyncExitStack() as stack:
        engine = Engine(settings, recover=True, owns=owns_of(settings))
        await stack.enter_async_context(engine)
        journal = engine.runs.journal
        desk = Desk(journal, engine.registry, engine.runs)
        file = store_path(settings.store)
        if file is not None:
            await stack.enter_async_context(serve_control(file, desk))
        keys = None if keyless else await open_keys(settings, journal)
        if keys is not None:
            stack.push_async_callback(keys.close)
        fleet = await stack.enter_async_context(open_fleet(settings)) if on_redis(settings.transport) else None
        service = Service(
            desk=desk,
            settings=settings,
            clock=engine.runs.clock,
            plans=plans,
            keys=keys,
            fleet=fleet,
            limits=limits or Limits(requests_at_once=settings.requests_at_once),
            ready=lambda: going.why,
            vet=engine.vet,
        )
        for opener in OPENERS:
            more = await stack.enter_async_context(opener(service, engine))
            service = replace(service, parts={**service.parts, **more})
        yield service


def owns_of(settings: Settings) -> Owns:
    """What a service drives itself: everything of a store it has alone, orphans of a shared one, nothing on a fleet."""
    if on_redis(settings.transport):
        return "nothing"
    return "leased" if on_server(settings.store) else "mine"


def read_plans(folder: Path | None) -> dict[str, Plan]:
    """The plans of a folder, by the name that each gives itself.

    Raises:
        PromiseError: there is no such folder, or it holds too many.
        PlanError: a file is no plan, or two have one name.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise PromiseError(f"there is no folder {folder}", "name one that holds files such as brief.plan.yaml")
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if len(files) > PLANS_MAX:
        raise PromiseError(f"{folder} holds {len(files):,} plans", f"keep it to {PLANS_MAX:,}")
    found: dict[str, tuple[Path, Plan]] = {}
    for file in files:
        plan = load_plan(file)
        if plan.name in found:
            said = f"two plans are called {plan.name!r}; the other is {found[plan.name][0]}"
            raise PlanError((PlanIssue(message=said, file=str(file), expected="a name of its own"),))
        found[plan.name] = (file, plan)
    return {name: plan for name, (_, plan) in found.items()}


def is_loopback(host: str) -> bool:
    """Whether an address reaches nobody but this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def must_be_guarded(host: str, keys: Keys | None, now_s: float) -> bool:
    """Refuse an address that strangers reach where no key would keep them out; return whether there are keys.

    Raises:
        PromiseError: it is not loopback, and there is no key in force.
    """
    if keys is None:
        if not is_loopback(host):
            raise PromiseError(
                f"--no-keys lets everybody in who reaches {host}", "listen on 127.0.0.1, or make a key and leave it out"
            )
        return False
    there = any(is_in_force(key, now_s) for key in await keys.all())
    if not there and not is_loopback(host):
        raise PromiseError(
            f"nobody could use a service on {host}: there is no key", "make one first: orchestrator keys create NAME"
        )
    return there


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that takes connections.

    Raises:
        PromiseError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise PromiseError(f"cannot listen at {host}:{port}: {error}", "choose another --host or --port") from error
    with made:
        yield made


class _Server(uvicorn.Server):
    """uvicorn without its own ears: signals are this process's to hear."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


def server_of(app: FastAPI) -> uvicorn.Server:
    """What answers HTTP for an application."""
    return _Server(
        uvicorn.Config(
            app,
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(ANSWER_S),
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
            backlog=BACKLOG,
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How a service is reached, and what it offers."""

    host: str = "127.0.0.1"
    port: int = 8000  #: 0: a free one
    plans: Path | None = None
    keyless: bool = False
    grace_s: float = 20.0  #: for running steps when asked to go


async def serve(settings: Settings, options: ServeOptions, say: Say) -> int:
    """Serve until a signal comes; return its number.

    Then nothing new is accepted, streams are ended, and running steps have `grace_s` seconds; what does not come home
    is journaled as given up and goes on with the next process.

    Raises:
        JournalOwned: another process has the store.
        PromiseError: the address, the store, the transport, the keys or a pool module cannot be used.
        PlanError: a file of the plans' folder is no plan.
    """
    plans = read_plans(options.plans)
    if options.keyless:
        await must_be_guarded(options.host, None, 0.0)
    going = Going()
    async with AsyncExitStack() as stack:
        sock = stack.enter_context(listening(options.host, options.port))
        given = settings.model_copy(update={"drain_s": options.grace_s})
        service = await stack.enter_async_context(
            open_service(given, plans=plans, keyless=options.keyless, going=going)
        )
        guarded = await must_be_guarded(options.host, service.keys, service.clock.now_s())
        app = make_app(service, local_alone=options.keyless)
        _tell(service, options, sock, guarded=guarded, say=say)
        server = server_of(app)
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [sock])
            going.why = ""
            number = await until_asked_to_go(say)
            going.why = "leaving"
            driven = len(service.engine.drivers())
            say(
                f"going: nothing new is taken; up to {options.grace_s:g} s for {driven} open runs"
                if driven
                else "going"
            )
            kept: Kept = app.state.kept
            if kept.feeds is not None:
                kept.feeds.leave()
            server.should_exit = True
        return number


def _tell(service: Service, options: ServeOptions, sock: socket.socket, *, guarded: bool, say: Say) -> None:
    """Say where the service is, what it offers, and what somebody might miss."""
    for name, plan in service.plans.items():
        try:
            service.engine.prepare(plan)
        except OrchestratorError as error:
            say(f"plan {name} will be refused here: {error}")
    pools = ", ".join(sorted(service.desk.pools_known.pools()))
    drives = "supervisors drive the runs" if service.fleet is not None else f"runs are driven here; pools {pools}"
    say(f"{drives}; plans with a name: {', '.join(sorted(service.plans)) or 'none'}")
    if service.keys is None:
        say("no keys are asked for: whoever can open a connection on this machine may do everything")
    elif not guarded:
        say("there is no key yet, so nobody is let in; make one: orchestrator keys create NAME")
    host = f"[{options.host}]" if ":" in options.host else options.host
    say(f"serving at http://{host}:{sock.getsockname()[1]}")


__all__ = ["Going", "ServeOptions", "open_service", "read_plans", "serve", "server_of"]
