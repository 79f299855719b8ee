"""How long to wait between two tries while the server is away, and saying so once and not a thousand times."""

import asyncio
import random
from collections.abc import Coroutine

import structlog

from orchestrator.adapters.redis.limits import BACKOFF_S

log = structlog.get_logger(__name__)


def watched(work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
    """A task that serves for as long as its process lives; should it break, that is said and not swallowed."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("our bug: a part of the transport broke; restart this process", part=name, exc_info=error)

    task = asyncio.create_task(work, name=name)
    task.add_done_callback(ended)
    return task


class Pace:
    """Back-off of one task: doubling up to a longest wait, with jitter; `well` starts it anew."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tries = 0

    async def wait(self, error: Exception) -> None:
        """Wait before the next try."""
        first_s, most_s = BACKOFF_S
        ceiling_s = min(first_s * 2 ** min(self._tries, 10), most_s)
        self._tries += 1
        if self._tries == 1:
            log.warning("the transport does not answer; trying again until it does", what=self._what, error=str(error))
        # A fleet whose server comes back must not meet it all at once.
        await asyncio.sleep(ceiling_s * (0.5 + random.random() / 2))  # no secret hangs on it

    def well(self) -> None:
        """It worked."""
        if self._tries:
            log.info("the transport answers again", what=self._what, tries=self._tries)
            self._tries = 0
