"""Strikes people's data and secrets out of text, of JSON and of streams: the `Redactor` of the port. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from orchestrator.ids import JsonValue
from orchestrator.ports.recogniser import MEANINGS, Recogniser
from orchestrator.ports.redaction import RedactedStream
from orchestrator.safety.recognisers import (
    CONTEXT_CHARS,
    KINDS,
    MATCH_CHARS_MAX,
    AnyKind,
    Find,
    Kind,
    as_typed,
    candidates,
    finds,
)
from orchestrator.safety.segments import segments

HELD_CHARS_MAX: Final = 4 * MATCH_CHARS_MAX  #: of a stream; a longer run without a blank is let go but for its end
DEPTH_MAX: Final = 200  #: of a JSON value; what lies deeper is struck whole
SECRET_CHARS_MIN: Final = 6  #: shorter secrets would strike ordinary words
#: What may go on over a blank: groups of digits and capitals, words that name what follows, and the parts of a key.
_NAMES: Final = (
    r"[\w\"'\-]{0,40}(?i:pass|password|passwd|pwd|secret|key|token|bearer|basic|authorization)[\"']?[:=]?[\"']?"
)
_GROUP: Final = rf"(?:[A-Z0-9+()./\-]{{1,12}}|{_NAMES}|[\"']?[:=][\"']?)"
_TAIL: Final = re.compile(
    rf"(?:(?:(?<=\s)|^)(?:\S{{0,256}}[^\w\s])?{_GROUP}[ \t]{{1,2}}(?:{_GROUP}[ \t]{{1,2}}){{0,24}})?\S*\Z"
)
_PEM: Final = "-----BEGIN"

Mark = Callable[[str, str], str]  #: kind and find to what stands in its place


def plain_mark(kind: str, _: str) -> str:
    """`[email]`."""
    return f"[{kind}]"


class Redactor:
    """Finds of these kinds, and secrets that are known by their value: name to value.

    `recogniser` finds the kinds that no form tells. It is shown one sentence at a time, so that a stream is struck as
    the whole text is.

    Raises:
        ValueError: a secret is so short that it would strike ordinary words, or a kind has nobody who finds it.
    """

    def __init__(
        self,
        kinds: Iterable[AnyKind] = KINDS,
        *,
        secrets: Mapping[str, str] | None = None,
        mark: Mark = plain_mark,
        recogniser: Recogniser | None = None,
    ) -> None:
        given = tuple(kinds)
        self._kinds: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind in given)
        self._meanings = tuple(kind for kind in MEANINGS if kind in given)
        self._mark, self._recogniser = mark, recogniser
        if self._meanings and recogniser is None:
            raise ValueError(f"nobody is there who finds the kind {self._meanings[0]!r}")
        self._secrets = dict(sorted((secrets or {}).items(), key=lambda item: -len(item[1])))
        short = [name for name, value in self._secrets.items() if len(value) < SECRET_CHARS_MIN]
        if short:
            raise ValueError(f"the secret {short[0]!r} has fewer than {SECRET_CHARS_MIN} characters")
        self._longest = max([MATCH_CHARS_MAX, *map(len, self._secrets.values())])

    def text(self, text: str) -> str:
        """See the port."""
        return self._struck(text, 0)

    def value(self, value: JsonValue) -> JsonValue:
        """See the port."""
        return self._value(value, DEPTH_MAX)

    def stream(self) -> RedactedStream:
        """See the port."""
        return _Stream(self)

    def counts(self, text: str) -> list[Find]:
        """The finds in a text, known secrets aside."""
        return finds(text, self._kinds)

    def _value(self, value: JsonValue, depth: int) -> JsonValue:
        if depth == 0:
            return "[too deep]"
        match value:
            case str():
                return self.text(value)
            case bool() | None:
                return value
            case int() | float():
                text = str(value)
                struck = self.text(text)
                return value if struck == text else struck
            case list():
                return [self._value(item, depth - 1) for item in value]
            case dict():
                return {self.text(name): self._value(item, depth - 1) for name, item in value.items()}
        raise TypeError(type(value))

    def _spans(self, text: str, *, all_of_them: bool) -> list[tuple[int, int, str]]:
        """Where something is struck, and as what: known secrets first, then finds that do not touch them."""
        known: list[tuple[int, int, str]] = []
        for name, value in self._secrets.items():
            at = text.find(value)
            while at >= 0:
                end = at + len(value)
                if all_of_them or all(end <= start or stop <= at for start, stop, _ in known):
                    known.append((at, end, f"secret {name}"))
                at = text.find(value, at + 1)
        look = candidates if all_of_them else finds
        for find in look(text, self._kinds):
            if all_of_them or all(find.end <= start or end <= find.start for start, end, _ in known):
                known.append((find.start, find.end, find.kind))
        return sorted(known)

    def _with_meanings(self, text: str, since: int, spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
        """The spans, and what of finds by meaning they leave: a name beside an address is struck, and no word twice."""
        if self._recogniser is None or not self._meanings:
            return spans
        more: list[tuple[int, int, str]] = []
        at = since
        for stop in [*(end for _, end in segments(text, since)), len(text)]:
            for start, end, kind in self._recogniser.found(text[at:stop], self._meanings):
                more += [(*part, kind) for part in _left(text, at + start, at + end, spans)]
            at = stop
        return sorted([*spans, *more])

    def _struck(self, text: str, since: int) -> str:
        """The text from `since` on, struck; what stands before is only looked at."""
        parts: list[str] = []
        at = since
        for start, end, kind in self._with_meanings(text, since, self._spans(text, all_of_them=False)):
            if start >= since:
                parts += [text[at:start], self._mark(kind, text[start:end])]
                at = end
        return "".join([*parts, text[at:]])


class _Stream:
    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._seen = ""  #: the end of what was given out, as it was: a word there may name a number that follows
        self._held = ""

    def feed(self, piece: str) -> str:
        self._held += piece
        return self._give(self._safe())

    def end(self) -> str:
        return self._give(len(self._held))

    def _give(self, upto: int) -> str:
        if upto <= 0:
            return ""
        before = len(self._seen)
        text = self._seen + self._held[:upto]
        struck = self._redactor._struck(text, before)
        self._seen, self._held = text[-2 * CONTEXT_CHARS :], self._held[upto:]
        return struck

    def _safe(self) -> int:
        """How much of what is held no later piece can change."""
        held, longest = self._held, self._redactor._longest
        tail = _TAIL.search(as_typed(held), max(len(held) - HELD_CHARS_MAX, 0))
        safe = tail.start() if tail is not None else len(held)
        opened = held.rfind(_PEM, max(len(held) - longest, 0))
        if opened >= 0:
            safe = min(safe, opened)
        for value in self._redactor._secrets.values():
            safe = min(safe, _begun(held, value))
        safe = max(safe, len(held) - max(longest, HELD_CHARS_MAX))
        before = len(self._seen)
        moved = True
        spans = [
            (start - before, end - before)
            for start, end, _ in self._redactor._spans(self._seen + held, all_of_them=True)
        ]
        while moved:
            whole = self._whole(safe)
            moved, safe = whole != safe, whole
            for start, end in spans:
                if start < safe < end or (start < safe and end == len(held)):
                    safe, moved = start, True
        return max(safe, 0)

    def _whole(self, safe: int) -> int:
        """Where the last piece that is looked at by its meaning has ended; a stream is given out by whole ones."""
        if not self._redactor._meanings:
            return safe
        return max((end for _, end in segments(self._held) if end <= safe), default=0)


def _left(text: str, start: int, end: int, spans: Iterable[tuple[int, int, str]]) -> Iterable[tuple[int, int]]:
    """The parts of a find that no span covers, those without a letter left out."""
    at = start
    for begin, stop, _ in [*spans, (end, end, "")]:
        if begin > at and any(map(str.isalpha, text[at : min(begin, end)])):
            yield at, min(begin, end)
        at = max(at, stop)
        if at >= end:
            return


def _begun(text: str, secret: str) -> int:
    """Where a secret may have begun whose rest is still to come; the end of the text where none has."""
    for length in range(min(len(secret) - 1, len(text)), 0, -1):
        if text.endswith(secret[:length]):
            return len(text) - length
    return len(text)
