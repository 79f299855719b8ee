"""`cost` against what was really spent: over failed, retried, forked and resumed runs, their sub-plans and branches."""

from pathlib import Path

import pytest

from orchestrator import Engine, Failed, Succeeded
from orchestrator.engine.operations import Operations
from orchestrator.plan.files import parse_plan
from orchestrator.ports.journal import RunQuery
from orchestrator.service.costing import costs_of
from orchestrator.settings import Settings
from orchestrator.testing import ScriptedModel
from workers import Pool, TerminalError, WorkContext

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]
USD = 0.002  #: of one call
OWN_USD = 0.03  #: that the function spends by itself
PLAN = parse_plan("""
version: 1
name: outer
inputs: {about: {type: string, default: fees}, wanted: {type: boolean, default: false}}
steps:
  first: {pool: desk, task: "Say it of ${{ inputs.about }}", model: {cache: exact}}
  inner:
    with: {about: "${{ inputs.about }}"}
    plan:
      version: 1
      name: inner
      inputs: {about: {type: string}, times: {type: array, default: [1, 2, 3]}}
      steps:
        each: {pool: desk, task: "Say it again", foreach: {over: inputs.times, as: k}, with: {k: "${{ k }}"}}
      result: ${{ steps.each.output }}
  last: {pool: desk, call: spends, needs: [first, inner], with: {wanted: "${{ inputs.wanted }}"}}
result: ${{ steps.last.output }}
""")


def pool() -> Pool:
    made = Pool("desk")
    made.agent("clerk", "You answer.")
    tries: list[int] = []

    @made.worker
    async def spends(ctx: WorkContext, wanted: bool) -> str:
        await ctx.cost(OWN_USD)
        tries.append(1)
        if len(tries) == 1:
            raise TerminalError("not yet")
        return "done"

    return made


async def test_the_costs_of_all_runs_are_what_was_spent(tmp_path: Path) -> None:
    settings = Settings(store=f"sqlite:///{tmp_path}/journal.db")
    async with ScriptedModel(lambda prompt: "Five.", usd=USD) as models:
        async with Engine(settings, pools=[pool()], models=models) as engine:
            first = await engine.submit(PLAN, {})
            failed = await first.result()
            again = await Operations(engine.runs).retry(first.id)
            retried = await again.result()
            forked = await (await Operations(engine.runs).fork(again.id, step="last", inputs={"wanted": True})).result()
            fresh = await (await engine.submit(PLAN, {})).result()
            found = await costs_of(engine.runs.journal)
            rows = await engine.runs.journal.runs(RunQuery(top_level=True))
        asked = len(models.prompts)
    assert isinstance(failed, Failed)
    assert [type(one) for one in (retried, forked, fresh)] == [Succeeded] * 3
    spent = asked * USD + 4 * OWN_USD
    assert asked == 4 + 3  # the last run had its first step from the cache; retry and fork took over what had passed
    assert found.costs.total.usd == pytest.approx(spent, abs=1e-12)
    assert sum(one.usage.usd for one in (failed, retried, forked, fresh)) == pytest.approx(spent, abs=1e-12)
    assert (len(rows), found.costs.total.calls, found.costs.total.served) == (4, asked, 1)
    assert found.costs.total.saved["cache"] == pytest.approx(USD, abs=1e-12)
    for side in ("run", "plan", "step", "model", "pool", "tenant", "day"):
        assert sum(row.usd for row in found.costs.by[side].values()) == pytest.approx(spent, abs=1e-12), side
    assert found.costs.by["plan"]["inner"].usd == pytest.approx(6 * USD, abs=1e-12)
