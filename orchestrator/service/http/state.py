"""What an application keeps between requests, and how routes get it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from orchestrator.service.http.feeds import Feeds
from orchestrator.service.http.looking import Tallies
from orchestrator.service.http.parts import Service
from orchestrator.service.http.submitting import Submitting


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Counts, streams and submissions of one application."""

    tallies: Tallies
    feeds: Feeds | None  #: None: the service has no engine to follow runs with
    submitting: Submitting

    @classmethod
    def of(cls, service: Service) -> "Kept":
        """For a new application."""
        engine = service.desk.engine
        return cls(
            tallies=Tallies(service),
            feeds=Feeds(engine) if engine is not None else None,
            submitting=Submitting(service),
        )


def kept_of(request: Request) -> Kept:
    """What the application that was asked keeps."""
    found: Kept = request.app.state.kept
    return found


#: A parameter of a route: `async def route(kept: Keeps, ...)`.
Keeps = Annotated[Kept, Depends(kept_of)]
