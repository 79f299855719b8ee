"""What owners left behind: answers of workers that they have not read, for whoever drives their runs now."""

import time
from typing import Final, cast

from orchestrator.adapters.redis import codec
from orchestrator.adapters.redis.limits import READ_MAX, RECONCILE_S
from orchestrator.adapters.redis.wire import Wire, mapping_of

SILENT_S: Final = 2 * RECONCILE_S  #: an owner that was silent for two beats may have left answers unread
OWNERS_MAX: Final = 32  #: looked at, the latest ones
Left = tuple[str, dict[bytes, bytes], bytes]  #: tag, fields and body of a message


async def left_unread(wire: Wire, namespace: str) -> list[Left]:
    """Messages to owners that are silent. Questions are left out: a worker asks again by itself.

    Nothing is deleted: others may have taken over other runs of the same owner. What comes twice is known by its key,
    and the streams of the dead are deleted by time.

    Raises:
        TransportError: the server cannot be asked now.
    """
    silent_ms = int((time.time() - SILENT_S) * 1000)
    owners = cast(list[bytes], await wire.call("ZRANGEBYSCORE", f"{namespace}:owners", "-inf", silent_ms))
    found: list[Left] = []
    for owner in owners[-OWNERS_MAX:]:
        stream, at = f"{namespace}:in:{owner.decode()}", "-"
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
