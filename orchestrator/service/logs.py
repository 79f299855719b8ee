"""Log lines of a process: with the run, step and trace they speak of, as text or JSON, redacted on their way out."""

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, Literal

import structlog

from orchestrator.errors import PromiseError
from orchestrator.ports.redaction import CLEAR, Redactor

VARIABLE: Final = "ORCHESTRATOR_LOG"
Form = Literal["text", "json"]
Event = MutableMapping[str, Any]
Processor = Callable[[Any, str, Event], Any]


def form_of(environment: Mapping[str, str]) -> Form:
    """How lines are written: what ORCHESTRATOR_LOG says, else as text.

    Raises:
        PromiseError: there is no such form.
    """
    found = environment.get(VARIABLE, "") or "text"
    if found not in {"text", "json"}:
        raise PromiseError(f"{VARIABLE}={found} is not known", "use text or json")
    return "json" if found == "json" else "text"


def processors(
    form: Form,
    trace_of_run: Callable[[str], str] = lambda _: "",
    redactor: Redactor = CLEAR,
    said_here: Callable[[], Mapping[str, object]] = dict,
) -> list[Processor]:
    """What structlog does with an event, in order. `trace_of_run` gives a run's trace id, empty where it has none.

    `said_here` tells run, step, attempt, trace and span of the task whose code is writing, which are added to its
    lines; lines of the engine name their run themselves.
    """

    def with_task(_: Any, __: str, event: Event) -> Event:
        for name, value in said_here().items():
            event.setdefault(name, value)
        return event

    def with_trace(_: Any, __: str, event: Event) -> Event:
        run = event.get("run")
        if isinstance(run, str) and "trace_id" not in event and (found := trace_of_run(run)):
            event["trace_id"] = found
        return event

    def struck(_: Any, __: str, event: Event) -> Event:
        return {
            name: redactor.value(value) if isinstance(value, str | list | dict) else value
            for name, value in event.items()
        }

    written: Processor
    if form == "json":
        written = structlog.processors.JSONRenderer(sort_keys=True, default=str)
    else:
        written = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    stamped: list[Processor] = [structlog.processors.TimeStamper(fmt="iso", utc=True)] if form == "json" else []
    return [
        structlog.contextvars.merge_contextvars,
        with_task,
        structlog.processors.add_log_level,
        *stamped,
        with_trace,
        structlog.processors.format_exc_info,  # a traceback may hold what was worked on: text, to be struck as well
        struck,
        written,
    ]


__all__ = ["Form", "form_of", "processors"]
