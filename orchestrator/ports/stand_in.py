"""The stand-in port: who plays pools in a test of a plan, between the transport and the workers."""

from typing import Protocol

from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.ports.transport import WorkerPort


class StandIn(Protocol):
    """Answers in place of workers. An engine that is given one asks it once, when it opens."""

    def catalogue(self, real: PoolCatalogue) -> PoolCatalogue:
        """The pools that plans are checked against: the real ones, and those that are played."""
        ...

    def port(self, real: WorkerPort) -> WorkerPort:
        """What the real workers fetch from: everything of `real` that is not played."""
        ...

    async def serve(self) -> None:
        """Answer what is played, until cancelled. Runs beside the workers."""
        ...
