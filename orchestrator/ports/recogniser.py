"""The recogniser port: who finds people's data by its meaning, where its form tells nothing, such as names."""

from collections.abc import Iterable
from typing import Final, Protocol

MEANINGS: Final = ("person", "place")  #: kinds that no form and no check digit tells
Found = tuple[int, int, str]  #: start and end in the text, and the kind


class Recogniser(Protocol):
    """Finds by meaning. It may be slow, and is asked from threads; it never raises on any text."""

    def found(self, text: str, kinds: Iterable[str]) -> list[Found]:
        """What of these kinds lies in a text, from left to right, none over another. It sees this text and no more."""
        ...
