"""What an owner of runs does for its fleet beside running them: says what it needs, and sends again what was lost."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio
import structlog

from orchestrator.errors import OrchestratorError
from orchestrator.ports.fleet import Contracts, Fleet

RECONCILE_S: Final = 3.0  #: between two questions whether all that was sent is still there
HEARD_S: Final = 3.0  #: workers get so long to compare a new owner's needs with what they have
_LOOK_S: Final = 0.05
log = structlog.get_logger(__name__)


class Reconciling(Protocol):
    """A transport that can lose what it carries, and be asked about it."""

    async def reconcile(self) -> int:
        """Send again what was lost; return how much that was."""
        ...


async def announce(fleet: Fleet, owner: str, contracts: Contracts) -> bool:
    """Write an owner's needs on the board, and give every worker the time to see them before tasks go out.

    A worker that does not fit stops fetching meanwhile. One that is silent for `HEARD_S` seconds is not waited for: it
    is frozen or gone, and compares before it fetches again. True when all have seen the needs.
    """
    await fleet.need(owner, contracts)
    with anyio.move_on_after(HEARD_S):
        while True:
            if all(owner in worker.offer.seen or worker.offer.leaving for worker in await fleet.workers()):
                return True
            await anyio.sleep(_LOOK_S)
    return False


async def keep_reconciled(
    transport: Reconciling,
    fleet: Fleet,
    owner: str,
    contracts: Contracts,
    compare: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Ask again and again whether everything that was sent is still there; also after the server lost all it had.

    `compare` drops the runs that others have taken over meanwhile, and comes first: an owner that was frozen would
    otherwise send again what was answered to its successor.
    """
    failing = False
    while True:
        try:
            if compare is not None:
                await compare()
            await transport.reconcile()
            if owner not in await fleet.needed():
                await fleet.need(owner, contracts)  # the server forgot it
            failing = False
        except OrchestratorError as error:
            if not failing:
                log.warning("nobody can say what the transport lost; trying again", error=str(error))
            failing = True
        await anyio.sleep(RECONCILE_S)
