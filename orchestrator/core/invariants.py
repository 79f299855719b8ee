"""What must always hold: of a machine's state at any moment, and of a journal from its first record to its last.

`check_state` works every counter out anew; `check_history` reads a journal once, in linear time, and believes nothing
but its facts. Both return what is wrong as values, in order; nothing found is an empty tuple.
"""

from collections.abc import Iterable

from orchestrator.core.fact import NO_STEP, WHOLE
from orchestrator.core.history import check_history
from orchestrator.core.rebuild import tally
from orchestrator.core.settle import occupied, with_person, working
from orchestrator.core.state import SETTLED, UPSTREAM, RunState, Status, StepState, Unit
from orchestrator.core.violation import Violation

__all__ = ["Violation", "check_history", "check_state"]


def check_state(run: RunState) -> tuple[Violation, ...]:
    """Everything that does not fit in a machine's state between two inputs. Linear in steps, branches and edges."""
    return tuple(_of_run(run)) + tuple(v for state in run.steps for v in _of_step(run, state))


def _wrong(rule: str, what: str, state: StepState | None = None, branch: int = WHOLE) -> Violation:
    return Violation(seq=0, rule=rule, step=state.spec.id if state is not None else NO_STEP, branch=branch, what=what)


def _differ(
    state: StepState | None, pairs: dict[str, tuple[object, object]], branch: int = WHOLE
) -> Iterable[Violation]:
    for name, (kept, counted) in pairs.items():
        if kept != counted:
            yield _wrong(f"count.{name}", f"{name} is {kept}, and a count gives {counted}", state, branch)


def _of_run(run: RunState) -> Iterable[Violation]:
    units = [unit for state in run.steps for unit in state.all_units()]
    plain = [state for state in run.steps if not state.spec.finally_]
    last = [state for state in run.steps if state.spec.finally_]
    ledger = run.ledger
    asked = run.budget_approval is not None and run.budget_answer is None
    held = list(ledger.open.values())
    yield from _differ(
        None,
        {
            "open": (run.open, sum(state.status not in SETTLED for state in plain)),
            "open_finally": (run.open_finally, sum(state.status not in SETTLED for state in last)),
            "finally_held": (
                run.finally_held,
                sum(state.spec.held for state in last if state.status not in SETTLED and not state.started),
            ),
            "active": (run.active, sum(occupied(unit, unit.status) for unit in units)),
            "waiting": (run.waiting, sum(with_person(unit, unit.status) for unit in units) + asked),
            "usd_reserved": (round(ledger.usd_reserved, 6), round(sum(one.usd for one in held), 6)),
            "tokens_reserved": (ledger.tokens_reserved, sum(one.tokens for one in held)),
            "steps_reserved": (ledger.steps_reserved, sum(one.steps for one in held)),
            "calls_reserved": (ledger.calls_reserved, sum(one.calls for one in held)),
        },
    )
    if any(charge in ledger.charged for charge in ledger.open):
        yield _wrong("charge.once", "a charge is open and settled at once")
    if (run.paused_at_s is not None) != (working(run) == 0 and run.waiting > 0):
        yield _wrong("pause", f"paused since {run.paused_at_s}, with {run.active} at work and {run.waiting} waiting")
    if run.frozen and run.todo and not run.ended:
        yield _wrong("todo", f"steps {list(run.todo)} were not looked at")
    if run.ended and (run.open or run.open_finally):
        yield _wrong("ended", "the run has ended with open steps")


def _of_step(run: RunState, state: StepState) -> Iterable[Violation]:
    units = state.units
    if state.status is Status.PENDING:
        kept = (state.unmet, state.bad, state.good)
        if kept != (counted := tally(run, state)):
            yield _wrong("count.needs", f"unmet, failed, passed are {kept}, and a count gives {counted}", state)
    if units is not None:
        yield from _differ(
            state,
            {
                "settled": (state.settled, sum(unit.settled for unit in units)),
                "passed": (state.passed, sum(unit.status is Status.PASSED for unit in units)),
                "gaps": (state.gaps, sum(unit.status is Status.GAP for unit in units)),
                "failed": (state.failed, sum(_failed(unit) for unit in units)),
                "running": (state.running, sum(unit.first_at_s >= 0 and not unit.settled for unit in units)),
            },
        )
        if state.status in SETTLED and state.settled != len(units):
            yield _wrong("settled.open", "the step has settled before its branches", state)
        if state.running > state.spec.max_parallel:
            yield _wrong("max_parallel", f"{state.running} branches run at the same time", state)
    elif state.unit is not None and state.unit.settled != (state.status in SETTLED):
        yield _wrong("status", f"the step is {state.status} and its unit {state.unit.status}", state)
    for unit in state.all_units():
        yield from _of_unit(run, state, unit)


def _failed(unit: Unit) -> bool:
    return unit.status is Status.FAILED or (unit.status is Status.SKIPPED and unit.reason in UPSTREAM)


def _of_unit(run: RunState, state: StepState, unit: Unit) -> Iterable[Violation]:
    held = [unit.args, unit.text, unit.samples, unit.evidence, unit.approval, unit.answer, unit.said, unit.outcome]
    if unit.settled and (any(thing is not None for thing in held) or unit.open_samples or unit.check_sent):
        yield _wrong("settled.work", f"{unit.status}, and something is still under way", state, unit.branch)
    if unit.output is not None and unit.status not in (Status.PASSED, Status.CHECKING, Status.WAITING, Status.REJECTED):
        yield _wrong("gate", f"{unit.status}, and it holds an output", state, unit.branch)
    if unit.status is Status.WAITING and (unit.approval is None) == (not unit.replan):
        yield _wrong("waiting", "it waits, and neither a person nor the planner was asked", state, unit.branch)
    if unit.status is Status.RUNNING and unit.open_samples < 1 and unit.outcome is None:
        yield _wrong("running", "it runs, and no task is open", state, unit.branch)
    if unit.status is Status.CHECKING and not unit.check_sent and not _budget_holds(run, state):
        yield _wrong("checking", "it is checked, and no check was sent", state, unit.branch)
    if unit.status is Status.REJECTED and not _budget_holds(run, state):
        yield _wrong("rejected", "the ladder gave no answer", state, unit.branch)


def _budget_holds(run: RunState, state: StepState) -> bool:
    """Whether a person is being asked about the budget: then what would spend more is held."""
    return run.limit_policy == "ask" and not state.spec.finally_
