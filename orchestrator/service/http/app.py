"""The application: routers, problems, limits and headers put together around one service."""

from importlib.metadata import version
from typing import cast

from fastapi import FastAPI

from orchestrator.ports.observer import Tracing
from orchestrator.service.http import problems
from orchestrator.service.http.access import KeyRing
from orchestrator.service.http.gate import Gate
from orchestrator.service.http.origins import OwnPagesAlone
from orchestrator.service.http.parts import Service
from orchestrator.service.http.rates import Rates
from orchestrator.service.http.refusals import PART as REFUSALS
from orchestrator.service.http.refusals import Refusals
from orchestrator.service.http.routers import ROUTERS
from orchestrator.service.http.state import Kept
from orchestrator.service.http.tracing import PART, Traced

DESCRIPTION = "Runs plans of many agents to verified results. Every error is a problem document (RFC 9457)."


def make_app(service: Service, *, local_alone: bool = False) -> FastAPI:
    """The application of a service that is open already; it opens and closes nothing itself.

    `local_alone`: only requests to this machine by its own names are answered, so that no page of another site reaches
    a service without keys through a name that points here; and what changes something is taken from its own page alone.

    There are no pages that load scripts from elsewhere; the description is at `/v1/openapi.json`.
    """
    app = FastAPI(
        title="hierarchical-orchestrator",
        version=version("hierarchical-orchestrator"),
        description=DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.state.keyring = KeyRing(service.keys, service.clock.now_s) if service.keys is not None else None
    app.state.kept = Kept.of(service)
    app.state.rates = service.rates or Rates(service.clock.now_s)
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    if local_alone:
        app.add_middleware(OwnPagesAlone)
    refusals = cast(Refusals | None, service.parts.get(REFUSALS))
    app.add_middleware(Gate, limits=service.limits, local_alone=local_alone, refusals=refusals)
    observer = cast(Tracing | None, service.parts.get(PART))
    if observer is not None:
        app.add_middleware(Traced, observer=observer, now_s=service.clock.now_s)
    app.openapi = lambda: described(app)  # type: ignore[method-assign]  # FastAPI's own way to have a say in it
    return app


def described(app: FastAPI) -> dict[str, object]:
    """The description of an application, made once: every error in it is a problem document."""
    if app.openapi_schema is None:
        made = FastAPI.openapi(app)
        for path in made["paths"].values():
            for operation in path.values():
                for response in operation["responses"].values():
                    forms = response.get("content", {})
                    for kind in [*forms]:
                        if forms[kind].get("schema", {}).get("$ref") == problems.SCHEMA:
                            forms[problems.MEDIA_TYPE] = forms.pop(kind)
        app.openapi_schema = made
    return app.openapi_schema


__all__ = ["make_app"]
