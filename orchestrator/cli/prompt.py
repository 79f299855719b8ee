"""Asks the person at the terminal a run's question."""

import sys
from typing import TYPE_CHECKING, cast

import anyio

from orchestrator.cli.console import clean, date_time, paint, say
from orchestrator.cli.people import who
from orchestrator.engine.operations import Operations
from orchestrator.errors import WrongState
from orchestrator.ids import JsonValue, RunId

if TYPE_CHECKING:
    from orchestrator.app import Engine


async def ask_person(engine: "Engine", question: JsonValue) -> None:
    """Show a question, read a choice and a reason, and journal the answer. An empty line asks again."""
    asked = cast(dict[str, JsonValue], question)
    choices = [str(choice) for choice in cast(list[JsonValue], asked["choices"])]
    print_question(asked)
    choice = await _read_line(f"your choice ({', '.join(choices)}): ")
    close = [one for one in choices if one.startswith(choice.strip())] if choice.strip() else []
    if len(close) != 1:
        say(f"type one of: {', '.join(choices)}" + (" (or Ctrl-C to leave it for later)" if choice else ""))
        return
    reason = await _read_line("reason (may be empty): ")
    try:
        await Operations(engine.runs).approve(
            RunId(str(asked["run"])), str(asked["step"]), close[0], reason=reason.strip(), by=who()
        )
    except WrongState as error:
        say(str(error))  # somebody else was faster, or the time is up


def print_question(asked: dict[str, JsonValue]) -> None:
    """A question with what it is about, on stderr."""
    import json

    say()
    say(paint(f"⏸ {asked['step']}: {clean(str(asked['ask']))}", "bold", sys.stderr))
    show = asked.get("show")
    if show is not None:
        text = show if isinstance(show, str) else json.dumps(show, indent=2, ensure_ascii=False)
        say("\n".join("  │ " + line for line in clean(text).splitlines()))
    then = f"then: {asked['then']}" if asked.get("then") is not None else "then the step fails"
    expires = asked.get("expires_at")
    say(f"  open until {date_time(expires if isinstance(expires, int | float) else None)}, {then}")


async def _read_line(prompt: str) -> str:
    """One line from the terminal, without a thread that nobody could stop."""
    print(prompt, end="", file=sys.stderr, flush=True)
    await anyio.wait_readable(sys.stdin)
    line = sys.stdin.readline()
    if not line:  # Ctrl-D: nobody is there
        await anyio.sleep_forever()
    return line
