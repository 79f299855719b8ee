"""What a worker may begin: only as long as its very sample of an attempt is wanted, and only its owner can say no."""

from collections.abc import Callable

import anyio
import pytest

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.app import Engine
from orchestrator.core import facts as f
from orchestrator.core.inputs import Input
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.grants import Grants
from orchestrator.errors import JournalConflict
from orchestrator.ids import StepId
from orchestrator.plan.models import Plan
from orchestrator.ports.tasks import IntentRequest, OwnerReply, OwnerRequest, SpendRequest, StartRequest, TaskKey
from tests.engine.helpers import facts_of, hang, pool_of, virtual

pytestmark = pytest.mark.anyio
ONE = Plan.model_validate({"name": "p", "steps": {"a": {"pool": "p", "call": "hang"}}})
REQUESTS: dict[str, Callable[[TaskKey], OwnerRequest]] = {
    "money": lambda key: SpendRequest(key=key, charge="c", usd=0.01, tokens=1),
    "intent": lambda key: IntentRequest(key=key, effect="e", tool="t"),
    "start": lambda key: StartRequest(key=key, worker="w/1"),
}


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


@virtual
@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("lost", ["unknown", "taken"])
async def test_who_does_not_drive_an_open_run_leaves_the_question_to_whoever_does(kind: str, lost: str) -> None:
    async with Engine(pools=[pool_of(hang)], journal=MemoryJournal(), drain_s=0.0) as engine:
        run, runs = await engine.submit(ONE), engine.runs
        away, said = True, list[OwnerReply]()

        async def tell(driver: RunDriver, told: Input) -> None:
            if away:
                raise JournalConflict(run.id, "another process has taken it over")
            await runs.tell(driver, told)

        grants = Grants(
            runs.clock, lambda one: None if away and lost == "unknown" else runs.driver(one), tell, runs.ended
        )

        async def ask() -> None:
            said.append(await grants.answer(REQUESTS[kind](TaskKey(run.id, StepId("a"), -1, 1, 0))))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.sleep(30.0)
            assert said == []
            away = False
        assert said[0].granted or said[0].limit == "begun"


@virtual
@pytest.mark.parametrize("kind", REQUESTS)
async def test_of_a_run_that_is_over_nobody_may_do_any_more(kind: str) -> None:
    async with Engine(pools=[pool_of(hang)], journal=MemoryJournal(), drain_s=0.0) as engine:
        run, runs = await engine.submit(ONE), engine.runs
        grants = Grants(runs.clock, lambda _: None, runs.tell, runs.ended)
        said = list[OwnerReply]()

        async def ask() -> None:
            said.append(await grants.answer(REQUESTS[kind](TaskKey(run.id, StepId("a"), -1, 1, 0))))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.sleep(3.0)
            await run.cancel()
        assert said == [OwnerReply(granted=False, limit="run")]
