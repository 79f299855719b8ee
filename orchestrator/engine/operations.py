"""What people do to runs: answer, quarantine, patch, cancel, retry, fork."""

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from orchestrator.core import facts as f
from orchestrator.core.machine import RunMachine
from orchestrator.core.rebuild import built_on, locked
from orchestrator.core.state import RunState, Status, StepState
from orchestrator.engine.approvals import OpenApproval, answer_to, is_that, open_approvals
from orchestrator.engine.doubts import LATE, Result, doubted_of
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.engine import RunEngine
from orchestrator.engine.handle import Run
from orchestrator.engine.questions import patched
from orchestrator.engine.recovery import machine_of, read_all
from orchestrator.engine.run_ids import new_run_id
from orchestrator.engine.submission import Request, budget_over, check_words, plain_inputs, seen_by
from orchestrator.engine.withdrawing import withdraw
from orchestrator.errors import JournalConflict, RunNotFound, WrongState
from orchestrator.ids import Digest, JsonValue, RunId, StepId
from orchestrator.plan.inputs import validate_inputs
from orchestrator.plan.parts import Budget
from orchestrator.plan.patch import Patch, apply_patch
from orchestrator.ports.journal import Append, Recorded
from orchestrator.ports.ownership import Verb


class Operations:
    """Commands on the runs of one engine."""

    def __init__(self, engine: RunEngine, *, forward: bool = True) -> None:
        self._engine = engine
        self._forward = forward  #: to the owner, what another process drives

    async def _elsewhere(self, run_id: RunId, verb: Verb, args: dict[str, JsonValue]) -> JsonValue:
        """The answer of the other process that drives an open run; None: it is driven here, or by nobody."""
        owning = self._engine.owning if self._forward else None
        if owning is None or await owning.elsewhere(run_id) is None or await self._engine.ended(run_id) is not None:
            return None
        return await owning.petitioner.ask(run_id, verb, args)

    def _open(self, run_id: RunId) -> RunDriver:
        driver = self._engine.driver(run_id)
        if driver is None or driver.over:
            raise WrongState(f"run {run_id}", "not open here", "`orchestrator ps --all` shows how it ended")
        return driver

    async def approvals(self, run_id: RunId | None = None) -> list[OpenApproval]:
        """Every open question of the open runs, or of one run and its sub-plans, oldest run first."""
        found: list[OpenApproval] = []
        for driver in self._engine.drivers():
            if run_id is not None and driver.run_id != run_id and not driver.run_id.startswith(f"{run_id}."):
                continue
            found += open_approvals(driver)
        return found

    async def approve(self, run_id: RunId, step: str, choice: str, *, reason: str = "", by: str = "") -> None:
        """Answer an open question, and wait until the answer is journaled. The same answer again changes nothing.

        Raises:
            WrongState: nothing is asked there, or the choice is not offered; the error lists what is.
        """
        told: dict[str, JsonValue] = {"step": step, "choice": choice, "reason": reason, "by": by}
        if await self._elsewhere(run_id, "approve", told) is not None:
            return
        driver = self._open(run_id)
        answer = answer_to(driver, step, choice, self._engine.clock.now_s(), reason=reason, by=by)
        before = driver.next_seq - 1
        await self._engine.tell(driver, answer)
        if not any(is_that(record.fact, answer) for record in await read_all(self._engine.journal, run_id, before)):
            raise WrongState(
                f"{run_id} {step}", "the question was closed meanwhile", f"orchestrator why {run_id} {step}"
            )

    async def cancel(self, run_id: RunId, *, reason: str = "", by: str = "") -> None:
        """Cancel a run; safe to repeat. Raises RunNotFound."""
        if await self._elsewhere(run_id, "cancel", {"reason": reason, "by": by}) is None:
            await self._engine.cancel(run_id, reason=reason, by=by)

    async def quarantine(self, run_id: RunId, step: str, *, reason: str, by: str = "") -> tuple[StepId, ...]:
        """Mark a passed result as wrong, with everything built on it; return those steps.

        In an open run they are taken back. After the end it is an audit record, which `retry` respects.

        Raises:
            RunNotFound: no such run.
            WrongState: the step has not passed.
        """
        told = await self._elsewhere(run_id, "quarantine", {"step": step, "reason": reason, "by": by})
        if told is not None:
            return tuple(StepId(name) for name in cast(dict[str, list[str]], told)["affected"])
        driver = self._engine.driver(run_id)
        state, records = (driver.machine.state, []) if driver is not None else await self._ended_state(run_id)
        found = state.step(StepId(step))
        if found is None:
            raise WrongState(f"step {step!r}", "not in this plan", f"steps: {', '.join(state.plan.by_id)}")
        if found.status is not Status.PASSED:
            raise WrongState(f"step {step}", found.status.value, "only a passed result can be quarantined")
        affected = built_on(state, found)
        fact = f.StepQuarantined(
            at_s=self._engine.clock.now_s(), actor=by, step=StepId(step), reason=reason, affected=affected
        )
        if driver is not None:
            await self._engine.tell(driver, fact)
        else:
            await self._append_audit(run_id, records, fact)
        if self._engine.offers is not None:
            wrong = frozenset((fact.step, *affected))
            await withdraw(self._engine.journal, self._engine.offers, run_id, wrong)
        return affected

    async def patch(self, run_id: RunId, patch: Patch, *, by: str = "") -> Digest:
        """Change the plan under an open run, in steps that have neither passed nor run; return the new digest.

        Raises:
            WrongState: the run is not open here, or went on meanwhile.
            PlanError: another base, a locked step, or a plan that would not be valid; nothing has changed.
            PromiseError: the new plan asks for what this engine does not have.
        """
        told = await self._elsewhere(run_id, "patch", {"patch": cast(JsonValue, patch.canonical()), "by": by})
        if told is not None:
            return Digest(cast(dict[str, str], told)["digest"])
        driver = self._open(run_id)
        plan = driver.machine.state.plan.plan
        changed = apply_patch(plan, patch, locked=locked(driver.machine.state))
        self._engine.prepare(changed, driver.machine.state.pinned is not None)
        revision = driver.machine.state.revision
        await self._engine.tell(driver, patched(patch, changed, at_s=self._engine.clock.now_s(), by=by))
        if driver.machine.state.revision == revision:
            raise WrongState(f"run {run_id}", "it went on meanwhile", "look at it again, and patch what is still open")
        return changed.digest

    async def retry(
        self,
        run_id: RunId,
        *,
        step: str | None = None,
        budget: Budget | None = None,
        idempotency_key: str | None = None,
        trace: str = "",
        by: str = "",
    ) -> Run:
        """Start a new run of an ended one: what passed is taken over, the rest runs again.

        With `step`, that step and everything below it runs again even where it passed. Quarantined results are
        never taken over, in whichever run of the same origin they were found wrong. The same `idempotency_key` with
        the same request gives the run that exists; `trace` is the W3C `traceparent` of whoever asks, `by` their name.

        Raises:
            RunNotFound: no such run.
            WrongState: it is open, a sub-plan, or everything in it has passed.
            IdempotencyConflict: the key belongs to another request.
        """
        return await self._again(run_id, step=step, changes={}, budget=budget, key=idempotency_key, trace=trace, by=by)

    async def fork(
        self,
        run_id: RunId,
        *,
        step: str,
        inputs: Mapping[str, JsonValue],
        budget: Budget | None = None,
        idempotency_key: str | None = None,
        trace: str = "",
        by: str = "",
    ) -> Run:
        """Start a new run from a step of an ended one, with some inputs changed; what is not below the step is kept.

        Raises:
            RunNotFound, WrongState, IdempotencyConflict: as `retry`.
            InputError: a changed input does not fit.
        """
        return await self._again(
            run_id, step=step, changes=inputs, budget=budget, key=idempotency_key, trace=trace, by=by
        )

    async def _again(
        self,
        run_id: RunId,
        *,
        step: str | None,
        changes: Mapping[str, JsonValue],
        budget: Budget | None,
        key: str | None,
        trace: str,
        by: str,
    ) -> Run:
        state, records = await self._ended_state(run_id)
        check_words("normal", "default", key)
        plan = state.plan.plan
        self._engine.prepare(plan, state.pinned is not None)
        now_s = self._engine.clock.now_s()
        accepted = state.accepted
        assert accepted is not None, "an ended run was accepted"
        if accepted.parent is not None:  # nobody would take its result; and its inputs are no caller's own words
            raise WrongState(f"run {run_id}", "a sub-plan", f"run its parent again: {accepted.parent}")
        doubted = await doubted_of(self._engine.journal, accepted.origin)
        reuse = taken_over(state, records, step, now_s, doubted)
        if step is None and len({fact.step for fact in reuse if isinstance(fact, f.StepReused)}) == len(state.steps):
            raise WrongState(f"run {run_id}", "everything in it has passed", "name a step to run it again from there")
        before = Budget(
            usd=accepted.usd,
            tokens=accepted.tokens,
            wall=accepted.wall_s,
            steps=accepted.steps,
            on_limit=accepted.on_limit,
        )
        request = Request(
            run_id=new_run_id(now_s),
            plan=plan,
            inputs=validate_inputs(plan, {**accepted.inputs, **plain_inputs(changes)}),
            budget=budget_over(plan.model_copy(update={"budget": before}), budget),
            lane=accepted.lane,
            tenant=accepted.tenant,
            idempotency_key=key,
            origin=accepted.origin,
            reuse=reuse,
            trace=trace,
            by=by,
            asked=f"again {run_id} {step or ''}",
            session=seen_by(state),
        )
        run = await self._engine.accept(request)
        late = await doubted_of(self._engine.journal, accepted.origin) - doubted
        for fact in reuse if late else ():
            if isinstance(fact, f.StepReused) and (fact.step, str(fact.digest)) in late:
                with suppress(WrongState):  # taken back already, with something that it was built on
                    await self.quarantine(run.id, fact.step, reason=LATE, by=by)
        return run

    async def _ended_state(self, run_id: RunId) -> tuple[RunState, list[Recorded]]:
        records = await read_all(self._engine.journal, run_id)
        if not records:
            raise RunNotFound(run_id)
        machine: RunMachine = machine_of(records)
        if not machine.state.ended:
            raise WrongState(f"run {run_id}", "open", "cancel it, or wait for its end")
        return machine.state, records

    async def _append_audit(self, run_id: RunId, records: list[Recorded], fact: f.Fact) -> None:
        last = records[-1]
        entry = Append(run_id=run_id, first_seq=last.seq + 1, epoch=last.epoch, facts=(fact,), sync=True)
        if await self._engine.journal.append([entry]):
            raise JournalConflict(run_id, "somebody else wrote to it at the same moment; try again")


def taken_over(
    state: RunState, records: list[Recorded], step: str | None, now_s: float, doubted: frozenset[Result] = frozenset()
) -> tuple[f.StepReused | f.StepExpanded, ...]:
    """The facts by which a new run takes over what passed in an old one.

    Raises:
        WrongState: `step` is not a step of the plan.
    """
    again: set[str] = set()
    if step is not None:
        found = state.step(StepId(step))
        if found is None:
            raise WrongState(f"step {step!r}", "not in this plan", f"steps: {', '.join(state.plan.by_id)}")
        again = {step, *_below(state, found)}
    for record in records:
        if isinstance(record.fact, f.StepQuarantined):
            again |= {record.fact.step, *record.fact.affected}
    for one in state.steps:
        if any((one.spec.id, unit.digest) in doubted for unit in one.all_units() if unit.status is Status.PASSED):
            again |= {one.spec.id, *_below(state, one)}
    facts: list[f.StepReused | f.StepExpanded] = []
    stable: set[int] = set()  #: steps that will be in the new run just what they were in the old one
    kept: set[int] = set()  #: steps of which something is taken over
    for one in _parents_first(state):
        if one.spec.id in again or one.spec.finally_:
            continue
        if any(need not in stable and need != one.spec.each for need in one.spec.needs):
            continue  # it was built on something that is done again
        if one.spec.each >= 0 and one.spec.each not in kept:
            continue
        made = _reused(state, one, now_s)
        facts += made
        if made:
            kept.add(one.spec.index)
        if _whole(one) and (one.spec.each < 0 or one.spec.each in stable):
            stable.add(one.spec.index)
    return tuple(facts)


def _whole(step: StepState) -> bool:
    """Passed with every branch, or left out by its own condition, which will say the same again."""
    if step.status is Status.SKIPPED:
        return step.reason == "condition"
    return step.status is Status.PASSED and all(unit.status is Status.PASSED for unit in step.all_units())


def _parents_first(state: RunState) -> list[StepState]:
    """The steps in an order in which every one comes after what it waits for."""
    missing = [len(step.spec.needs) for step in state.steps]
    ready = deque(index for index, count in enumerate(missing) if count == 0)
    order: list[StepState] = []
    while ready:
        step = state.steps[ready.popleft()]
        order.append(step)
        for index in step.spec.dependents:
            missing[index] -= 1
            if missing[index] == 0:
                ready.append(index)
    return order


def _below(state: RunState, start: StepState) -> set[str]:
    found: set[int] = set()
    stack = [start.spec.index]
    while stack:
        for index in state.steps[stack.pop()].spec.dependents:
            if index not in found:
                found.add(index)
                stack.append(index)
    return {state.steps[index].spec.id for index in found}


def _reused(state: RunState, step: StepState, now_s: float) -> list[f.StepReused | f.StepExpanded]:
    passed = [unit for unit in step.all_units() if unit.status is Status.PASSED]
    if not passed or (step.spec.mapped and step.units is None):
        return []
    facts: list[f.StepReused | f.StepExpanded] = []
    if step.units is not None:
        facts.append(f.StepExpanded(at_s=now_s, step=step.spec.id, count=len(step.units), items=step.items))
    facts += [
        f.StepReused(
            at_s=now_s,
            step=step.spec.id,
            branch=unit.branch,
            digest=Digest(unit.digest),
            source=state.run_id,
            output=unit.output,
        )
        for unit in passed
    ]
    return facts
