"""The shared store of a schedule: the memory journal, owners, petitions and notices beside it, and faults before it.

`SimStore` is the server; what it holds is the truth that the witness looks at. `SimJournal` is one process's way to it,
and the place where appends are slow, refused, or done and then denied. A power cut takes back what no commit had
synced. Owners' leases run by the store's clock, as they do on a server.
"""

import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import anyio

from orchestrator.app import open_journal
from orchestrator.errors import JournalConflict, JournalFull, JournalUnreachable
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, Journal, Recorded, RunQuery, RunRow
from orchestrator.ports.ownership import LOADS_MAX, Adopted, Petition
from orchestrator.settings import Settings
from orchestrator.testing.simulation.node import Node
from orchestrator.testing.simulation.profile import Profile

SLOW_S: Final = 4.0  #: longest extra time of a slow commit
USUAL_S: Final = 0.004  #: a commit
RUNS_MAX: Final = 1_000_000
PARKED: Final = f"{LOADS_MAX} owners ended while they loaded it"
T = TypeVar("T")


def root_of(run_id: RunId) -> RunId:
    """The run at the top of a run's tree."""
    return RunId(run_id.partition(".")[0])


@dataclass(slots=True)
class _Root:
    """What the store knows of a run with its sub-plans beside their facts."""

    owner: str = ""
    loads: int = 0
    parked: str = ""


class SimStore:
    """The server side: never wrong, sometimes without power."""

    def __init__(
        self,
        now_s: Callable[[], float],
        on_commit: Callable[[Append], None],
        wrong: Callable[[str, str], None],
    ) -> None:
        self._now_s, self._on_commit, self._wrong = now_s, on_commit, wrong
        self._journal: Journal | None = None
        self._log: list[Append] = []  #: every entry that was committed, in order
        self._synced = 0  #: of these, as many survive a power cut
        self._epochs: dict[RunId, int] = {}
        self._roots: dict[RunId, _Root] = {}
        self._leases: dict[str, float] = {}
        self._petitions: dict[str, tuple[Petition, str, str | None]] = {}  #: with who has taken it, and the answer
        self._ears: list[tuple[Node, Callable[[str, str], None]]] = []
        self.full_until_s = 0.0
        self.rewound = 0  #: power cuts that took something back

    async def open(self) -> None:
        """Make the journal."""
        self._journal = await open_journal(Settings(store="memory:"))

    @property
    def journal(self) -> Journal:
        """What is committed."""
        assert self._journal is not None, "it was opened"
        return self._journal

    async def commit(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        """See `Journal.append`. Whole entries, one after the other."""
        refused: list[RunId] = []
        for entry in entries:
            known = self._epochs.get(entry.run_id, 0)
            if await self.journal.append([entry]):
                refused.append(entry.run_id)
                continue
            if entry.epoch < known:
                self._wrong("I5", f"{entry.run_id}: epoch {entry.epoch} was written after a claim of {known}")
            self._epochs[entry.run_id] = max(known, entry.epoch)
            self._roots.setdefault(root_of(entry.run_id), _Root(owner=entry.owner))
            self._log.append(entry)
            if entry.sync:
                self._synced = len(self._log)
            self._on_commit(entry)
            if entry.first_seq == 1 and not entry.owner:
                self.tell("new", entry.run_id)
        return tuple(refused)

    async def rewind(self) -> list[Append]:
        """The power fails: return the entries that are gone. Claims are kept, so epochs go on rising."""
        kept, gone = self._log[: self._synced], self._log[self._synced :]
        epochs, self._epochs = self._epochs, {}
        await self.open()
        self._log = []
        for entry in kept:
            refused = await self.journal.append([entry])
            assert not refused, "what was committed once is committed again"
            self._log.append(entry)
        for run_id in sorted({entry.run_id for entry in kept}):
            while await self.journal.claim(run_id, "") < epochs[run_id]:
                pass  # what was claimed once stays claimed
            (row,) = await self.journal.runs(RunQuery(run_id=run_id))
            self._epochs[run_id] = row.epoch
        for root in {root_of(entry.run_id) for entry in gone} - {root_of(entry.run_id) for entry in kept}:
            self._roots.pop(root, None)
        self.rewound += bool(gone)
        return gone

    def log(self) -> list[Append]:
        """Every entry that is committed, in order."""
        return list(self._log)

    # ---- owners

    def epoch(self, run_id: RunId) -> int:
        """The newest epoch of a run."""
        return self._epochs.get(run_id, 0)

    def owner(self, run_id: RunId) -> str:
        """Who claimed a run last."""
        return self._roots.get(root_of(run_id), _Root()).owner

    def parked(self, run_id: RunId) -> str:
        """Why nobody may take a run over; empty when anybody may."""
        return self._roots.get(root_of(run_id), _Root()).parked

    def lives(self, owner: str) -> bool:
        """Whether an owner's lease has not ended."""
        return self._leases.get(owner, 0.0) > self._now_s()

    def renew(self, owner: str, lease_s: float) -> bool:
        """See `Ownership`."""
        held = owner not in self._leases or self.lives(owner)
        self._leases[owner] = self._now_s() + lease_s
        return held

    async def _claimed(self, run_id: RunId, owner: str) -> int:
        epoch = self._epochs[run_id] + 1
        while await self.journal.claim(run_id, owner) < epoch:
            pass
        self._epochs[run_id] = epoch
        return epoch

    async def claim(self, run_id: RunId, owner: str) -> int:
        """See `Journal`."""
        root = self._roots.get(root_of(run_id))
        if root is not None and root.owner not in ("", owner) and self.lives(root.owner):
            raise JournalConflict(run_id, f"{root.owner} drives it")
        epoch = await self._claimed(run_id, owner)
        self._roots[root_of(run_id)] = _Root(owner=owner)
        return epoch

    async def open_rows(self) -> list[RunRow]:
        """Open runs, oldest first."""
        return list(reversed(await self.journal.runs(RunQuery(status=("open",), limit=RUNS_MAX))))

    async def adopt(self, owner: str, limit: int, but_not: Collection[RunId]) -> list[Adopted]:
        """See `Ownership`."""
        rows = await self.open_rows()
        orphans = {
            root_of(row.run_id)
            for row in rows
            if not (root := self._roots[root_of(row.run_id)]).parked
            and not (root.owner and self.lives(root.owner))
            and root_of(row.run_id) not in but_not
        }
        if not orphans or limit <= 0:
            return []
        loads = min(self._roots[run_id].loads for run_id in orphans)
        chosen = sorted(run_id for run_id in orphans if self._roots[run_id].loads == loads)
        if loads >= LOADS_MAX:
            for run_id in chosen:
                self._roots[run_id].parked = PARKED
            return []
        found: list[Adopted] = []
        for run_id in chosen[: limit if loads < 2 else 1]:
            self._roots[run_id] = _Root(owner=owner, loads=loads + 1)
            for row in rows:
                if root_of(row.run_id) == run_id:
                    await self._claimed(row.run_id, owner)
                    (fresh,) = await self.journal.runs(RunQuery(run_id=row.run_id))
                    found.append(Adopted(row=fresh, loads=loads + 1))
        return found

    async def held(self, owner: str) -> dict[RunId, int]:
        """See `Ownership`."""
        rows = await self.open_rows()
        return {row.run_id: self._epochs[row.run_id] for row in rows if self.owner(row.run_id) == owner}

    async def release(self, owner: str, run_ids: Sequence[RunId] | None, parked: str) -> None:
        """See `Ownership`."""
        rows = await self.open_rows()
        wanted = None if run_ids is None else {root_of(run_id) for run_id in run_ids}
        for row in rows:
            root = self._roots[root_of(row.run_id)]
            if root.owner == owner and (wanted is None or root_of(row.run_id) in wanted):
                root.owner, root.loads, root.parked = "", 0, parked
        if run_ids is None:
            self._leases.pop(owner, None)
        self.tell("new", owner)

    def steady(self, owner: str, run_ids: Sequence[RunId]) -> None:
        """See `Ownership`."""
        for run_id in run_ids:
            root = self._roots.get(root_of(run_id))
            if root is not None and root.owner == owner:
                root.loads = 0

    # ---- people, and hints

    def ask(self, petition: Petition) -> None:
        """See `Petitions`."""
        if petition.id not in self._petitions:
            self._petitions[petition.id] = (petition, "", None)
            self.tell("ask", petition.run_id)

    def take(self, owner: str, limit: int) -> list[Petition]:
        """See `Petitions`. What an owner had that has ended goes to the next."""
        found: list[Petition] = []
        for name, (petition, taker, answer) in list(self._petitions.items()):
            root = self._roots.get(root_of(petition.run_id))
            if root is None or answer is not None or root.owner != owner or taker == owner or len(found) >= limit:
                continue
            again = Petition(
                id=petition.id,
                run_id=petition.run_id,
                verb=petition.verb,
                args=petition.args,
                as_of_seq=petition.as_of_seq,
                retaken=bool(taker),
            )
            self._petitions[name] = (again, owner, None)
            found.append(again)
        return found

    def answer(self, petition_id: str, owner: str, text: str) -> None:
        """See `Petitions`."""
        petition, taker, answer = self._petitions[petition_id]
        if taker == owner and answer is None:
            self._petitions[petition_id] = (petition, taker, text)
            self.tell("answer", petition_id)

    def answered(self, petition_id: str) -> str | None:
        """See `Petitions`."""
        return self._petitions[petition_id][2] if petition_id in self._petitions else None

    def withdraw(self, petition_id: str) -> bool:
        """See `Petitions`."""
        if self._petitions[petition_id][1]:
            return False
        del self._petitions[petition_id]
        return True

    def listen(self, node: Node, heard: Callable[[str, str], None]) -> Callable[[], None]:
        """See `Notices`."""
        ear = (node, heard)
        self._ears.append(ear)
        return lambda: self._ears.remove(ear) if ear in self._ears else None

    def tell(self, topic: str, subject: str) -> None:
        """A hint for everybody; each of them may miss it."""
        for node, heard in list(self._ears):
            if not node.dead and not node.strikes("notice.lost"):
                heard(topic, subject)


@dataclass(slots=True)
class SimJournal:
    """One process's way to the store: the journal, owners, petitions and notices in one. Every word can be a fault."""

    store: SimStore
    node: Node
    profile: Profile
    dice: random.Random
    doubtful: list[Append] = field(default_factory=list)  #: written, and the process was told that they were not

    @property
    def ownership(self) -> "SimJournal":
        """See `Shared`."""
        return self

    async def _near(self, work: Callable[[], Awaitable[T]]) -> T:
        """Ask the store, which may be slow, or gone."""
        await self.trip()
        if self.node.strikes("store.refuses"):
            raise JournalUnreachable("the store", "the simulator says so")
        return await work()

    async def trip(self) -> None:
        """The way to the store, or back."""
        slow = self.node.strikes("store.slow")
        await self.node.sleep(self.dice.random() * (SLOW_S if slow else USUAL_S))

    # ---- Journal

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        """See `Journal`."""
        await self.trip()
        if self.store.full_until_s > anyio.current_time():
            self.node.struck("store.full")
            raise JournalFull("the store")
        if self.node.strikes("store.refuses"):
            raise JournalUnreachable("the store", "nothing was written")
        refused = await self.store.commit(entries)
        if self.node.strikes("store.doubt"):
            raise JournalUnreachable("the store", "it was written, and the answer is lost")
        await self.trip()
        return refused

    async def read(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Recorded]:
        """See `Journal`."""
        return await self._near(lambda: self.store.journal.read(run_id, after, limit))

    async def runs(self, query: RunQuery) -> list[RunRow]:
        """See `Journal`."""
        return await self._near(lambda: self.store.journal.runs(query))

    async def claim(self, run_id: RunId, owner: str) -> int:
        """See `Journal`."""
        return await self._near(lambda: self.store.claim(run_id, owner))

    async def forget(self, run_ids: Sequence[RunId], *, payloads_only: bool) -> int:
        """See `Journal`; no schedule forgets anything."""
        return await self.store.journal.forget(run_ids, payloads_only=payloads_only)

    async def close(self) -> None:
        """See `Journal`; the store stays."""

    # ---- Ownership

    async def renew(self, owner: str, lease_s: float) -> bool:
        """See `Ownership`."""
        await self.trip()
        if self.node.strikes("store.refuses"):
            raise JournalUnreachable("the store", "the lease was not renewed")
        return self.store.renew(owner, lease_s)

    async def adopt(self, owner: str, limit: int, but_not: Collection[RunId] = ()) -> list[Adopted]:
        """See `Ownership`."""
        return await self._near(lambda: self.store.adopt(owner, limit, but_not))

    async def held(self, owner: str) -> dict[RunId, int]:
        """See `Ownership`."""
        return await self._near(lambda: self.store.held(owner))

    async def steady(self, owner: str, run_ids: Sequence[RunId]) -> None:
        """See `Ownership`."""
        await self.trip()
        self.store.steady(owner, run_ids)

    async def release(self, owner: str, run_ids: Sequence[RunId] | None, *, parked: str = "") -> None:
        """See `Ownership`."""
        await self._near(lambda: self.store.release(owner, run_ids, parked))

    async def owner_of(self, run_id: RunId) -> str | None:
        """See `Ownership`."""
        await self.trip()
        owner = self.store.owner(run_id)
        return owner if owner and self.store.lives(owner) else None

    # ---- Notices

    def listen(self, heard: Callable[[str, str], None]) -> Callable[[], None]:
        """See `Notices`."""
        return self.store.listen(self.node, heard)
