"""The supervisors of a schedule: real engines, each a process that is killed, frozen, stopped, and started again."""

import random
from collections.abc import Callable
from typing import Final

import anyio

from orchestrator.engine.engine import RunEngine
from orchestrator.engine.ownership import Shared
from orchestrator.errors import JournalError, OrchestratorError
from orchestrator.ids import RunId
from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.ports import tasks as t
from orchestrator.testing.simulation.minds import Minds, Routes
from orchestrator.testing.simulation.node import Node
from orchestrator.testing.simulation.petitions import SimPetitions
from orchestrator.testing.simulation.profile import Profile
from orchestrator.testing.simulation.store import SimJournal, SimStore
from orchestrator.testing.simulation.transport import SimServer, SimTransport
from orchestrator.testing.simulation.witness import Witness

LEASE_S: Final = 10.0
DOWN_S: Final = 8.0  #: longest time until a dead process is started again
GRACES_S: Final = (0.0, 0.5, 5.0)


class Supervisor:
    """One supervisor through all its lives."""

    def __init__(
        self,
        number: int,
        *,
        profile: Profile,
        dice: random.Random,
        store: SimStore,
        server: SimServer,
        witness: Witness,
        node: Callable[[str], Node],
        calm: Callable[[], bool],
        catalogue: PoolCatalogue,
    ) -> None:
        self._catalogue = catalogue
        self._number, self._profile, self._dice = number, profile, dice
        self._store, self._server, self._witness, self._node, self._calm = store, server, witness, node, calm
        self._lives = 0
        self._opened = False  #: in this life
        self._stop: anyio.Event | None = None
        self._scope: anyio.CancelScope | None = None
        self.node: Node | None = None
        self.engine: RunEngine | None = None  #: while it is open

    async def run(self) -> None:
        """Live, die, and live again, until cancelled."""
        while True:
            self._lives += 1
            self._opened = False
            with anyio.CancelScope() as self._scope:
                try:
                    await self._live()
                except* Exception as errors:  # noqa: BLE001  # a process that ends with an error is started again, as a dead one
                    self._failed(errors)
            if self.node is not None:
                self.node.dead = True
            self.engine = None
            if not self._calm():
                await anyio.sleep(self._dice.random() * DOWN_S)

    async def _live(self) -> None:
        node = self.node = self._node(f"s{self._number}.{self._lives}")
        self._stop = anyio.Event()
        journal = SimJournal(self._store, node, self._profile, self._dice)
        transport = SimTransport(self._server, node, self._dice, self._witness.sent)
        minds = Minds(node, self._dice, self._witness)
        engine = RunEngine(
            journal=journal,
            transport=transport,
            clock=node,
            catalogue=self._catalogue,
            owner=node.name,
            planner=minds,
            checker=minds,
            supervisor=minds,
            routing=Routes(),
            shared=Shared(
                ownership=journal,
                petitions=SimPetitions(journal),
                notices=journal,
                owns="leased",
                lease_s=LEASE_S,
            ),
        )
        transport.bind_counts(lambda: engine.counts)
        transport.on_ack = lambda message: self._acknowledged(engine, message)
        async with anyio.create_task_group() as group, engine:
            transport.open(group)
            self.engine, self._opened = engine, True
            engine.refusals.note = self._refused  # type: ignore[method-assign]  # honest workers say nothing strange
            await self._stop.wait()
            await engine.drain(self._dice.choice(GRACES_S))
            self.engine = None
            group.cancel_scope.cancel()

    def _failed(self, errors: BaseExceptionGroup[Exception]) -> None:
        """Only a store that does not answer may keep an engine from opening; nothing may end one that is open."""
        for error in errors.exceptions:
            if self._opened or not isinstance(error, JournalError):
                self._witness.note("died", f"the engine ended with {type(error).__name__}: {error}")

    def _refused(self, run_id: RunId, worker: str, about: object, error: OrchestratorError) -> None:
        self._witness.note("refused", f"{worker} was not believed about {about} of {run_id}: {error}")

    def _acknowledged(self, engine: RunEngine, message: t.TaskMessage) -> None:
        driver = engine.driver(message.key.run_id)
        if driver is not None and not driver.over and not self._server.is_left(message):
            self._witness.acknowledged(message)

    @property
    def up(self) -> bool:
        """Whether it can be asked."""
        return self.engine is not None and self.node is not None and not self.node.dead and not self.node.frozen

    def kill(self) -> None:
        """End the process now; nothing that it still does gets out."""
        if self.node is not None and self._scope is not None and not self.node.dead:
            self.node.dead = True
            self.engine = None
            self._scope.cancel()

    def stop(self) -> None:
        """End it in good order."""
        if self._stop is not None and self.engine is not None:
            self._stop.set()
