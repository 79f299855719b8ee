"""What goes out when a run is taken over: what may have been sent before is looked for, what is new is sent at once."""

import anyio
import pytest

from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.memory.transport import MemoryTransport
from orchestrator.engine.engine import RunEngine
from orchestrator.engine.submission import Request, first_facts
from orchestrator.ids import RunId
from orchestrator.plan.models import Plan
from orchestrator.ports.journal import Append
from orchestrator.ports.tasks import StepTask, TaskDone, TaskKey, TaskMessage
from tests.engine.helpers import double, pool_of, real
from workers.registry import Registry

pytestmark = [pytest.mark.anyio, real]
RUN = RunId("r")
PLAN = Plan.model_validate(
    {
        "name": "p",
        "steps": {
            "a": {"pool": "p", "call": "double", "with": {"x": 1}},
            "b": {"pool": "p", "call": "double", "with": {"x": "${{ steps.a.output }}"}},
            "c": {"pool": "p", "call": "double", "with": {"x": 3}},
        },
    }
)


class Keeping(MemoryTransport):
    """A transport whose tasks outlive the process that sent them."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        self.resumed: list[str] = []

    def send(self, task: StepTask) -> None:
        self.sent.append(str(task.key.step_id))

    def resume(self, task: StepTask) -> None:
        self.resumed.append(str(task.key.step_id))

    def let_go(self, key: TaskKey) -> None: ...

    def leave(self, message: TaskMessage) -> None: ...


def engine_on(journal: MemoryJournal, transport: Keeping) -> RunEngine:
    catalogue = Registry([pool_of(double)])
    return RunEngine(journal=journal, transport=transport, clock=SystemClock(), catalogue=catalogue, owner="o")


async def test_tasks_of_a_run_that_nobody_drove_yet_are_sent_and_not_looked_for() -> None:
    journal, transport = MemoryJournal(), Keeping()
    facts = first_facts(Request(run_id=RUN, plan=PLAN, inputs={}, budget=PLAN.budget), SystemClock().now_s())
    assert not await journal.append([Append(run_id=RUN, first_seq=1, epoch=1, facts=facts)])

    async with engine_on(journal, transport) as engine:
        await engine.takeover.recover(None)
        await anyio.wait_all_tasks_blocked()

    assert (transport.sent, transport.resumed) == (["a", "c"], [])


async def test_of_a_run_that_was_under_way_only_what_was_sent_before_is_looked_for() -> None:
    journal, first, second = MemoryJournal(), Keeping(), Keeping()
    facts = first_facts(Request(run_id=RUN, plan=PLAN, inputs={}, budget=PLAN.budget), SystemClock().now_s())
    async with engine_on(journal, first) as engine:
        engine.start(facts, engine.prepare(PLAN))
        await anyio.wait_all_tasks_blocked()
        driver = engine.driver(RUN)
        assert driver is not None
        driver.machine.hold()  # it dies between what `a` gave and what follows from it
        key = TaskKey(RUN, driver.machine.state.steps[0].spec.id, -1, 1)
        engine.post(driver, TaskDone(key=key, worker="w", output=2, started_at_s=0.0))
        await anyio.wait_all_tasks_blocked()

    async with engine_on(journal, second) as engine:
        await engine.takeover.recover(None)
        await anyio.wait_all_tasks_blocked()

    assert (second.sent, second.resumed) == (["b"], ["c"])
