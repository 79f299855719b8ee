"""Known-bad variants of the product, switched on for as long as a block runs. Each must be found by the simulator.

Every one is a mistake that somebody could make in good faith: a check left out, two lines in the wrong order, a number
that is not counted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.adapters.memory.journal import MemoryJournal, RunEnded, _Run
from orchestrator.core import arrivals, checking, climb, finish, flow, machine, positions, reports, scope, sending
from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.evolve import EVOLVE
from orchestrator.core.ledger import Held, Ledger
from orchestrator.core.policy import Share
from orchestrator.core.state import Status
from orchestrator.core.turn import Turn
from orchestrator.engine import (
    admission,
    children,
    driver,
    grants,
    loop,
    operations,
    ownership,
    perform,
    questions,
    recovery,
    translate,
)
from orchestrator.engine.engine import RunEngine
from orchestrator.ports import tasks as t
from orchestrator.ports.journal import Append

Patch = Callable[[pytest.MonkeyPatch], None]
BUGS: dict[str, Patch] = {}


def planted(patch: Patch) -> Patch:
    """Note a bug under its name."""
    BUGS[patch.__name__] = patch
    return patch


@contextmanager
def bug(name: str) -> Iterator[None]:
    """The product with one mistake in it."""
    with pytest.MonkeyPatch.context() as patches:
        BUGS[name](patches)
        yield


def _evolve(patches: pytest.MonkeyPatch, kind: type[f.Fact], change: Callable[[Any, Any], None]) -> None:
    """Do something more, or something else, when a fact of a kind is taken in."""
    patches.setitem(EVOLVE, kind, change)  # type: ignore[arg-type]  # a rule of evolution


# ---- the journal


def _careless(*, seq: bool) -> Callable[[MemoryJournal, Append], bool]:
    def commit(self: MemoryJournal, entry: Append) -> bool:
        run: _Run | None = self._runs.get(entry.run_id)
        if run is None:
            run = self._accept(entry)
            if run is None:
                return False
        elif seq and entry.first_seq != len(run.facts) + 1:
            return False
        if entry.epoch != run.epoch or not run.epochs:
            run.epoch = entry.epoch
            run.epochs.append((len(run.facts) + 1, entry.epoch))
        run.facts.extend(entry.facts)
        for fact in entry.facts:
            if type(fact) is RunEnded:
                run.row = replace(run.row, status=fact.status, ended_at_s=fact.at_s)
        return True

    return commit


@planted
def accept_without_compare_and_set(patches: pytest.MonkeyPatch) -> None:
    """The journal takes whatever comes."""
    patches.setattr(MemoryJournal, "_commit", _careless(seq=False))


@planted
def epoch_not_checked(patches: pytest.MonkeyPatch) -> None:
    """An owner before may still write, where the number happens to fit."""
    patches.setattr(MemoryJournal, "_commit", _careless(seq=True))


@planted
def idempotency_key_ignored(patches: pytest.MonkeyPatch) -> None:
    """Two requests under one key make two runs."""

    async def unknown(_self: object, _request: object, _key: object) -> None:
        return None

    original = MemoryJournal._accept

    def accept(self: MemoryJournal, entry: Append) -> object:
        self._keys.clear()
        return original(self, entry)

    patches.setattr(admission.Admission, "_known", unknown)
    patches.setattr(MemoryJournal, "_accept", accept)


@planted
def request_behind_a_key_not_compared(patches: pytest.MonkeyPatch) -> None:
    """Another request under a known key is given the run of the first."""
    digest = admission.request_digest
    seen: dict[str, object] = {}

    def same(request: Any) -> object:
        return seen.setdefault("first", digest(request))

    patches.setattr(admission, "request_digest", same)
    first_facts = admission.first_facts

    def facts(request: Any, now_s: float) -> object:
        made = first_facts(request, now_s)
        accepted = replace(made[0], request_digest=same(request))  # type: ignore[call-arg]
        return (accepted, *made[1:])

    patches.setattr(admission, "first_facts", facts)


@planted
def accepted_before_it_is_journaled(patches: pytest.MonkeyPatch) -> None:
    """A client is told of a run that a crash can still undo."""

    async def begin(self: admission.Admission, request: Any) -> object:
        engine = self._engine
        facts = admission.first_facts(request, engine.clock.now_s())
        started = engine.start(facts, engine.plans.compiled(request.plan))
        return admission.Run(engine, started.run_id)

    patches.setattr(admission.Admission, "_begin", begin)


@planted
def acceptance_not_synced(patches: pytest.MonkeyPatch) -> None:
    """A power cut takes accepted runs."""
    patches.setattr(loop, "SYNC", ())


# ---- the loop


@planted
def ack_before_commit(patches: pytest.MonkeyPatch) -> None:
    """A message counts as journaled once it was taken."""
    original = loop.Loop._commit

    async def commit(self: loop.Loop, dirty: Any) -> None:
        self.journaled = self.posted - len(self._inbox)
        await original(self, dirty)

    patches.setattr(loop.Loop, "_commit", commit)


@planted
def act_before_append(patches: pytest.MonkeyPatch) -> None:
    """Commands are carried out while their facts are on the way to the journal."""
    original = loop.Loop._commit

    async def commit(self: loop.Loop, dirty: Any) -> None:
        for one in dirty:
            if one.commands:
                self._perform(one)
        await original(self, dirty)

    patches.setattr(loop.Loop, "_commit", commit)


@planted
def refused_append_ignored(patches: pytest.MonkeyPatch) -> None:
    """An owner that lost its run goes on as if its facts were written."""
    original = loop.Loop._carry_out

    def carry_out(self: loop.Loop, dirty: Any, _refused: Any) -> None:
        original(self, dirty, {})

    patches.setattr(loop.Loop, "_carry_out", carry_out)


@planted
def told_before_it_is_journaled(patches: pytest.MonkeyPatch) -> None:
    """Whoever hands something in does not wait for the journal."""

    async def tell(self: RunEngine, one: driver.RunDriver, item: Any) -> None:
        self.post(one, item)

    patches.setattr(RunEngine, "tell", tell)


@planted
def money_granted_without_asking(patches: pytest.MonkeyPatch) -> None:
    """A worker may spend before the owner has booked it."""

    async def money(_self: object, _driver: object, _request: object) -> t.OwnerReply:
        return t.OwnerReply(granted=True)

    patches.setattr(grants.Grants, "_money", money)


@planted
def tool_granted_without_intent(patches: pytest.MonkeyPatch) -> None:
    """A tool may act before its intent is journaled."""

    async def intent(_self: object, _driver: object, _request: object) -> t.OwnerReply:
        return t.OwnerReply(granted=True)

    patches.setattr(grants.Grants, "_intent", intent)


@planted
def timers_lost_on_take_over(patches: pytest.MonkeyPatch) -> None:
    """Who takes a run over forgets what it was waiting for."""
    original = machine.RunMachine.outstanding

    def outstanding(self: machine.RunMachine, at_s: float, **options: Any) -> list[c.Command]:
        return [one for one in original(self, at_s, **options) if not isinstance(one, c.SetTimer)]

    patches.setattr(machine.RunMachine, "outstanding", outstanding)


@planted
def tasks_lost_on_take_over(patches: pytest.MonkeyPatch) -> None:
    """Who takes a run over sends nothing again, and times nothing."""
    original = machine.RunMachine.outstanding

    def outstanding(self: machine.RunMachine, at_s: float, **options: Any) -> list[c.Command]:
        kept = (c.Dispatch, c.SetTimer, c.StartChild)
        return [one for one in original(self, at_s, **options) if not isinstance(one, kept)]

    patches.setattr(machine.RunMachine, "outstanding", outstanding)


@planted
def inputs_lost_on_take_over(patches: pytest.MonkeyPatch) -> None:
    """What is sent again after a take-over has no inputs."""
    original = machine.RunMachine.outstanding

    def outstanding(self: machine.RunMachine, at_s: float, **options: Any) -> list[c.Command]:
        return [
            replace(one, args={}) if isinstance(one, c.Dispatch) and one.purpose == "work" else one
            for one in original(self, at_s, **options)
        ]

    patches.setattr(machine.RunMachine, "outstanding", outstanding)


@planted
def orphans_not_adopted(patches: pytest.MonkeyPatch) -> None:
    """Runs of an owner that has died wait for ever."""

    async def nobody(_self: object) -> tuple[int, list[object]]:
        return 0, []

    patches.setattr(ownership.Owning, "adopt_some", nobody)


@planted
def a_store_error_parks_for_good(patches: pytest.MonkeyPatch) -> None:
    """A run whose store did not answer while it was read back is left alone."""
    from orchestrator.engine import takeover

    patches.setattr(takeover, "parking_reason", str)


@planted
def late_records_not_read(patches: pytest.MonkeyPatch) -> None:
    """What an owner before wrote until the claim is not read: the next number is believed to be free."""

    async def claimed_blind(
        journal: Any, run_id: Any, owner: str, unfit: Any = None, claimed: int | None = None
    ) -> Any:
        made = await original(journal, run_id, owner, unfit or (lambda _machine: ""), claimed)
        if isinstance(made, driver.RunDriver) and not made.over:
            made.next_seq -= 1
        return made

    from orchestrator.engine import takeover

    original = recovery.recover
    patches.setattr(takeover, "recover", claimed_blind)


@planted
def end_of_a_sub_plan_not_told(patches: pytest.MonkeyPatch) -> None:
    """A parent does not hear of its sub-plan's end."""

    def finished(self: children.SubPlans, one: driver.RunDriver) -> None:
        self._engine.forget(one)

    patches.setattr(children.SubPlans, "finished", finished)


@planted
def attempt_not_in_flight(patches: pytest.MonkeyPatch) -> None:
    """A task that was sent has no time limit, and its loss is not seen."""
    original = perform.Performer._dispatch

    def dispatch(self: perform.Performer, one: driver.RunDriver, command: c.Dispatch) -> None:
        if command.attempt == 1 and command.purpose == "work":
            one.inflight.clear()
            return
        original(self, one, command)

    patches.setattr(perform.Performer, "_dispatch", dispatch)


# ---- the rules


@planted
def gate_skipped_on_replay(patches: pytest.MonkeyPatch) -> None:
    """An output that was being checked when its owner died is taken as it is."""
    original = machine.RunMachine.outstanding

    def outstanding(self: machine.RunMachine, at_s: float, **options: Any) -> list[c.Command]:
        for state in self.state.steps:
            for unit in state.all_units():
                if unit.status is Status.CHECKING and unit.digest:
                    unit.check, unit.check_sent = len(state.spec.checks) + 1, False
        return original(self, at_s, **options)

    patches.setattr(machine.RunMachine, "outstanding", outstanding)


@planted
def join_does_not_wait(patches: pytest.MonkeyPatch) -> None:
    """A step starts when all but one of its needs have settled."""
    original = flow.join_of

    def join_of(run: Any, state: Any) -> str:
        said = original(run, state)
        return "go" if said == "wait" and state.unmet == 1 and len(state.spec.needs) > 1 else said

    patches.setattr(flow, "join_of", join_of)


@planted
def late_result_accepted(patches: pytest.MonkeyPatch) -> None:
    """The answer of an attempt that was given up counts for the one after it."""

    def at_work(turn: Turn, event: Any) -> object:
        pair = positions.find(turn, event)
        return pair if pair is not None and pair[1].status is Status.RUNNING and pair[1].samples is None else None

    patches.setattr(arrivals, "at_work", at_work)


@planted
def second_answer_accepted(patches: pytest.MonkeyPatch) -> None:
    """An answer that comes twice is taken twice."""
    original = arrivals.at_work

    def at_work(turn: Turn, event: Any) -> object:
        if isinstance(event, f.StepProduced):
            pair = positions.find(turn, event)
            return pair if pair is not None and pair[1].attempt == event.attempt and pair[1].first_at_s >= 0 else None
        return original(turn, event)

    patches.setattr(arrivals, "at_work", at_work)


@planted
def end_forgotten(patches: pytest.MonkeyPatch) -> None:
    """A run that has ended takes answers as if it had not."""

    def cancel(turn: Turn, event: Any) -> object:
        turn.emit(event)
        return ()

    patches.setitem(machine.ARRIVALS, f.CancelRequested, cancel)  # type: ignore[arg-type]  # an arrival


@planted
def retry_uncounted(patches: pytest.MonkeyPatch) -> None:
    """Infrastructure errors are tried again for ever."""
    original = climb.recover

    def recover(turn: Turn, state: Any, unit: Any) -> None:
        unit.tries = min(unit.tries, 1)
        original(turn, state, unit)

    patches.setattr(machine, "recover", recover)


@planted
def rung_uncounted(patches: pytest.MonkeyPatch) -> None:
    """A rung of the ladder is taken more often than it allows."""
    original = climb._take

    def take(turn: Turn, state: Any, unit: Any, rung: int, step: Any, *, spent: bool) -> bool:
        if unit.rung_used and unit.attempt < 9:
            unit.rung_used = 0
        return original(turn, state, unit, rung, step, spent=spent)

    patches.setattr(climb, "_take", take)


@planted
def effect_announced_after_dispatch(patches: pytest.MonkeyPatch) -> None:
    """The intent of an effect is recorded behind the dispatch."""
    original = sending.dispatch

    def dispatch(turn: Turn, state: Any, unit: Any, **how: Any) -> None:
        before = len(turn.facts)
        original(turn, state, unit, **how)
        made = turn.facts[before:]
        turn.facts[before:] = sorted(made, key=lambda fact: isinstance(fact, f.EffectIntended))

    for module in (flow, climb):
        patches.setattr(module, "dispatch", dispatch)


@planted
def dispatch_after_cancel(patches: pytest.MonkeyPatch) -> None:
    """A cancelled run tries again what fails."""
    patches.setattr(climb, "may_go_on", lambda _turn, _state: True)
    patches.setattr(finish, "_sweep_cancel", lambda _turn: None, raising=False)
    _evolve(patches, f.StepCancelled, lambda _run, _fact: None)


@planted
def limit_does_not_hold(patches: pytest.MonkeyPatch) -> None:
    """Steps start although a limit was met."""
    patches.setattr(flow, "may_start", lambda turn, _state: not turn.hold)


@planted
def steps_not_counted(patches: pytest.MonkeyPatch) -> None:
    """The limit of steps sees only those of sub-plans."""

    def dispatched(run: Any, fact: Any) -> None:
        was = run.ledger.steps
        original(run, fact)
        run.ledger.steps = was

    original = EVOLVE[f.StepDispatched]
    _evolve(patches, f.StepDispatched, dispatched)


@planted
def budget_check_not_atomic(patches: pytest.MonkeyPatch) -> None:
    """What others have set aside is not seen."""
    patches.setattr(Ledger, "usd_left", property(lambda self: max(self.usd_limit - self.usd, 0.0)))
    patches.setattr(
        Ledger,
        "calls_left",
        property(lambda self: None if self.calls_limit is None else max(self.calls_limit - self.calls, 0)),
    )


@planted
def duplicate_charge_counted_twice(patches: pytest.MonkeyPatch) -> None:
    """A message about money that comes twice is booked twice."""

    def charge(turn: Turn, event: Any) -> object:
        turn.run.ledger.charged = set(turn.run.ledger.charged) - {event.charge}
        turn.emit(event)
        return ()

    for kind in (f.ModelCalled, f.BudgetSettled):
        patches.setitem(machine.ARRIVALS, kind, charge)  # type: ignore[arg-type]  # an arrival


@planted
def reservation_not_returned(patches: pytest.MonkeyPatch) -> None:
    """What was set aside for a call stays so after it."""
    original = Ledger.settle

    def settle(self: Ledger, charge: str, usd: float, tokens: int, steps: int = 0, calls: int = 0) -> bool:
        aside = self.usd_reserved
        well = original(self, charge, usd, tokens, steps, calls)
        self.usd_reserved = aside
        return well

    patches.setattr(Ledger, "settle", settle)


@planted
def spending_of_sub_plans_lost(patches: pytest.MonkeyPatch) -> None:
    """The parent does not book what its sub-plans used."""
    original = EVOLVE[f.ChildEnded]

    def ended(run: Any, fact: Any) -> None:
        original(run, replace(fact, usd=0.0, steps=0))

    _evolve(patches, f.ChildEnded, ended)


@planted
def share_of_all_there_is(patches: pytest.MonkeyPatch) -> None:
    """Each sub-plan gets what the run began with."""

    def share(ledger: Ledger, asked: Any, wall_left_s: float, waiting: int, fewest: int, kept: Held) -> Share:
        return Share(
            usd=ledger.usd_limit, tokens=ledger.tokens_limit, wall_s=wall_left_s, steps=max(fewest, 1), calls=None
        )

    patches.setattr(sending, "share_of", share)


@planted
def too_many_branches_at_once(patches: pytest.MonkeyPatch) -> None:
    """`max_parallel` is not kept."""

    def dispatched(run: Any, fact: Any) -> None:
        original(run, fact)
        state = run.steps[run.plan.by_id[fact.step]]
        if state.units is not None:
            state.running = 0

    original = EVOLVE[f.StepDispatched]
    _evolve(patches, f.StepDispatched, dispatched)


@planted
def refused_output_passes(patches: pytest.MonkeyPatch) -> None:
    """A `fix` on the last check is overlooked."""
    original = checking.advance

    def advance(turn: Turn, state: Any, unit: Any) -> None:
        if unit.said is not None and unit.said.verdict == "fix" and unit.check == len(state.spec.checks):
            unit.said, unit.check = None, unit.check + 1
        original(turn, state, unit)

    patches.setattr(machine, "advance", advance)


@planted
def question_never_expires(patches: pytest.MonkeyPatch) -> None:
    """An answer that nobody gives is waited for without end."""
    patches.setattr(arrivals, "_expired", lambda _turn, _event: ())


@planted
def reserve_for_anybody(patches: pytest.MonkeyPatch) -> None:
    """Money is granted whatever is left."""
    patches.setattr(reports, "short_of", lambda *_args: None)


@planted
def broken_check_passes(patches: pytest.MonkeyPatch) -> None:
    """A check that could not answer counts as a yes."""
    original = translate.verdict_of

    def verdict_of(key: Any, run: Any, now_s: float, kind: str, *rest: Any, **more: Any) -> object:
        return original(key, run, now_s, "pass" if kind == "check_broken" else kind, *rest, **more)  # type: ignore[arg-type]

    for module in (translate, questions, loop):
        patches.setattr(module, "verdict_of", verdict_of)


@planted
def reads_of_unpassed_output(patches: pytest.MonkeyPatch) -> None:
    """A reference sees an output while it is still being checked."""

    def output_of(state: Any) -> object:
        if state.units is None:
            return state.unit.output if state.unit is not None else [] if state.spec.mapped else None
        return [unit.output for unit in state.units]

    patches.setattr(scope, "output_of", output_of)


@planted
def effect_begun_by_anybody(patches: pytest.MonkeyPatch) -> None:
    """Every worker that asks may begin an effect, however often its task was delivered."""

    async def begin(_self: object, one: driver.RunDriver, request: Any) -> t.OwnerReply:
        return t.OwnerReply(granted=True) if grants._at_work(one, request.key) else grants.UNWANTED

    patches.setattr(grants.Grants, "_begin", begin)


@planted
def verdict_of_another_attempt(patches: pytest.MonkeyPatch) -> None:
    """What a check said of an attempt before counts for the one that is there now."""

    def verdict(turn: Turn, event: Any) -> object:
        pair = positions.find(turn, event)
        if pair is None or pair[1].status is not Status.CHECKING or not pair[1].check_sent:
            return original(turn, event)
        turn.emit(replace(event, attempt=pair[1].attempt, check=pair[1].check, digest=pair[1].digest))
        return (pair,)

    original = machine.ARRIVALS[f.CheckVerdict]
    patches.setitem(machine.ARRIVALS, f.CheckVerdict, verdict)  # type: ignore[arg-type]  # an arrival


@planted
def inputs_of_now_on_take_over(patches: pytest.MonkeyPatch) -> None:
    """Who takes a run over works the inputs of a running task out anew, from how things stand by then."""

    def replay(self: machine.RunMachine, fact: Any) -> None:
        machine.evolve(self.state, fact)

    patches.setattr(machine.RunMachine, "replay", replay)


@planted
def news_not_considered(patches: pytest.MonkeyPatch) -> None:
    """An output that is news is read while the planner is still thinking."""

    def asks(turn: Turn, state: Any, unit: Any, condition: Any) -> bool:
        original(turn, state, unit, condition)
        return False

    original = checking.asks_planner
    patches.setattr(checking, "asks_planner", asks)


@planted
def quarantined_result_taken_over(patches: pytest.MonkeyPatch) -> None:
    """A retry builds on what was found to be wrong."""
    original = operations.taken_over

    def taken_over(state: Any, records: Any, step: Any, now_s: float, _doubted: object) -> object:
        return original(state, [one for one in records if not isinstance(one.fact, f.StepQuarantined)], step, now_s)

    patches.setattr(operations, "taken_over", taken_over)
