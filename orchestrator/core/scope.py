"""What expressions can see of a run: read-only views over its state. An output that has not passed is not there."""

from collections.abc import Iterator, Mapping

from orchestrator.core.state import UPSTREAM, RunState, Status, StepState, Unit
from orchestrator.ids import JsonValue

STEP_KEYS = ("output", "passed", "gaps", "status", "skipped", "degraded", "attempts", "cost_usd")
RUN_KEYS = ("id", "origin_id", "cost_usd", "tokens", "steps", "tenant", "lane", "plan")


class StepView(Mapping[str, JsonValue]):
    """`steps.ID` in an expression."""

    __slots__ = ("_state",)

    def __init__(self, state: StepState) -> None:
        self._state = state

    def __getitem__(self, key: str) -> JsonValue:
        state = self._state
        if key == "output":
            return output_of(state)
        if key == "passed":
            return [unit.output for unit in state.all_units() if unit.status is Status.PASSED]
        if key == "gaps":
            return gaps_of(state)
        if key == "status":
            return state.status.value
        if key == "skipped":
            return state.status is Status.SKIPPED
        if key == "degraded":
            return state.degraded or state.status is Status.GAP
        if key == "attempts":
            return sum(unit.attempt for unit in state.all_units())
        if key == "cost_usd":
            return sum(unit.usd for unit in state.all_units())
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(STEP_KEYS)

    def __len__(self) -> int:
        return len(STEP_KEYS)


class StepsView(Mapping[str, StepView]):
    """`steps` in an expression."""

    __slots__ = ("_run",)

    def __init__(self, run: RunState) -> None:
        self._run = run

    def __getitem__(self, key: str) -> StepView:
        return StepView(self._run.steps[self._run.plan.by_id[key]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._run.plan.by_id)

    def __len__(self) -> int:
        return len(self._run.plan.by_id)


class RunView(Mapping[str, JsonValue]):
    """`run` in an expression."""

    __slots__ = ("_run",)

    def __init__(self, run: RunState) -> None:
        self._run = run

    def __getitem__(self, key: str) -> JsonValue:
        accepted, ledger = self._run.accepted, self._run.ledger
        if key not in RUN_KEYS or accepted is None:
            raise KeyError(key)
        values: dict[str, JsonValue] = {
            "id": accepted.run,
            "origin_id": accepted.origin,
            "cost_usd": ledger.usd,
            "tokens": ledger.tokens,
            "steps": ledger.steps,
            "tenant": accepted.tenant,
            "lane": accepted.lane,
            "plan": accepted.plan,
        }
        return values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(RUN_KEYS)

    def __len__(self) -> int:
        return len(RUN_KEYS)


def output_of(state: StepState) -> JsonValue:
    """What dependents read: the passed output, null for everything else; a list for a mapped step."""
    if state.units is None:
        unit = state.unit
        return unit.output if unit is not None and unit.status is Status.PASSED else [] if state.spec.mapped else None
    if state.outputs is not None:
        return state.outputs
    return [unit.output if unit.status is Status.PASSED else None for unit in state.units]


def gaps_of(state: StepState) -> list[JsonValue]:
    """Index and reason of every branch that is missing; index null for a step that is not mapped."""
    return [
        {"index": unit.branch if unit.branch >= 0 else None, "reason": unit.reason}
        for unit in state.all_units()
        if unit.settled and unit.status is not Status.PASSED and not _left_out(unit)
    ]


def _left_out(unit: Unit) -> bool:
    """Skipped by its own condition, or cancelled because enough others passed: wanted, not missing."""
    return (unit.status is Status.SKIPPED and unit.reason not in UPSTREAM) or (
        unit.status is Status.CANCELLED and unit.reason == "join_met"
    )


def base_scope(run: RunState) -> dict[str, object]:
    """The scope all steps of a run share. Without a session `session` has no members, so what names one fails."""
    session = run.pinned.view if run.pinned is not None else {}
    return {"inputs": run.inputs, "steps": StepsView(run), "run": RunView(run), "session": session}


def unit_scope(run: RunState, state: StepState, unit: Unit) -> dict[str, object]:
    """The scope of one unit: the shared one, and the item of its branch."""
    if unit.branch < 0:
        return run.scope
    spec = state.spec
    item = run.steps[spec.each].units[unit.branch].output if spec.each >= 0 else state.items[unit.branch]  # type: ignore[index]  # expanded before its dependents
    return {**run.scope, spec.item: item, "index": unit.branch}
