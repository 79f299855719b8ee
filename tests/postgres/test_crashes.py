"""A crash at every append to a PostgreSQL journal, before, while and after it is written: as if nothing had happened.

The outcome is that of the same plan on a SQLite file, run without a crash.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import anyio
import asyncpg
import pytest

from orchestrator.adapters.postgres.journal import PostgresJournal
from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, RunQuery
from tests.crash.reference import REFERENCES, WITNESS, Reference
from tests.crash.tally import tally
from tests.crash.test_crash_points import Crash, finish, plain, produced
from tests.sizes import SIZES

pytestmark = [pytest.mark.anyio, pytest.mark.crash]
STRIDE = 1 if SIZES.name == "prove" else 3
ROUNDS = 3 if SIZES.name == "prove" else 1  #: what shares an append depends on the moment, so no two are alike
Moment = Literal["before", "during", "after"]
TABLES = "runs, events, payloads, artifacts, owners, requests"


class CrashingJournal(PostgresJournal):
    """A journal whose process dies at append number `at`, from 1: before, during or after writing."""

    at: int | None = None
    moment: Moment = "before"
    appends = 0
    late: asyncio.Task[tuple[RunId, ...]] | None = None

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        self.appends += 1
        if self.appends == self.at:
            self.ownership.release = _nothing  # type: ignore[method-assign] # the dead give nothing up
            if self.moment == "after":
                await super().append(entries)
            elif self.moment == "during":  # sent, and nobody waits for what becomes of it
                self.late = asyncio.create_task(super().append(entries))
                await asyncio.sleep(0)
            raise Crash
        return await super().append(entries)


async def _nothing(*_: object, **__: object) -> None:
    pass


async def sql(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


@pytest.mark.parametrize("reference", REFERENCES, ids=[reference.name for reference in REFERENCES])
async def test_a_crash_at_any_append_changes_nothing(reference: Reference, postgres_url: str, tmp_path: Path) -> None:
    file = await SqliteJournal.open(tmp_path / "journal.db")
    expected = plain(await finish(reference, file))
    await file.close()
    calm = await CrashingJournal.open(postgres_url)
    assert plain(await finish(reference, calm)) == expected
    await calm.close()

    moments: tuple[Moment, ...] = get_args(Moment)
    points = [(at, moment) for at in range(1, calm.appends + 1, STRIDE) for moment in moments]  # type: ignore[attr-defined] # it counts
    crashes = 0
    for at, moment in points * ROUNDS:
        await sql(postgres_url, f"TRUNCATE {TABLES}")
        WITNESS.clear()
        first, heir = await CrashingJournal.open(postgres_url), await PostgresJournal.open(postgres_url)
        first.at, first.moment = at, moment  # type: ignore[attr-defined] # as above
        with anyio.fail_after(120):
            try:
                result = await finish(reference, first)  # the last appends may come after the result
            except* Crash:
                crashes += 1
                await sql(postgres_url, "UPDATE owners SET lease_until = '-infinity'")
                before = await produced(heir)
                WITNESS.clear()
                result = await finish(reference, heir)
                again = {line.split(" ")[0] for line in WITNESS} & before
                assert not again, f"crash {moment} append {at}: executed again although journaled: {again}"
        assert plain(result) == expected, f"crash {moment} append {at} of {calm.appends}"  # type: ignore[attr-defined] # as above
        for row in await heir.runs(RunQuery()):
            assert await heir.verify_run(row.run_id) == row.last_seq
        await first.close()
        await heir.close()
    tally("appends to PostgreSQL", reference.name, crashes)
