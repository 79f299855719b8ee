"""New run ids: UUID version 7, sortable by the time they were made."""

import os
import uuid

from orchestrator.ids import RunId


def new_run_id(now_s: float) -> RunId:
    """An id of 36 characters; ids of later milliseconds sort after earlier ones.

    Source: RFC 9562, section 5.7.
    """
    milliseconds = int(now_s * 1000) & (1 << 48) - 1
    random = int.from_bytes(os.urandom(10))
    value = milliseconds << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return RunId(str(uuid.UUID(int=value)))
