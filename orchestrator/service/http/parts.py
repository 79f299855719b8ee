"""What the routes of one service stand on, and how a route gets it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Protocol, TypeVar

from fastapi import Depends, Request

from orchestrator.engine.engine import RunEngine
from orchestrator.errors import PromiseError
from orchestrator.plan.models import Plan
from orchestrator.ports.artifacts import Artifacts
from orchestrator.ports.clock import Clock
from orchestrator.ports.fleet import Fleet
from orchestrator.ports.journal import Journal
from orchestrator.ports.keys import Keys
from orchestrator.service.control_desk import Desk
from orchestrator.service.http.limits import Limits
from orchestrator.service.http.rates import Rates
from orchestrator.settings import Settings
from orchestrator.supervisor.rules import Supervisor

T = TypeVar("T")


class Ready(Protocol):
    """Says whether the service can take work: empty, or why not."""

    def __call__(self) -> str:
        """Empty when it can."""
        ...


def _always() -> str:
    return ""


async def _any(_: Plan) -> None:
    """Every plan is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Everything a route may use. One per application; `parts` holds what other routers bring, by a name of theirs."""

    desk: Desk
    settings: Settings
    clock: Clock
    plans: Mapping[str, Plan] = field(default_factory=dict)  #: those that may be run by name
    keys: Keys | None = None  #: None: no keys are asked for, and whoever reaches the port is the tenant `default`
    fleet: Fleet | None = None  #: of a service whose workers are other processes
    artifacts: Artifacts | None = None
    limits: Limits = field(default_factory=Limits)
    rates: Rates | None = None  #: None: requests are counted by this process alone
    ready: Ready = _always
    vet: Callable[[Plan], Awaitable[None]] = _any  #: refuses what the workers of a fleet cannot do
    supervisor: Supervisor | None = None  #: by whose rules goals are planned; None: the common ones
    parts: Mapping[str, object] = field(default_factory=dict)

    @property
    def engine(self) -> RunEngine:
        """The engine that runs are handed to.

        Raises:
            PromiseError: this service only looks.
        """
        if self.desk.engine is None:
            raise PromiseError("this service only looks at the journal", "ask one that was started with an engine")
        return self.desk.engine

    @property
    def journal(self) -> Journal:
        """The journal of every run."""
        return self.desk.journal

    def part(self, name: str, kind: type[T]) -> T:
        """What a router has put under a name.

        Raises:
            PromiseError: this service was started without it.
        """
        found = self.parts.get(name)
        if not isinstance(found, kind):
            raise PromiseError(f"this service has no {name}", "ask one that was started with them")
        return found


def service_of(request: Request) -> Service:
    """The service of the application that was asked."""
    found: Service = request.app.state.service
    return found


#: A parameter of a route: `async def route(service: Parts, ...)`.
Parts = Annotated[Service, Depends(service_of)]
