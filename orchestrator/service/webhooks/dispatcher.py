"""The pool that sends webhooks: its own, bounded, so that no receiver can hold up a run."""

from typing import Final

import anyio
import structlog

from orchestrator.errors import JournalError
from orchestrator.ports.clock import Clock
from orchestrator.ports.webhooks import Delivery, Due, Webhooks
from orchestrator.service.webhooks.retrying import settle
from orchestrator.service.webhooks.sending import SEND_S, Answer, Sender
from orchestrator.service.webhooks.signing import UNSIGNED, signed_headers, signer

CONCURRENCY: Final = 32  #: messages under way at once
EACH_MAX: Final = 4  #: of one endpoint at once, over all processes: a slow one leaves room for others
LEASE_S: Final = 2 * SEND_S  #: nobody else sends what was taken, for this long
POLL_S: Final = 0.5  #: between two looks at what is due
SICK_S: Final = 5.0  #: between two looks while the store does not answer
log = structlog.get_logger(__name__)


class Dispatcher:
    """Takes what is due and sends it, until it is cancelled. Any number of processes may do so at once."""

    def __init__(self, store: Webhooks, sender: Sender, clock: Clock, *, poll_s: float = POLL_S) -> None:
        self._store, self._sender, self._clock, self._poll_s = store, sender, clock, poll_s
        self._busy = 0  #: messages under way here
        self._free = anyio.Event()
        self.sent = 0  #: attempts so far

    async def run(self) -> None:
        """Send what is due, for ever."""
        async with anyio.create_task_group() as group:
            while True:
                self._free = anyio.Event()
                pause_s, taken = self._poll_s, list[Due]()
                try:
                    if self._busy < CONCURRENCY:
                        room = CONCURRENCY - self._busy
                        taken = await self._store.take(self._clock.now_s(), room, LEASE_S, EACH_MAX)
                except JournalError as error:
                    log.error("webhooks cannot be looked up", error=type(error).__name__)
                    pause_s = SICK_S
                for due in taken:
                    self._busy += 1
                    group.start_soon(self._attempt, due)
                if not taken:
                    with anyio.move_on_after(pause_s):
                        await self._free.wait()

    async def _attempt(self, due: Due) -> None:
        try:
            await self.attempt(due)
        finally:
            self._busy -= 1
            self._free.set()

    async def attempt(self, due: Due) -> Answer:
        """One attempt, and what becomes of it in the store."""
        delivery, endpoint = due.delivery, due.endpoint
        try:
            owner = endpoint if endpoint.run_id is None else await signer(self._store, endpoint.tenant)
        except JournalError as error:
            log.error("a webhook's secret cannot be read", id=delivery.id, error=type(error).__name__)
            return Answer(problem="the secret cannot be read")
        if owner is None:
            answer = Answer(problem=UNSIGNED)
        else:
            headers = signed_headers(delivery.id, self._clock.now_s(), delivery.body, owner.secrets)
            answer = await self._sent(endpoint.url, headers, delivery)
        self.sent += 1
        settled = settle(delivery, answer, self._clock.now_s())
        if settled.state != "delivered":
            log.warning(
                "a webhook was not taken",
                id=delivery.id,
                endpoint=endpoint.id,
                run=delivery.run_id,
                attempt=delivery.attempts,
                status=answer.status,
                becomes=settled.state,
            )
        try:
            await self._store.settle(settled)
        except JournalError as error:  # it stays leased, and comes again: at least once
            log.error("what became of a webhook could not be kept", id=delivery.id, error=type(error).__name__)
        return answer

    async def _sent(self, url: str, headers: dict[str, str], delivery: Delivery) -> Answer:
        try:
            return await self._sender.send(url, headers, delivery.body.encode())
        except Exception as error:  # noqa: BLE001  # runs are driven beside this: they must not end with it
            log.error("sending a webhook failed", id=delivery.id, error=f"{type(error).__name__}: {error}")
            return Answer(problem=f"{type(error).__name__}: a bug of the sender")
