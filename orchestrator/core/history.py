"""Reads one run's journal once and names every rule it breaks. Believes nothing but the facts and the plan in them."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeVar, cast

from orchestrator.core import facts as f
from orchestrator.core.history_account import Account
from orchestrator.core.history_unit import UnitHistory
from orchestrator.core.state import SETTLED, UPSTREAM, Status
from orchestrator.core.step_facts import DRAINED
from orchestrator.core.transitions import ANY_TIME, MAPPED, UNIT, Edges, after
from orchestrator.core.violation import Violation
from orchestrator.ids import StepId
from orchestrator.plan import limits
from orchestrator.plan.compiled import CompiledPlan, CompiledStep, compile_plan
from orchestrator.plan.models import Plan
from orchestrator.plan.patch import Patch, apply_patch


class Record(Protocol):
    """A fact in its place, as a journal gives it back."""

    @property
    def seq(self) -> int:
        """From 1."""
        ...

    @property
    def fact(self) -> f.Fact:
        """What happened."""
        ...


_PENDING: Final = frozenset({Status.PENDING})
_AFTER_END: Final = (f.BudgetSettled, f.ModelCalled, f.ChildEnded, f.StepQuarantined, f.RunRated)
_DONE: Final = frozenset({Status.PASSED, Status.GAP, Status.CANCELLED})


def check_history(history: Iterable[Record | f.Fact], plan: CompiledPlan | None = None) -> tuple[Violation, ...]:
    """Every rule that a run's journal breaks, in order; linear in its length.

    `history` is whole, from its first record: records, or facts alone, which then count from 1. `plan` stands in where
    the payload of `plan.frozen` was deleted; without both, what needs the plan is not judged.
    """
    checker = _Checker(plan)
    for position, entry in enumerate(history, start=1):
        if isinstance(entry, f.Fact):
            checker.take(position, entry)
        else:
            if entry.seq != position:
                checker.seq = position
                checker.wrong("seq", None, f"record {entry.seq} stands at place {position}")
            checker.take(entry.seq, entry.fact)
    return tuple(checker.found)


F = TypeVar("F", bound=f.Fact)
_Rule = Callable[["_Checker", f.Fact], None]


class _Checker:
    def __init__(self, plan: CompiledPlan | None) -> None:
        self.plan = plan
        self.found: list[Violation] = []
        self.seq = 0
        self.units: dict[tuple[StepId, int], UnitHistory] = defaultdict(UnitHistory)
        self.wholes: dict[StepId, UnitHistory] = defaultdict(UnitHistory)  #: of mapped steps
        self.accepted: f.RunAccepted | None = None
        self.frozen = self.cancelled = False
        self.limit = self.policy = ""
        self.ended: f.RunEnded | None = None
        self.extensions, self.account = 0, Account()

    def wrong(self, rule: str, fact: f.Fact | None, what: str) -> None:
        step, branch = (fact.step, fact.branch) if isinstance(fact, f.StepFact) else (f.NO_STEP, f.WHOLE)
        self.found.append(Violation(seq=self.seq, rule=rule, step=step, branch=branch, what=what))

    def take(self, seq: int, fact: f.Fact) -> None:
        self.seq = seq
        if (seq == 1) != isinstance(fact, f.RunAccepted):
            self.wrong("accepted.first", fact, f"{fact.KIND} at place {seq}")
        if self.ended is not None and not isinstance(fact, _AFTER_END):
            self.wrong("end.last", fact, f"{fact.KIND} after the run has ended")
        if isinstance(fact, f.StepDispatched):
            self.on_dispatched(fact)
            self.edge(fact)
            return
        if isinstance(fact, f.StepFact) and fact.step:
            self.edge(fact)
        rule = _RULES.get(type(fact))
        if rule is not None:
            rule(self, fact)
        spec = self.spec(fact.step) if isinstance(fact, f.StepFact) else None
        for broken, said in self.account.take(fact, last=spec is not None and spec.finally_):
            self.wrong(broken, fact, said)

    # ---- legal moves

    def spec(self, step: StepId) -> CompiledStep | None:
        index = self.plan.by_id.get(step) if self.plan is not None else None
        return self.plan.steps[index] if self.plan is not None and index is not None else None

    def unit(self, fact: f.StepFact) -> UnitHistory:
        spec = self.spec(fact.step)
        whole = fact.branch < 0 and ((spec is not None and spec.mapped) or fact.step in self.wholes)
        return self.wholes[fact.step] if whole else self.units[fact.step, fact.branch]

    def edge(self, fact: f.StepFact) -> None:
        """Whether a fact may follow in the status its unit has."""
        if type(fact) in ANY_TIME or isinstance(fact, f.StepQuarantined):
            return
        spec = self.spec(fact.step)
        if isinstance(fact, f.StepExpanded):
            self.wholes.setdefault(fact.step, UnitHistory())  # from here on it is known to be a mapped step
        mapped = fact.step in self.wholes or (spec is not None and spec.mapped)
        table = MAPPED if mapped and fact.branch < 0 else UNIT
        unit = self.unit(fact)
        leads = after(table, unit.may_be, type(fact))
        if not leads:
            was = ", ".join(sorted(unit.may_be))
            passed = isinstance(fact, f.StepPassed) and Status.PASSED in unit.may_be
            settled = isinstance(fact, f.StepDispatched) and unit.may_be <= SETTLED
            rule = "accept.once" if passed else "dispatch.settled" if settled else "edge"
            self.wrong(rule, fact, f"{fact.KIND} where the status is {was}")
            return
        if isinstance(fact, f.ReplanAsked):
            unit.news = fact.scope == "news"
        replanned = isinstance(fact, f.ReplanRefused) and Status.WAITING in unit.may_be
        unit.may_be = frozenset({unit.after_replan()}) if replanned else leads
        unit.retries_granted += isinstance(fact, f.LeaseLost) and fact.reason == DRAINED
        if leads <= SETTLED:
            unit.reason = str(getattr(fact, "reason", getattr(fact, "cause", "")))

    # ---- the run

    def on_accepted(self, fact: f.RunAccepted) -> None:
        self.accepted = fact
        self.account.limit(fact)

    def on_frozen(self, fact: f.PlanFrozen) -> None:
        self.frozen = True
        if self.plan is None and fact.plan:
            self.plan = compile_plan(Plan.model_validate(fact.plan))
        for spec in self.plan.steps if self.plan is not None else ():
            if spec.mapped and self.units.pop((spec.id, f.WHOLE), None) is not None:
                self.wrong("edge", fact, f"{spec.id} was taken over without its branches")
        if self.plan is not None and self.plan.digest != fact.digest:
            self.wrong("plan.digest", fact, f"the plan is {self.plan.digest}, and the record says {fact.digest}")

    def on_patched(self, fact: f.PlanPatched) -> None:
        if self.plan is None:
            return
        patch = Patch.model_validate(fact.patch)
        passed = {step for (step, _), unit in self.units.items() if unit.may_be == {Status.PASSED}}
        for step in sorted(passed.intersection(patch.touched())):
            self.wrong("patch.locked", fact, f"{step} has passed")
        self.plan = compile_plan(apply_patch(self.plan.plan, patch, locked=(), check=False))
        skipped = {step for step, unit in self.wholes.items() if unit.upstream()}
        skipped |= {step for (step, branch), unit in self.units.items() if branch < 0 and unit.upstream()}
        gone = skipped.union(patch.touched())
        attempts: dict[StepId, int] = {}
        for key in [key for key in self.units if key[0] in gone]:
            attempts[key[0]] = max(self.units.pop(key).attempt, attempts.get(key[0], 0))
        for step in gone:
            old = self.wholes.pop(step, None)
            unit = UnitHistory(attempt=attempts.get(step, old.attempt if old is not None else 0))
            spec = self.spec(step)
            if spec is not None and spec.mapped:
                self.wholes[step] = unit
            else:
                self.units[step, f.WHOLE] = unit
        for unit in self.units.values():
            if Status.WAITING in unit.may_be:  # for a person, or for this very patch
                unit.may_be |= {unit.after_replan()}

    def on_limit(self, fact: f.LimitHit) -> None:
        self.limit, self.policy = fact.limit, fact.policy

    def on_extended(self, fact: f.LimitExtended) -> None:
        self.limit = self.policy = ""
        self.extensions += 1
        self.account.extend(fact)

    def on_cancel(self, fact: f.CancelRequested) -> None:
        self.cancelled = True

    def on_ended(self, fact: f.RunEnded) -> None:
        self.ended = fact
        for (step, branch), unit in self.units.items():
            kept = self.plan is None or step in self.plan.by_id  # a patch may have dropped it
            if kept and not unit.may_be <= SETTLED:
                self.wrong("end.open", fact, f"{step}[{branch}] may still be {', '.join(sorted(unit.may_be))}")
        for spec in self.plan.steps if self.plan is not None else ():
            if self.fate(spec.id) not in SETTLED:
                self.wrong("end.open", fact, f"{spec.id} has not settled")
        said = self.account.ended(fact)
        if said:
            self.wrong("end.totals", fact, said)

    # ---- work

    def on_dispatched(self, fact: f.StepDispatched) -> None:
        spec, unit = self.spec(fact.step), self.unit(fact)
        last = spec is not None and spec.finally_
        if not self.frozen:
            self.wrong("plan.first", fact, "work was sent before the plan was frozen")
        if self.cancelled and not last:
            self.wrong("cancel.dispatch", fact, "work was sent after the run was cancelled")
        if fact.purpose == "check":
            return
        if fact.sample:
            if fact.attempt != unit.attempt:
                self.wrong("attempt.order", fact, f"sample {fact.sample} of another attempt than {unit.attempt}")
            return
        if fact.attempt != unit.attempt + 1:
            self.wrong("attempt.order", fact, f"attempt {fact.attempt} follows {unit.attempt}")
        unit.attempt = fact.attempt
        unit.produced.clear()
        unit.passes.clear()
        if not last:
            self.room(fact, first=not unit.started)
        if spec is not None:
            self.within(fact, spec, unit)
            if not unit.started:
                self.joined(fact, spec)
        self.account.steps += not unit.started
        unit.started = True

    def room(self, fact: f.StepDispatched, *, first: bool) -> None:
        """Whether the budget has room for an attempt."""
        barred = first and self.limit and self.policy != "ask"
        if barred and not self.account.spares(self.limit, self.policy, fact.step, self.plan):
            self.wrong("limit.dispatch", fact, f"a first dispatch after the limit {self.limit}")
        for rule, said in self.account.room(first=first):
            self.wrong(rule, fact, said)

    def within(self, fact: f.StepDispatched, spec: CompiledStep, unit: UnitHistory) -> None:
        """Whether an attempt is one of those that retries, the ladder and lost workers allow."""
        most: int
        if fact.cause == "ladder":
            unit.rungs[fact.rung] += 1
            unit.tries = 1
            rung = spec.ladder[fact.rung] if 0 <= fact.rung < len(spec.ladder) else None
            used, most = unit.rungs[fact.rung], 0 if rung is None else rung.retry or 1
        elif fact.cause == "lost":
            unit.losses += 1
            used, most = unit.losses, limits.LEASE_LOSSES_MAX + unit.retries_granted
        else:
            unit.tries += 1
            used, most = unit.tries, spec.retry.attempts + self.extensions
        if used > most:
            self.wrong("attempts", fact, f"{fact.cause} {used} of at most {most}")

    def on_expanded(self, fact: f.StepExpanded) -> None:
        spec = self.spec(fact.step)
        if spec is not None and self.frozen:
            self.joined(fact, spec)
        for branch in range(fact.count):
            self.units[fact.step, branch] = UnitHistory(attempt=self.wholes[fact.step].attempt)

    def fate(self, step: StepId) -> Status | None:
        """Where a step as a whole has settled; None while it may be in several statuses."""
        unit = self.wholes.get(step) or self.units.get((step, f.WHOLE))
        return next(iter(unit.may_be)) if unit is not None and len(unit.may_be) == 1 else None

    def well(self, step: StepId) -> bool:
        unit = self.wholes.get(step) or self.units.get((step, f.WHOLE)) or UnitHistory()
        return self.fate(step) in _DONE or (self.fate(step) is Status.SKIPPED and unit.reason not in UPSTREAM)

    def joined(self, fact: f.StepFact, spec: CompiledStep) -> None:
        """Whether everything a step waits for has come to what its join asks for."""
        assert self.plan is not None
        steps = self.plan.steps
        if spec.finally_:
            late = [other.id for other in steps if not other.finally_ and self.fate(other.id) not in SETTLED]
        elif fact.branch >= 0:
            leader = steps[spec.each].id if spec.each >= 0 else None
            behind = leader is not None and self.units[leader, fact.branch].may_be != {Status.PASSED}
            late = [leader] if leader is not None and behind else []
        else:
            needs = [steps[need] for need in spec.needs if need != spec.each]
            late = [need.id for need in needs if not self.joins(need, spec)]
            good = sum(self.fate(need.id) is Status.PASSED for need in needs)
            if spec.join_at_least and not any(need.mapped for need in needs) and good >= spec.join_at_least:
                late = []
        if late:
            self.wrong("dispatch.early", fact, f"it waits for {', '.join(late)}")

    def joins(self, need: CompiledStep, spec: CompiledStep) -> bool:
        if not spec.join_at_least or not need.mapped:
            return self.well(need.id)
        branches = range(sum(step == need.id for step, _ in self.units) if need.id in self.wholes else 0)
        passed = sum(self.units[need.id, branch].may_be == {Status.PASSED} for branch in branches)
        return passed >= spec.join_at_least or self.fate(need.id) is Status.PASSED

    # ---- outputs and checks

    def on_produced(self, fact: f.StepProduced) -> None:
        self.unit(fact).produced.add(fact.digest)
        if fact.attempt != self.unit(fact).attempt:
            self.wrong("attempt.late", fact, f"an output of attempt {fact.attempt} in {self.unit(fact).attempt}")

    def on_verdict(self, fact: f.CheckVerdict) -> None:
        unit = self.unit(fact)
        if fact.digest and fact.digest not in unit.produced:
            self.wrong("verdict.digest", fact, f"a verdict on {fact.digest}, which this attempt did not produce")
        if fact.verdict == "pass":
            unit.passes[fact.digest].add(fact.check)
        else:
            unit.passes[fact.digest].discard(fact.check)

    def on_passed(self, fact: f.StepPassed) -> None:
        spec, unit = self.spec(fact.step), self.unit(fact)
        if spec is None or (spec.mapped and fact.branch < 0):
            return
        missing = sorted(set(range(len(spec.checks) + 1)) - unit.passes[fact.digest])
        if fact.digest not in unit.produced:
            self.wrong("accept.digest", fact, f"{fact.digest} was not produced by attempt {unit.attempt}")
        elif missing and not unit.accepted:
            self.wrong("accept.unchecked", fact, f"checks {missing} did not pass {fact.digest}")

    def on_asked(self, fact: f.ApprovalAsked) -> None:
        if fact.step:
            self.unit(fact).subject = fact.subject

    def on_answered(self, fact: f.ApprovalAnswered | f.ApprovalExpired) -> None:
        if fact.step:
            unit = self.unit(fact)
            unit.accepted = unit.subject == "rung" and fact.choice == "accept"
            unit.retries_granted += unit.subject == "effect" and fact.choice == "retry"

    def on_quarantined(self, fact: f.StepQuarantined) -> None:
        if self.ended is not None:
            return
        if self.fate(fact.step) is not Status.PASSED:
            self.wrong("edge", fact, f"{fact.step} is taken back, and it has not passed")
        for (step, _), unit in self.units.items():
            self.take_back(UNIT, step, unit, fact)
        for step, unit in self.wholes.items():
            self.take_back(MAPPED, step, unit, fact)

    def take_back(self, table: dict[Status, Edges], step: StepId, unit: UnitHistory, fact: f.StepQuarantined) -> None:
        if step != fact.step and step not in fact.affected:
            return
        status = Status.FAILED if step == fact.step else Status.SKIPPED
        if status not in after(table, unit.may_be, type(fact)):
            was = ", ".join(sorted(unit.may_be))
            self.wrong("edge", fact, f"{step} becomes {status} where the status is {was}")
        unit.may_be = frozenset({status})
        unit.reason = fact.reason if step == fact.step else "quarantined"


def _rule(kind: type[F], rule: Callable[["_Checker", F], None]) -> tuple[type[f.Fact], _Rule]:
    return kind, cast(_Rule, rule)  # the table pairs each rule with its own fact


_RULES: Final[dict[type[f.Fact], _Rule]] = dict(
    (
        _rule(f.RunAccepted, _Checker.on_accepted),
        _rule(f.PlanFrozen, _Checker.on_frozen),
        _rule(f.PlanPatched, _Checker.on_patched),
        _rule(f.LimitHit, _Checker.on_limit),
        _rule(f.LimitExtended, _Checker.on_extended),
        _rule(f.CancelRequested, _Checker.on_cancel),
        _rule(f.RunEnded, _Checker.on_ended),
        _rule(f.StepExpanded, _Checker.on_expanded),
        _rule(f.StepProduced, _Checker.on_produced),
        _rule(f.CheckVerdict, _Checker.on_verdict),
        _rule(f.StepPassed, _Checker.on_passed),
        _rule(f.ApprovalAsked, _Checker.on_asked),
        _rule(f.ApprovalAnswered, _Checker.on_answered),
        _rule(f.ApprovalExpired, _Checker.on_answered),
        _rule(f.StepQuarantined, _Checker.on_quarantined),
    )
)
