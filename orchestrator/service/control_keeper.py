"""The verbs that look after the journal itself: proving it, handing it out, forgetting, copying."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing

from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import Journal, RunRow
from orchestrator.service import control_keeping as keeping
from orchestrator.service import control_proving as proving
from orchestrator.service.control_args import BackupArgs, CheckArgs, ForgetArgs, GcArgs, HashesArgs, VerifyArgs


class Keeper(ABC):
    """The part of a desk that needs nothing but the journal."""

    journal: Journal

    @abstractmethod
    async def row(self, name: str) -> RunRow:
        """The run that is meant by a name.

        Raises:
            RunNotFound: none, or more than one.
        """

    async def _id(self, name: str | None) -> RunId | None:
        return None if name is None else (await self.row(name)).run_id

    async def verify(self, args: VerifyArgs) -> AsyncGenerator[JsonValue, None]:
        """Whether every record is as it was written, run by run."""
        run_id = await self._id(args.run)
        async with aclosing(proving.verify(self.journal, run_id, args.since, args.until)) as runs:
            async for run in runs:
                yield run

    async def hashes(self, args: HashesArgs) -> JsonValue:
        """The hashes of single records."""
        return await proving.hashes(self.journal, args.marks)

    async def check(self, args: CheckArgs) -> JsonValue:
        """Whether what was written keeps the rules of a run."""
        return await proving.check(self.journal, await self._id(args.run))

    async def export(self, args: VerifyArgs) -> AsyncGenerator[JsonValue, None]:
        """Events with their proof."""
        run_id = await self._id(args.run)
        async with aclosing(proving.export(self.journal, run_id, args.since, args.until)) as events:
            async for event in events:
                yield event

    async def deeds(self, args: VerifyArgs) -> AsyncGenerator[JsonValue, None]:
        """What people did."""
        async with aclosing(
            proving.told_deeds(self.journal, await self._id(args.run), args.since, args.until)
        ) as found:
            async for deed in found:
                yield deed

    async def gc(self, args: GcArgs) -> JsonValue:
        """What is old."""
        return await keeping.old(self.journal, args)

    async def forget(self, args: ForgetArgs) -> JsonValue:
        """Delete what is named."""
        return await keeping.forget(self.journal, args)

    async def backup(self, args: BackupArgs) -> JsonValue:
        """Copy the journal."""
        return await keeping.backup(self.journal, args.file)
