"""The redaction port: what may not leave in clear is struck out of text, of JSON and of streams, at every sink.

A sink is whatever writes for others to read: a log, a trace, the journal, a webhook, an answer. It asks the redactor
right before it writes. Redaction is pure and does not wait, so that it can stand anywhere.
"""

from typing import Final, Protocol

from orchestrator.ids import JsonValue


class RedactedStream(Protocol):
    """One text that comes in pieces. What could still be part of a find is held back until it cannot."""

    def feed(self, piece: str) -> str:
        """What may be shown after this piece: text that was fed before and not yet given out, struck; may be empty."""
        ...

    def end(self) -> str:
        """What was still held back, struck. The pieces given out, put together, are `Redactor.text` of the whole."""
        ...


class Redactor(Protocol):
    """Strikes out what it was told to find. Never raises on any text, and what it has struck it leaves alone."""

    def text(self, text: str) -> str:
        """The text with a mark such as `[email]` in the place of every find."""
        ...

    def value(self, value: JsonValue) -> JsonValue:
        """The same for every text and every name in a JSON value; the value itself is not changed.

        Numbers are looked at too: one that is a find becomes its mark.
        """
        ...

    def stream(self) -> RedactedStream:
        """A new stream; streams know nothing of each other."""
        ...


class _ClearStream:
    def feed(self, piece: str) -> str:
        return piece

    def end(self) -> str:
        return ""


class _Clear:
    def text(self, text: str) -> str:
        return text

    def value(self, value: JsonValue) -> JsonValue:
        return value

    def stream(self) -> RedactedStream:
        return _ClearStream()


CLEAR: Final[Redactor] = _Clear()  #: strikes nothing out: for sinks that were told so
