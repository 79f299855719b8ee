"""What a worker may begin: only as long as its very sample of an attempt is wanted."""

import pytest

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.app import Engine
from orchestrator.core import facts as f
from orchestrator.engine.grants import Grants
from orchestrator.ids import StepId
from orchestrator.plan.models import Plan
from orchestrator.ports.tasks import IntentRequest, OwnerReply, TaskKey
from tests.engine.helpers import facts_of, hang, pool_of

pytestmark = pytest.mark.anyio


async def test_a_sample_that_was_given_up_may_begin_no_tool_though_the_others_still_run() -> None:
    plan = Plan.model_validate(
        {
            "name": "p",
            "steps": {"a": {"pool": "p", "call": "hang", "checks": [{"agree": {"runs": 2, "quorum": 2}}]}},
        }
    )
    async with Engine(pools=[pool_of(hang)], journal=MemoryJournal(), drain_s=0.0) as engine:
        run = await engine.submit(plan)
        runs = engine.runs
        grants = Grants(runs.clock, runs.driver, runs.tell, runs.ended)
        keys = [TaskKey(run.id, StepId("a"), -1, 1, sample) for sample in (0, 1)]
        driver = runs.driver(run.id)
        assert driver is not None
        gone = f.AttemptFailed(at_s=runs.clock.now_s(), step=StepId("a"), attempt=1, sample=1, error="boom", message="")
        await runs.tell(driver, gone)

        said = [await grants.answer(IntentRequest(key=key, effect=f"e{key.sample}", tool="t")) for key in keys]

        assert said == [OwnerReply(granted=True), OwnerReply(granted=False, limit="run")]
        assert [fact.key for fact in await facts_of(run, f.ToolIntended)] == ["e0"]
