"""What all caches share: limits, and entries as bytes and back. A vector lies beside, as it is searched."""

from dataclasses import dataclass, replace
from typing import Final

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import CacheError
from orchestrator.ports.cache import CacheEntry

_ENTRY: Final = TypeAdapter(CacheEntry)
OVERHEAD_BYTES: Final = 512  #: of an entry beside its texts, about


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLimits:
    """How much is kept; what was used longest ago goes first."""

    entries_max: int = 100_000
    bytes_max: int = 256 << 20


def entry_bytes(entry: CacheEntry) -> bytes:
    """An entry without its vector and what was observed of it."""
    return _ENTRY.dump_json(replace(entry, vector=(), seen=()))


def entry_of(data: bytes, where: str) -> CacheEntry:
    """The entry that `entry_bytes` wrote.

    Raises:
        CacheError: these bytes are none of this release.
    """
    try:
        return _ENTRY.validate_json(data)
    except ValidationError as error:
        raise CacheError(where, f"an entry cannot be read: {error.error_count()} fields do not fit") from error


def size_of(entry: CacheEntry) -> int:
    """About how much room an entry takes, in bytes."""
    answer = entry.answer
    texts = len(answer.text) + len(entry.question) + sum(len(call.arguments) for call in answer.tool_calls)
    # Data is the text once more, as objects.
    return OVERHEAD_BYTES + 4 * len(entry.vector) + texts * (4 if answer.data is not None else 1)
