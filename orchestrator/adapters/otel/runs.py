"""What is told of one run: its spans, and the short form of those of which there are very many.

A step or branch whose first attempt passes is what busy fleets have most of, and runs that just end. Their facts are
held until the last of them is there; only where something else happens to them are they handled one by one.

A trace of a hundred thousand spans is one that no backend keeps and nobody reads. So of the branches beyond the first
thousand those that pass at once are counted in the span of their step and not told; whatever else happens is.
"""

from collections.abc import Iterable
from typing import Final

from orchestrator.adapters.otel import ids, names
from orchestrator.adapters.otel.span import Branch, Ended, Outline, Passed, Span, Told
from orchestrator.adapters.otel.spans import FAILED, HANDLERS, OF_RUN, RunSpans
from orchestrator.adapters.otel.specs import specs_of
from orchestrator.core import facts as f

BRANCHES_MAX: Final = 1_000  #: of a step that are told although they pass at once


class _Held:
    """A step or branch that has been sent once and of which nothing is told so far."""

    __slots__ = ("facts", "form", "wait_s", "worker")

    def __init__(self, form: "_Form", fact: f.StepFact) -> None:
        self.form, self.facts = form, [fact]
        self.worker, self.wait_s = "", 0.0


class _Form:
    """What is worked out once for a step, or for all branches of one that are sent alike."""

    __slots__ = ("above", "branch", "first_attempt", "first_span")

    def __init__(self, branch: Branch, above: Span | None, first_span: int, first_attempt: int) -> None:
        self.branch, self.above = branch, above
        self.first_span, self.first_attempt = first_span, first_attempt


class RunTrace(RunSpans):
    """What is told of one run, fed with its facts in order."""

    def __init__(
        self, accepted: f.RunAccepted, *, trace: int = 0, content: bool = False, branches_max: int = BRANCHES_MAX
    ) -> None:
        super().__init__(accepted, trace=trace, content=content)
        self._branches_max = branches_max
        self._whole: f.RunAccepted | None = None  #: nothing is told of the run yet
        self._first: tuple[float, str] | None = None  #: nor of its plan: since when it has that, and its digest
        self._held: dict[tuple[str, int], _Held] = {}
        self._forms: dict[tuple[str, str, str | None], _Form] = {}

    def tell(self, facts: Iterable[f.Fact]) -> list[Told]:
        """Take more facts; return what they ended."""
        held_of, done = self._held, self._done
        for fact in facts:
            kind = type(fact)
            handler = HANDLERS.get(kind)
            if handler is None or (kind in OF_RUN and self._short(fact)):
                continue
            if kind is f.StepDispatched:
                if self._hold(fact):  # type: ignore[arg-type]  # by its kind
                    continue
            elif held_of and isinstance(fact, f.StepFact):
                held = held_of.get((fact.step, fact.branch))
                if held is not None and self._goes_on(held, fact):
                    continue
            if held_of:
                self._release(fact)
            handler(self, fact)
            if kind in _ANEW:
                self._forms.clear()
        self._done = []
        return done

    def _short(self, fact: f.Fact) -> bool:
        """Whether nothing needs to be begun or ended for this, as the run may end, or has ended, as most do."""
        whole, first = self._whole, self._first
        match fact:
            case f.RunAccepted() if whole is None and self._plain(fact):
                self._whole = fact
                return True
            case f.PlanFrozen() if whole is not None and first is None and not self._held and not self._open:
                self._specs |= specs_of(fact.digest, fact.plan)
                self._first = (fact.at_s, fact.digest)
                return True
            case f.RunEnded() if whole is not None and first is not None and self._ends(whole, first, fact):
                self._whole = self._first = None
                return True
        self._whole = self._first = None
        if whole is not None:
            self._accepted(whole)
            if first is not None:
                self._plan(*first)
        return False

    def _plain(self, fact: f.RunAccepted) -> bool:
        return fact.parent is None and fact.origin == fact.run and not self._content and ("run",) not in self._open

    def _ends(self, whole: f.RunAccepted, first: tuple[float, str], fact: f.RunEnded) -> bool:
        frozen_s, digest = first
        if (
            self._held or self._open or self._revision or fact.status in FAILED or digest != whole.plan_digest
            or fact.at_s < max(whole.at_s, frozen_s) or type(fact.usd) is not float
        ):  # fmt: skip
            return False
        outside = ids.parse(whole.trace) if whole.trace else None
        self._done.append(
            Ended(
                Outline(whole.plan, digest, whole.tenant, whole.lane, fact.status),
                self.trace,
                self.run,
                self._run_span,
                outside.span if outside is not None else 0,
                self._plan_span,
                whole.at_s,
                frozen_s,
                fact.at_s,
                fact.usd,
                fact.tokens,
            )
        )
        return True

    def _hold(self, fact: f.StepDispatched) -> bool:
        """Whether the step or branch may pass with its first attempt, so that nothing needs to be begun for it yet."""
        key = (fact.step, fact.branch)
        if (
            fact.attempt != 1 or fact.sample or fact.cause != "first" or fact.purpose != "work" or self._content
            or key in self._held or key in self._begun
        ):  # fmt: skip
            return False
        if fact.branch == f.WHOLE:
            form = self._step_form(fact)
        else:
            form = self._forms.get((fact.step, fact.pool, fact.tier)) or self._form(fact)
        if form is None:
            return False
        self._held[key] = _Held(form, fact)
        return True

    def _form(self, fact: f.StepDispatched) -> _Form | None:
        above, spec = self._open.get(("step", fact.step, f.WHOLE)), self._spec_of(fact.step)
        if above is None or spec.kind != "call":
            return None
        made = self._forms[fact.step, fact.pool, fact.tier] = _Form(
            Branch(self.trace, above.id, fact.step, spec.function, fact.pool, fact.tier or ""),
            above,
            ids.step_span(self.run, fact.step, 0, 1),
            ids.attempt_span(self.run, fact.step, 0, 1, 0),
        )
        return made

    def _step_form(self, fact: f.StepDispatched) -> _Form | None:
        spec = self._spec_of(fact.step)
        if spec.kind != "call" or ("step", fact.step, f.WHOLE) in self._open:
            return None
        told = Branch(self.trace, self._plan_span, fact.step, spec.function, fact.pool, fact.tier or "")
        return _Form(
            told, None, ids.step_span(self.run, fact.step, 0, 1), ids.attempt_span(self.run, fact.step, 0, 1, 0)
        )

    def _goes_on(self, held: _Held, fact: f.StepFact) -> bool:
        """Whether this is what comes next of a branch whose first attempt passes; then it needs no handling."""
        kind, facts = type(fact), held.facts
        if kind is f.StepPassed:
            if not held.worker:
                return False
            del self._held[fact.step, fact.branch]
            self._begun[fact.step, fact.branch] = 1
            form, start_s = held.form, facts[0].at_s
            if form.above is not None and fact.branch >= self._branches_max:
                told = form.above.attributes
                told[names.UNTOLD] = int(told.get(names.UNTOLD, 0)) + 1
                return True
            self._done.append(
                Passed(
                    form.branch,
                    fact.branch,
                    ids.of_branch(form.first_span, fact.branch),
                    ids.of_branch(form.first_attempt, fact.branch),
                    start_s,
                    max(fact.at_s, start_s),
                    held.worker,
                    held.wait_s,
                )
            )
            return True
        if fact.attempt != 1 or fact.sample:
            return False
        if kind is f.StepStarted and held.form.above is not None and fact.branch >= self._branches_max:
            facts.append(fact)  # that it waited makes nobody tell of a branch that is only counted
            return True
        if kind is f.StepProduced and not held.worker:
            began_s = fact.started_at_s  # type: ignore[attr-defined]  # by its kind
            if not fact.actor or not began_s:
                return False
            held.worker, held.wait_s = fact.actor, max(began_s - facts[0].at_s, 0.0)
            facts.append(fact)
            return True
        if kind is f.CheckVerdict and held.worker and fact.check == 0 and fact.verdict == "pass":  # type: ignore[attr-defined]  # by its kind
            facts.append(fact)
            return True
        return False

    def _release(self, fact: f.Fact) -> None:
        """Handle what is held of whatever this fact speaks of."""
        if not isinstance(fact, f.StepFact):
            keys = list(self._held) if type(fact) in _ANEW else []
        elif fact.branch != f.WHOLE:
            keys = [(fact.step, fact.branch)]
        else:
            keys = [key for key in self._held if key[0] == fact.step]
        for key in keys:
            held = self._held.pop(key, None)
            for one in held.facts if held is not None else ():
                HANDLERS[type(one)](self, one)


#: After these a step may be below another span, or begun once more.
_ANEW: Final = frozenset({
    f.PlanFrozen, f.PlanPatched, f.RunEnded, f.StepExpanded, f.StepReused, f.StepPassed, f.StepGap, f.StepSkipped,
    f.StepFailed, f.StepCancelled,
})  # fmt: skip

__all__ = ["BRANCHES_MAX", "RunTrace"]
