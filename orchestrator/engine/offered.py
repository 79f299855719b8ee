"""What the workers of a fleet say they can do, held against a plan before it is accepted."""

from collections.abc import Sequence
from typing import Final

import anyio

from orchestrator.engine.promises import check_ready
from orchestrator.errors import OrchestratorError, PromiseError
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Tier
from orchestrator.ports.fleet import Fleet, WorkerSeen

ASK_S: Final = 2.0  #: longest that a board which does not answer holds up a submission


async def check_offers(plan: Plan, fleet: Fleet) -> None:
    """Refuse a plan that the workers which are here cannot do; those that may come later are given the doubt.

    A board that cannot be read refuses nothing: the journal accepts runs while the transport is away.

    Raises:
        PromiseError: names the step, and why no worker of its pool can do it.
    """
    workers: Sequence[WorkerSeen] = ()
    with anyio.move_on_after(ASK_S):
        try:
            workers = await fleet.workers()
        except OrchestratorError:
            return
    staying = [worker for worker in workers if not worker.offer.leaving]

    def ready(pool: str, function: str | None, tier: Tier | None) -> None:
        serving = [worker for worker in staying if pool in worker.offer.concurrency]
        reasons = [worker.offer.unready.get(pool, {}).get(function or "") for worker in serving]
        if reasons and all(reasons):
            count = f"its {len(reasons)} workers" if len(reasons) > 1 else "its worker"
            raise PromiseError(f"{count} cannot do that: {reasons[0]}", "start a worker that can, or mend these")

    check_ready(plan, ready)
