"""The routers of the service, one line each. What comes later in the list is asked later."""

from typing import Final

from fastapi import APIRouter

from orchestrator.service.http.health import router as health

ROUTERS: Final[tuple[APIRouter, ...]] = (health,)
