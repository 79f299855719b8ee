"""What guards need travels to workers of a fleet and back: labels with the task, trips to the owner of the run."""

from orchestrator.adapters.redis.codec import message_bytes, message_of, tag_of, task_bytes, task_of
from orchestrator.core import facts as f
from orchestrator.engine.translate import input_of
from orchestrator.ids import PoolName, RunId, StepId, TenantId
from orchestrator.ports.tasks import StepTask, TaskKey, TaskTripped
from tests.core.bench import Bench, plan_of

KEY = TaskKey(RunId("run"), StepId("a"), -1, 1)
TRIPPED = TaskTripped(
    key=KEY,
    worker="w",
    guard="pii",
    stage="tool_result",
    verdict="change",
    tool="look",
    score=0.5,
    reasons=("1 email",),
)


def test_labels_travel_with_a_task() -> None:
    task = StepTask(
        key=KEY,
        tenant=TenantId("default"),
        pool=PoolName("p"),
        lane="normal",
        function="f",
        instruction=None,
        args={"x": 1},
        labels={"x": ["tool", "user"]},
    )
    assert task_of(task_bytes(task)) == task


def test_a_trip_travels_back_and_becomes_a_fact() -> None:
    assert message_of(tag_of(TRIPPED), message_bytes(TRIPPED)) == TRIPPED
    bench = Bench(plan_of({"a": {}}))
    told = input_of(TRIPPED, bench.machine.state, 3.0)
    assert told == f.GuardTripped(
        at_s=3.0, actor="w", step=StepId("a"), attempt=1, guard="pii", stage="tool_result", verdict="change",
        tool="look", score=0.5, reasons=("1 email",),
    )  # fmt: skip
