"""`--session ID`: a run as a turn of a conversation."""

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import typer

from orchestrator.cli.console import paint, say
from orchestrator.cli.people import who
from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue

if TYPE_CHECKING:
    from orchestrator.app import Engine
    from orchestrator.engine.handle import Run
    from orchestrator.plan.models import Plan
    from orchestrator.plan.parts import Budget

WAIT_S: Final = 60.0  #: for the turn before, where this process or another one is at it
SessionId = Annotated[
    str | None,
    typer.Option("--session", metavar="ID", help="Make it a turn of this conversation, which is begun if need be."),
]


async def start(
    engine: "Engine",
    plan: "Plan",
    values: Mapping[str, JsonValue],
    *,
    session: str | None,
    text: str | None = None,
    budget: "Budget | None" = None,
    lane: str = "normal",
    idempotency_key: str | None = None,
) -> "Run":
    """Start a run; with a session as its next turn, which says `text`, or what the inputs say.

    Raises:
        PromiseError: nothing was said.
        And as `Engine.submit`, or `Session.begin`.
    """
    if session is None:
        return await engine.submit(plan, values, budget=budget, lane=lane, idempotency_key=idempotency_key, by=who())
    started = await engine.session(session).begin(
        plan,
        said(values) if text is None else text,
        inputs=values,
        budget=budget,
        lane=lane,
        idempotency_key=idempotency_key,
        wait_s=WAIT_S,
    )
    say(f"{paint('·', 'dim', sys.stderr)} session {session}, turn {started.number}")
    return started.run


async def finish(engine: "Engine", session: str | None, run: "Run") -> None:
    """Write the answer of a turn whose run has ended; what waits for a person is written by whoever looks later."""
    if session is not None:
        await engine.session(session).settle(run.id)


def said(values: Mapping[str, JsonValue]) -> str:
    """What inputs say in a conversation: the one called `text`, or all of them as JSON.

    Raises:
        PromiseError: nothing.
    """
    text = values.get("text")
    if isinstance(text, str) and text:
        return text
    if not values:
        raise PromiseError("a turn without words", "say something: -i text=…")
    return json.dumps(dict(values), ensure_ascii=False)
