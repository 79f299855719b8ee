"""What people ask of the owners of runs, in the store of a schedule. See `Petitions`."""

from dataclasses import dataclass

from orchestrator.ports.ownership import Petition
from orchestrator.testing.simulation.store import SimJournal


@dataclass(slots=True)
class SimPetitions:
    """One process's way to them."""

    journal: SimJournal

    async def ask(self, petition: Petition) -> None:
        """Leave one."""
        await self.journal.trip()
        self.journal.store.ask(petition)

    async def take(self, owner: str, limit: int) -> list[Petition]:
        """Take some."""
        await self.journal.trip()
        return self.journal.store.take(owner, limit)

    async def answer(self, petition_id: str, owner: str, text: str) -> None:
        """Answer one."""
        await self.journal.trip()
        self.journal.store.answer(petition_id, owner, text)

    async def answered(self, petition_id: str) -> str | None:
        """Look for an answer."""
        await self.journal.trip()
        return self.journal.store.answered(petition_id)

    async def withdraw(self, petition_id: str) -> bool:
        """Take one back."""
        await self.journal.trip()
        return self.journal.store.withdraw(petition_id)
