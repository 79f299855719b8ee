"""A span before OpenTelemetry, and the book in which those of one run are open."""

from dataclasses import dataclass, field
from typing import Final, Literal

from orchestrator.adapters.otel import names
from orchestrator.ids import JsonValue, RunId

EVENTS_MAX: Final = 32  #: of one span
CONTENT_CHARS_MAX: Final = 4_096  #: of one attribute that holds content
Attribute = str | bool | int | float
Key = tuple[object, ...]
Kind = Literal["internal", "client", "server", "consumer"]


@dataclass(slots=True)
class Span:
    """One span; open while `end_s` is below `start_s`."""

    trace: int
    id: int
    parent: int  #: 0: none
    name: str
    start_s: float
    end_s: float = -1.0
    kind: Kind = "internal"
    remote: bool = False  #: its parent is of another process
    error: str = ""  #: what `error.type` says
    content: bool = False  #: some attribute holds content, which is redacted at the sink
    attributes: dict[str, Attribute] = field(default_factory=dict)
    events: list[tuple[str, float, dict[str, Attribute]]] = field(default_factory=list)

    def note(self, name: str, at_s: float, **attributes: Attribute) -> None:
        """Something that happened meanwhile; at most `EVENTS_MAX` are kept."""
        if len(self.events) < EVENTS_MAX:
            self.events.append((name, at_s, attributes))


class SpanBook:
    """Begins and ends the spans of one run; those that have ended lie in `done`."""

    def __init__(self, run: RunId, trace: int, *, content: bool) -> None:
        self.run, self.trace, self._content = run, trace, content
        self._open: dict[Key, Span] = {}
        self._done: list[Span] = []

    def _begin(self, key: Key, span: int, parent: int, name: str, at_s: float) -> Span:
        made = self._open[key] = Span(self.trace, span, parent, name, at_s)
        return made

    def _end(self, key: Key, at_s: float, error: str = "") -> Span | None:
        span = self._open.pop(key, None)
        if span is not None:
            span.end_s, span.error = max(at_s, span.start_s), error or span.error
            self._done.append(span)
        return span

    def _moment(self, span: int, parent: int, name: str, start_s: float, end_s: float) -> Span:
        made = Span(self.trace, span, parent, name, min(start_s, end_s), end_s)
        made.attributes[names.RUN] = self.run
        self._done.append(made)
        return made

    def _say(self, span: Span, name: str, value: JsonValue) -> None:
        """Content: nothing unless it is asked for."""
        if self._content and value not in (None, "", [], ()):
            text = value if isinstance(value, str) else repr(value)
            span.attributes[name], span.content = text[:CONTENT_CHARS_MAX], True
