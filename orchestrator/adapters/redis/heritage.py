"""What owners left behind: words that they have not read, or could not use, for whoever drives their runs now."""

from collections import deque
from typing import Final, cast

from orchestrator.adapters.redis import codec
from orchestrator.adapters.redis.limits import LEFT_MAX, READ_MAX, STREAM_KEEP_S
from orchestrator.adapters.redis.sent import Left
from orchestrator.adapters.redis.wire import Wire, mapping_of

OWNERS_MAX: Final = 64  #: looked at, the latest ones
NOBODY: Final = "~left"  #: stands where an owner's name would
Unread = tuple[str, dict[bytes, bytes], bytes]  #: tag, fields and body of a message


async def leave_words(wire: Wire, namespace: str, left: deque[Left]) -> None:
    """Keep these for whoever looks for them; each leaves the queue once the server has it.

    Raises:
        TransportError: the server cannot be told now.
    """
    stream = f"{namespace}:in:{NOBODY}"
    while left:
        word = left[0]
        await wire.call("XADD", stream, "MAXLEN", "~", LEFT_MAX, "*", "t", word.tag, "b", word.body)
        left.popleft()
    await wire.call("PEXPIRE", stream, int(STREAM_KEEP_S * 1000))


async def left_unread(wire: Wire, namespace: str, me: str) -> list[Unread]:
    """Messages to other owners that are not journaled yet, as far as is known, and those that were left behind.

    The living are not left out: one that gave a run up may not have seen yet what came for it. Questions are left out:
    a worker asks again by itself. Nothing is deleted: others may have taken over other runs of the same owner. What
    comes twice is known by its key, and the streams of the dead are deleted by time.

    Raises:
        TransportError: the server cannot be asked now.
    """
    owners = cast(list[bytes], await wire.call("ZRANGE", f"{namespace}:owners", -OWNERS_MAX, -1))
    found: list[Unread] = []
    for owner in [*(name.decode() for name in owners), NOBODY]:
        if owner == me:
            continue
        stream, at = f"{namespace}:in:{owner}", "-"
        while True:
            rows = cast(list[list[object]], await wire.call("XRANGE", stream, at, "+", "COUNT", READ_MAX))
            for entry, pairs in rows:
                at = f"({cast(bytes, entry).decode()}"
                fields = mapping_of(pairs)
                tag, body, blob = fields.get(b"t", b"").decode(), fields.get(b"b", b""), fields.get(b"r")
                if blob is not None:
                    body = cast(bytes, await wire.call("GET", blob)) or b""
                if tag not in codec.ASKS:
                    found.append((tag, fields, body))
            if len(rows) < READ_MAX:
                break
    return found
