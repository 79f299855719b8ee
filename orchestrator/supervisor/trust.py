"""What a planner may be shown of data that nobody vouches for, and what a draft may not have got from it."""

import re
from collections.abc import Iterable
from typing import Final

from orchestrator.ids import JsonValue

SHAPE_DEPTH: Final = 3  #: levels of a value that a planner is told of
SHAPE_NAMES: Final = 20  #: names of one object
NAME_CHARS: Final = 40
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ADDRESS: Final = re.compile(
    r"(?:[a-z][a-z0-9+.\-]{1,20}:\s*/\s*/|\bwww\.|\b(?:data|javascript|mailto|file):)\S*"
    r"|\b(?:\d{1,3}\.){3}\d{1,3}\b"
    r"|\b(?:[a-z0-9](?:[a-z0-9\-]{0,62})\.)+(?:com|net|org|io|dev|ai|app|co|info|biz|xyz|ru|cn|evil|example|test|local)\b",
    re.IGNORECASE,
)


def shape(value: JsonValue, depth: int = SHAPE_DEPTH) -> JsonValue:
    """The form of a value without its contents: kinds, counts, and names that are plain words.

    A planner writes instructions, so it is never shown text that a document, a tool or another model has written.
    """
    if isinstance(value, dict):
        names = [name for name in value if _PLAIN_NAME.match(name) and len(name) <= NAME_CHARS]
        if depth == 0 or len(names) < len(value):
            return {"object": len(value)}
        return {name: shape(value[name], depth - 1) for name in names[:SHAPE_NAMES]}
    if isinstance(value, list):
        return {"list": len(value), "of": shape(value[0], depth - 1) if value and depth else None}
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float):
        return "number"
    return "null" if value is None else f"text of {len(value)} characters"


def addresses(text: str) -> set[str]:
    """Everything in a text that names a place in a network, in one spelling."""
    return {re.sub(r"\s", "", found.group()).rstrip(".,;:)]}'\"").casefold() for found in _ADDRESS.finditer(text)}


def foreign_addresses(written: Iterable[str], trusted: Iterable[str]) -> list[str]:
    """Addresses that a draft holds and no trusted text does, sorted."""
    known = set().union(*map(addresses, trusted))
    return sorted(set().union(*map(addresses, written)) - known)
