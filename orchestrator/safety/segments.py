"""Cuts text into pieces that are looked at by their meaning: in the same places however it arrives. Pure."""

import re
from collections.abc import Iterator
from typing import Final

SEGMENT_CHARS_MAX: Final = 1_000  #: of one piece; a longer sentence is cut behind a blank
_BREAK: Final = re.compile(r"[.!?]\s+(?=\S)|\n")


def segments(text: str, start: int = 0) -> Iterator[tuple[int, int]]:
    """Start and end of each whole piece from `start` on, which must begin one. What is left is no whole piece yet:
    more text could still make it longer."""
    while True:
        found = _BREAK.search(text, start, start + SEGMENT_CHARS_MAX)
        if found is not None:
            end = found.end()
        elif len(text) - start > SEGMENT_CHARS_MAX:
            blank = text.rfind(" ", start, start + SEGMENT_CHARS_MAX)
            end = blank + 1 if blank >= 0 else start + SEGMENT_CHARS_MAX
        else:
            return
        yield start, end
        start = end


__all__ = ["SEGMENT_CHARS_MAX", "segments"]
