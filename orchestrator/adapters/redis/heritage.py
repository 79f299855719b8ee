"""What owners left behind: words that they have not read, or could not use, for whoever drives their runs now."""

from collections import deque
from collections.abc import Iterable
from typing import Final, cast

import structlog

from orchestrator.adapters.redis import codec, scripts
from orchestrator.adapters.redis.inbox import Word, id_of
from orchestrator.adapters.redis.limits import LEFT_MAX, READ_MAX, STREAM_KEEP_S
from orchestrator.adapters.redis.sent import Left
from orchestrator.adapters.redis.wire import Wire, mapping_of
from orchestrator.errors import TransportError
from orchestrator.ports import tasks as t

OWNERS_MAX: Final = 64  #: looked at, the latest ones
log = structlog.get_logger(__name__)
NOBODY: Final = "~left"  #: stands where an owner's name would


class Early:
    """Words for tasks that were taken over, before what came for their owner before is read: they wait for that.

    The words of a task are heard in their order, so that all it spent is known before its answer is.
    """

    def __init__(self) -> None:
        self._keys: set[t.TaskKey] = set()
        self._words: list[Word] = []

    def __len__(self) -> int:
        return len(self._words)

    @property
    def expecting(self) -> bool:
        """Whether the words of any task wait."""
        return bool(self._keys)

    def __contains__(self, key: t.TaskKey) -> bool:
        """Whether its words wait."""
        return key in self._keys

    def expect(self, keys: Iterable[t.TaskKey]) -> None:
        """These were taken over. To be called before the server is told, for from then on their words come here."""
        self._keys.update(keys)

    def keep(self, key: t.TaskKey, word: Word) -> bool:
        """Keep it if it has to wait; say whether it has."""
        if key in self._keys:
            self._words.append(word)
            return True
        return False

    def release(self) -> list[Word]:
        """What waited, in its order; from now on nothing waits."""
        words, self._words = self._words, []
        self._keys.clear()
        return words


async def leave_words(wire: Wire, namespace: str, left: deque[Left]) -> None:
    """Keep these for whoever looks for them; each leaves the queue once the server has it.

    Raises:
        TransportError: the server cannot be told now.
    """
    stream, keep_ms = f"{namespace}:in:{NOBODY}", int(STREAM_KEEP_S * 1000)
    while left:
        word = left[0]
        await wire.run(scripts.SAY, stream, LEFT_MAX, keep_ms, "t", word.tag, "b", word.body)
        left.popleft()


async def inherited(wire: Wire, namespace: str, me: str) -> list[Word]:
    """As `left_unread`; what is our own bug there is said, and holds nobody up for ever.

    Raises:
        TransportError: the server cannot be asked now.
    """
    try:
        return await left_unread(wire, namespace, me)
    except TransportError:
        raise
    except Exception:  # whatever it is, asking again would not help
        log.exception("our bug: what other owners left could not be read")
        return []


async def left_unread(wire: Wire, namespace: str, me: str) -> list[Word]:
    """Messages to other owners that are not journaled yet, as far as is known, and those that were left behind.

    The living are not left out: one that gave a run up may not have seen yet what came for it. Questions are left out:
    a worker asks again by itself. Nothing is deleted: others may have taken over other runs of the same owner. What
    comes twice is known by its key, and the streams of the dead are deleted by time.

    Raises:
        TransportError: the server cannot be asked now.
    """
    owners = cast(list[bytes], await wire.call("ZRANGE", f"{namespace}:owners", -OWNERS_MAX, -1))
    others = [name for name in (owner.decode() for owner in owners) if name != me]
    unread = [row for name in others for row in await _rows(wire, f"{namespace}:in:{name}")]
    unread.sort(key=lambda row: id_of(row[0]))  # words of one task may lie with several owners, who read in any order
    # What was left behind came before whatever was not looked at yet.
    return [word for _, word in [*await _rows(wire, f"{namespace}:in:{NOBODY}"), *unread]]


async def _rows(wire: Wire, stream: str) -> list[tuple[str, Word]]:
    """All that is in a stream but questions, with their ids."""
    found: list[tuple[str, Word]] = []
    at = "-"
    while True:
        rows = cast(list[list[object]], await wire.call("XRANGE", stream, at, "+", "COUNT", READ_MAX))
        for entry, pairs in rows:
            at = f"({cast(bytes, entry).decode()}"
            fields = mapping_of(pairs)
            tag, body, blob = fields.get(b"t", b"").decode(errors="replace"), fields.get(b"b", b""), fields.get(b"r")
            if blob is not None:
                body = cast(bytes, await wire.call("GET", blob)) or b""
            if tag not in codec.ASKS:
                found.append((at[1:], (tag, fields, body)))
        if len(rows) < READ_MAX:
            return found
