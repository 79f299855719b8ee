"""One schedule from its seed to its end: everybody on one heap of events, phase one with faults, phase two without."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from types import SimpleNamespace
from typing import Final
from unittest import mock

import anyio
import structlog
from anyio.abc import TaskGroup

from orchestrator.core.invariants import check_state
from orchestrator.engine import desk, engine, operations, petitioning
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, Recorded, RunRow
from orchestrator.testing.simulation.clients import Clients
from orchestrator.testing.simulation.given import Given
from orchestrator.testing.simulation.loop import SimLoop, Stalled, play
from orchestrator.testing.simulation.node import Node
from orchestrator.testing.simulation.plans import SimPools
from orchestrator.testing.simulation.profile import Profile, Schedule, profile_of
from orchestrator.testing.simulation.store import PARKED, SimStore, root_of
from orchestrator.testing.simulation.supervisors import Supervisor
from orchestrator.testing.simulation.transport import SimPort, SimServer
from orchestrator.testing.simulation.witness import Witness
from orchestrator.testing.simulation.workers import SimWorker
from orchestrator.testing.stage import PlayedPools

BOUND_S: Final = 8_000.0  #: after the last fault, every accepted run has ended: wall time is 3000 s at most
QUIET_S: Final = 60.0  #: after the last end, everything is empty
LOOK_S: Final = 5.0
FREEZE_S: Final = 45.0
FULL_S: Final = 15.0
WORKER_DOWN_S: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a schedule."""

    schedule: Schedule
    violations: tuple[str, ...]
    facts: int
    virtual_s: float
    turns: int  #: of the loop
    digest: str  #: of the whole history, where it was recorded
    struck: Counter[tuple[str, str]]  #: (fault, phase)
    statuses: Counter[str]  #: how runs ended
    histories: dict[RunId, list[Recorded]] = field(default_factory=dict)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Chance inside the product comes from the seed; ids too. Nothing else of it is touched."""
    numbers, petitions = count(1), count(1)
    state = random.getstate()

    def run_id(_now_s: float) -> RunId:
        return RunId(f"r{next(numbers)}")

    def petition_id() -> SimpleNamespace:
        return SimpleNamespace(hex=f"p{next(petitions)}")

    random.seed(f"product {seed}")
    with (
        mock.patch.object(engine, "new_run_id", run_id),
        mock.patch.object(operations, "new_run_id", run_id),
        mock.patch.object(desk, "_numbers", count(1)),
        mock.patch.object(petitioning.__dict__["uuid"], "uuid4", petition_id),
    ):
        try:
            yield
        finally:
            random.setstate(state)


def simulate(schedule: Schedule, *, record: bool = False, given: Given | None = None) -> Outcome:
    """Play one schedule; the same one gives the same outcome. With `record` the outcome has a digest of its history."""
    world = World(schedule, record=record, given=given)
    with _seeded(schedule.seed), structlog.testing.capture_logs():
        try:
            play(world.run)
        except Stalled as error:
            world.witness.note("I3", f"the schedule does not end: {error}")
    return world.outcome()


class World:
    """Everybody and everything of one schedule."""

    def __init__(self, schedule: Schedule, *, record: bool, given: Given | None = None) -> None:
        self.schedule, self.profile = schedule, profile_of(schedule)
        if given is not None:  # its workers cost what they say: nothing
            self.profile = replace(self.profile, pays=0.0)
        self.witness = Witness(None if given is None else given.output)
        pools = SimPools()
        catalogue = pools if given is None else PlayedPools(given.plan, pools)
        self._history = hashlib.sha256() if record else None
        self._store = SimStore(anyio.current_time, self._committed, self.witness.note)
        self._server = SimServer(anyio.current_time, self._stream("server"))
        self._calm = False
        self._struck: Counter[tuple[str, str]] = Counter()
        self._workers: list[tuple[Node, anyio.CancelScope]] = []
        self._lives = 0
        self._turns, self._virtual_s = 0, 0.0
        self._histories: dict[RunId, list[Recorded]] = {}
        self._supervisors = [
            Supervisor(
                number,
                profile=self.profile,
                dice=self._stream(f"supervisor {number}"),
                store=self._store,
                server=self._server,
                witness=self.witness,
                node=self._node,
                calm=lambda: self._calm,
                catalogue=catalogue,
            )
            for number in range(self.profile.supervisors)
        ]
        self._clients = Clients(
            self._supervisors,
            self.profile,
            self._stream("clients"),
            self.witness,
            lambda: self._calm,
            given,
            more=self._stream("more of clients"),
        )
        self._dice = self._stream("world")
        self._dice_of_watch = self._stream("watch")

    def _stream(self, name: str) -> random.Random:
        """Chance of its own for each actor, so that taking one fault away leaves the others as they were."""
        return random.Random(f"{name} {self.schedule.seed}")  # chance that repeats is the point

    def _node(self, name: str) -> Node:
        return Node(name, self.profile, self._stream(f"node {name}"), lambda: self._calm, self._strike)

    # ---- books

    def _committed(self, entry: Append) -> None:
        self.witness.committed(entry)
        self._write(lambda: f"{anyio.current_time():.6f} {entry!r}")

    def _strike(self, fault: str) -> None:
        """A fault strikes now: count it against every phase that some unit of an open run is in."""
        self._write(lambda: f"{anyio.current_time():.6f} {fault}")
        for phase in sorted(self._phases()):
            self._struck[fault, phase] += 1

    def _write(self, line: Callable[[], str]) -> None:
        if self._history is not None:
            self._history.update(line().encode())

    def _phases(self) -> set[str]:
        found: set[str] = set()
        for supervisor in self._supervisors:
            for driver in supervisor.engine.drivers() if supervisor.engine is not None else ():
                for state in driver.machine.state.steps:
                    found.update(unit.status.value for unit in state.all_units())
        return found

    def outcome(self) -> Outcome:
        """The account of a schedule that is over."""
        return Outcome(
            schedule=self.schedule,
            violations=tuple(self.witness.wrong),
            facts=self.witness.facts,
            virtual_s=self._virtual_s,
            turns=self._turns,
            digest=self._history.hexdigest() if self._history is not None else "",
            struck=self._struck,
            statuses=Counter(self.witness.ends()),
            histories=self._histories,
        )

    # ---- the schedule

    async def run(self) -> None:
        """Phase one, phase two, the look at everything."""
        await self._store.open()
        async with anyio.create_task_group() as group:
            group.start_soon(self._server.sweep)
            for supervisor in self._supervisors:
                group.start_soon(supervisor.run)
            for _ in range(self.profile.workers):
                group.start_soon(self._worker)
            for number in range(self.profile.runs):
                group.start_soon(self._clients.submit, number)
            group.start_soon(self._clients.people)
            group.start_soon(self._watch)
            with anyio.move_on_after(self.profile.faults_s):
                async with anyio.create_task_group() as nemeses:
                    for fault in self.profile.pauses_s:
                        nemeses.start_soon(self._nemesis, fault, group)
                    await anyio.sleep_forever()
            self._settle()
            if not self.profile.workers:
                group.start_soon(self._worker)
            await self._until_over()
            await self._look()
            self._virtual_s = anyio.current_time()
            loop = asyncio.get_running_loop()
            self._turns = loop.turns if isinstance(loop, SimLoop) else 0
            group.cancel_scope.cancel()

    def _settle(self) -> None:
        """No more faults."""
        self._calm = True
        self._store.full_until_s = 0.0
        for supervisor in self._supervisors:
            if supervisor.node is not None:
                supervisor.node.thaw()
        for node, _ in self._workers:
            node.thaw()

    async def _until_over(self) -> None:
        """Liveness: whatever was accepted ends, and then nothing is left."""
        with anyio.move_on_after(BOUND_S):
            while True:
                await anyio.sleep(LOOK_S)
                rows = await self._store.open_rows()
                for run_id in sorted({root_of(row.run_id) for row in rows}):
                    await self._parked(run_id)
                if not rows and not self._clients.waiting:
                    break
        rows = await self._store.open_rows()
        for row in rows:
            self.witness.note("I3", self._why_open(row))
        if self._clients.waiting:
            self.witness.note("I3", f"{self._clients.waiting} requests were never answered")
        with anyio.move_on_after(BOUND_S):  # a worker may still be at what nobody wants any more
            while self._server.entries:  # noqa: ASYNC110  # time is what passes here
                await anyio.sleep(LOOK_S)
        await anyio.sleep(QUIET_S)
        if not rows:
            self._look_for_rests()

    async def _parked(self, run_id: RunId) -> None:
        """A run that nobody may take over: those that met three deaths are resumed by name; others are a find."""
        reason = self._store.parked(run_id)
        if not reason:
            return
        if reason != PARKED:
            self.witness.note("parked", f"{run_id}: {reason}")
        await self._clients.resume(run_id)

    def _why_open(self, row: RunRow) -> str:
        held = [
            f"{one.node.name}: {one.engine.parked(row.run_id) or 'driven'}"
            for one in self._supervisors
            if one.engine is not None and one.node is not None
        ]
        owner, parked = self._store.owner(row.run_id), self._store.parked(row.run_id)
        return f"{row.run_id} is open {BOUND_S:g} s after the last fault; owner {owner!r}, parked {parked!r}; {held}"

    def _look_for_rests(self) -> None:
        """I29: nothing is left of what has ended."""
        left = [str(key) for key in self._server.entries]
        if left:
            self.witness.note("I29", f"tasks are left in the transport: {left[:5]}")
        for supervisor in self._supervisors:
            if supervisor.engine is not None and supervisor.engine.drivers():
                drivers = [driver.run_id for driver in supervisor.engine.drivers()]
                self.witness.note("I29", f"runs are still driven: {drivers[:5]}")
            box = self._server.boxes.get(supervisor.node.name) if supervisor.node is not None else None
            if supervisor.up and box is not None and box.messages:
                self.witness.note("I29", f"{len(box.messages)} messages are not acknowledged")

    async def _watch(self) -> None:
        """Look at the machines while they are at work: every counter is counted anew."""
        while not self._calm:
            await anyio.sleep(self._dice_of_watch.uniform(0.5, 5.0))
            for supervisor in self._supervisors:
                for driver in supervisor.engine.drivers() if supervisor.engine is not None else ():
                    if driver.quiet and not driver.over and not driver.holding:
                        for violation in check_state(driver.machine.state)[:3]:
                            self.witness.note(violation.rule, f"{driver.run_id}: {violation.what}")

    async def _look(self) -> None:
        self._histories = await self.witness.look(self._store.journal, rewound=bool(self._store.rewound))

    # ---- faults

    async def _nemesis(self, fault: str, group: TaskGroup) -> None:
        while True:
            await anyio.sleep(self._dice.expovariate(1 / self.profile.pauses_s[fault]))
            self._strike(fault)
            await self._do(fault, group)

    async def _do(self, fault: str, group: TaskGroup) -> None:
        supervisor = self._dice.choice(self._supervisors)
        match fault:
            case "supervisor.killed":
                supervisor.kill()
            case "supervisor.stopped":
                supervisor.stop()
            case "supervisor.frozen":
                if supervisor.node is not None:
                    group.start_soon(self._frozen, supervisor.node)
            case "worker.killed":
                if self._workers:
                    node, scope = self._dice.choice(self._workers)
                    node.dead = True
                    scope.cancel()
            case "worker.frozen":
                if self._workers:
                    group.start_soon(self._frozen, self._dice.choice(self._workers)[0])
            case "transport.forgets":
                self._server.forget()
            case "store.full":
                self._store.full_until_s = anyio.current_time() + self._dice.random() * FULL_S
            case "store.rewinds":
                await self._power_cut()
            case _:
                group.start_soon(self._clients.acts[fault])

    async def _frozen(self, node: Node) -> None:
        node.freeze()
        await anyio.sleep(self._dice.random() * FREEZE_S)
        node.thaw()

    async def _power_cut(self) -> None:
        """The one machine that all of them are on loses its power."""
        for supervisor in self._supervisors:
            supervisor.kill()
        for node, scope in self._workers:
            node.dead = True
            scope.cancel()
        self._server.forget()
        await self._store.rewind()
        self.witness.rewound(self._store.log())

    async def _worker(self) -> None:
        """A worker through all its lives."""
        while True:
            self._lives += 1
            node = self._node(f"w{self._lives}")
            dice = self._stream(f"worker {node.name}")
            asides = self._stream(f"asides {node.name}")
            worker = SimWorker(node, SimPort(self._server, node, dice), self.profile, dice, asides, self.witness)
            with anyio.CancelScope() as scope:
                self._workers.append((node, scope))
                await worker.run()
            self._workers = [one for one in self._workers if one[0] is not node]
            await anyio.sleep(self._dice.random() * WORKER_DOWN_S)


__all__ = ["Outcome", "Profile", "World", "simulate"]
