"""A run that is served from the cache, crashed at every append: it ends as it would have, and no model is paid."""

import pytest

from orchestrator import Engine, Succeeded
from orchestrator.adapters.memory.cache import MemoryCache
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core import facts as f
from orchestrator.core.history import check_history
from orchestrator.engine.handle import Run
from orchestrator.plan.files import parse_plan
from orchestrator.ports.journal import RunQuery
from orchestrator.settings import Settings
from orchestrator.testing import ScriptedModel
from tests.crash.test_crash_points import Crash, CrashingJournal
from workers import Pool

pytestmark = pytest.mark.anyio
PLAN = parse_plan("""
version: 1
name: faq
steps:
  fee: {pool: desk, task: What is the fee?, model: {cache: exact}}
  hours: {pool: desk, task: When are you open?, model: {cache: exact}, with: {fee: "${{ steps.fee.output }}"}}
result: ${{ steps.hours.output }}
""")
APPENDS_MAX = 12


class KeptCache(MemoryCache):
    """Outlives the engines that use it, as a file would."""

    async def aclose(self) -> None: ...


async def finish(journal: MemoryJournal, cache: KeptCache, models: ScriptedModel) -> object:
    """Open an engine, go on with what is there or begin, and drive it to its end."""
    pool = Pool("desk")
    pool.agent("clerk", "You answer.")
    settings = Settings(store="memory:")
    async with Engine(
        settings, pools=[pool], models=models, journal=journal, cache=cache, drain_s=0.0, recover=False
    ) as engine:
        found = await journal.runs(RunQuery(top_level=True))
        if found:
            await engine.runs.recover()
        run = Run(engine.runs, found[0].run_id) if found else await engine.submit(PLAN)
        return await run.result()


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("at", range(1, APPENDS_MAX + 1))
async def test_a_served_run_survives_a_crash_at_every_append(at: int, written: bool) -> None:
    cache = KeptCache()
    async with ScriptedModel(["five", "always"], usd=0.5) as models:
        assert isinstance(await finish(MemoryJournal(), cache, models), Succeeded)
        journal = CrashingJournal()
        journal.at, journal.written = at, written
        try:
            result = await finish(journal, cache, models)
        except (Crash, BaseExceptionGroup):
            journal.at = None
            result = await finish(journal, cache, models)

    assert journal.at is None or journal.appends < at  # it has crashed, or there were not so many
    assert isinstance(result, Succeeded)
    assert (result.output, result.usage.usd) == ("always", 0.0)
    (row,) = await journal.runs(RunQuery())
    records = await journal.read(row.run_id)
    assert check_history(records) == ()
    called = [record.fact for record in records if isinstance(record.fact, f.ModelCalled)]
    assert {one.served for one in called} == {"exact"}
    assert len({one.charge for one in called}) == len(called) >= 2
