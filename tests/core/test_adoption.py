"""A new owner takes a run over: what the old one had sent is lost, what was only due is sent once."""

from orchestrator.core import commands as c
from orchestrator.core.machine import RunMachine
from orchestrator.plan.compiled import compile_plan
from tests.core.bench import Bench, plan_of, words


def test_a_step_that_was_due_when_the_owner_left_is_sent_once() -> None:
    bench = Bench(plan_of({"a": {}, "b": {"needs": ["a"]}, "x": {}}))
    bench.machine.hold()
    bench.done("a")
    machine = RunMachine(compile_plan(bench.plan))
    for fact in bench.all:
        machine.replay(fact)

    commands = machine.outstanding(5.0, lost=True, epoch=2)

    assert words(list(machine.facts())) == [
        "run.adopted",
        "lease.lost x#1",
        "step.dispatched x#2 lost",
        "step.dispatched b#1 first",
    ]
    sent = [(command.step, command.attempt) for command in commands if isinstance(command, c.Dispatch)]
    assert sent == [("x", 2), ("b", 1)]
    assert machine.state.epoch == 2


def test_a_task_is_sent_again_with_the_inputs_it_had() -> None:
    """Though what they speak of has gone on: a step beside it, and the count of steps."""
    plan = plan_of(
        {
            "src": {"foreach": {"over": [10, 20], "as": "n"}},
            "each": {
                "foreach": {"each": "src", "as": "m"},
                "with": {"seen": "${{ steps.src.passed }}", "steps": "${{ run.steps }}"},
            },
        }
    )
    bench = Bench(plan)
    bench.done("src", 1, branch=0)
    first = next(one for one in bench.commands if isinstance(one, c.Dispatch))
    assert first.args == {"seen": [1], "steps": 2}
    bench.done("src", 2, branch=1)

    bench.crash(lost=False)
    again = [one for one in bench.commands if isinstance(one, c.Dispatch)]
    assert [(one.step, one.branch, one.args) for one in again] == [
        ("each", 0, {"seen": [1], "steps": 2}),
        ("each", 1, {"seen": [1, 2], "steps": 3}),
    ]

    bench.crash(lost=True)
    again = [one for one in bench.commands if isinstance(one, c.Dispatch)]
    assert [one.args for one in again] == [{"seen": [1], "steps": 2}, {"seen": [1, 2], "steps": 3}]
