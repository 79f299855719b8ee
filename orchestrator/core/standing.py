"""How every step stands by the facts read so far: where its inputs come from, and what it waits for."""

from dataclasses import dataclass, field

from orchestrator.core import facts as f
from orchestrator.core.state import UPSTREAM
from orchestrator.ids import StepId
from orchestrator.plan.compiled import CompiledPlan, CompiledStep, compile_plan
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Rung
from orchestrator.plan.patch import Patch, apply_patch

SHORT_CHARS = 12  #: hex digits of a digest that people are shown
_ENDS: dict[type[f.Fact], str] = {
    f.StepPassed: "passed",
    f.StepReused: "passed",
    f.StepSkipped: "skipped",
    f.StepGap: "left out",
    f.StepFailed: "failed",
    f.StepCancelled: "cancelled",
}


def short(digest: str) -> str:
    """The first digits of a digest; enough to compare by eye."""
    return digest.removeprefix("sha256:")[:SHORT_CHARS]


@dataclass(slots=True)
class _Stand:
    """One step or branch."""

    word: str = ""  #: running, checked, waiting, passed, ...; empty before it starts
    waits: str = ""  #: for what, while it waits
    attempt: int = 0
    pool: str = ""
    first_s: float = -1.0
    sent_s: float = 0.0
    end_s: float = 0.0
    usd: float = 0.0
    tokens: int = 0
    digest: str = ""
    reason: str = ""
    settled: bool = False


@dataclass(slots=True)
class Standing:
    """Every step of one run, as far as its journal has been read."""

    plan: CompiledPlan | None
    last_s: float = 0.0
    steps: dict[tuple[StepId, int], _Stand] = field(default_factory=dict)
    mapped: set[StepId] = field(default_factory=set)
    limit: str = ""
    ended: f.RunEnded | None = None

    def take(self, fact: f.Fact) -> None:
        """Read one more fact."""
        self.last_s = fact.at_s
        if isinstance(fact, f.StepFact):
            if fact.step:
                self._step(fact)
            return
        if isinstance(fact, f.PlanFrozen) and self.plan is None and fact.plan:
            self.plan = compile_plan(Plan.model_validate(fact.plan))
        elif isinstance(fact, f.PlanPatched) and self.plan is not None:
            patch = Patch.model_validate(fact.patch)
            self.plan = compile_plan(apply_patch(self.plan.plan, patch, locked=(), check=False))
            for key, stand in list(self.steps.items()):
                if key[0] in patch.touched() or stand.reason in UPSTREAM:
                    self.steps[key] = _Stand(attempt=stand.attempt, usd=stand.usd, tokens=stand.tokens)
        elif isinstance(fact, f.LimitHit):
            self.limit = fact.limit if fact.policy == "ask" else ""
        elif isinstance(fact, f.LimitExtended):
            self.limit = ""
        elif isinstance(fact, f.RunEnded):
            self.ended = fact

    def _step(self, fact: f.StepFact) -> None:
        stand = self.steps.setdefault((fact.step, fact.branch), _Stand())
        stand.usd += getattr(fact, "usd", 0.0) if not isinstance(fact, f.BudgetReserved | f.ChildStarted) else 0.0
        stand.tokens += getattr(fact, "tokens", 0) if not isinstance(fact, f.BudgetReserved | f.ChildStarted) else 0
        if isinstance(fact, f.ModelCalled):
            stand.tokens += fact.tokens_in + fact.tokens_out
        if type(fact) in _ENDS:
            stand.end_s = fact.at_s
            stand.word, stand.settled, stand.waits = _ENDS[type(fact)], True, ""
            stand.reason = str(getattr(fact, "reason", getattr(fact, "cause", "")))
            stand.digest = str(getattr(fact, "digest", ""))
        elif isinstance(fact, f.StepExpanded):
            self.mapped.add(fact.step)
            stand.word, stand.first_s = "running", fact.at_s
            self.steps |= {(fact.step, branch): _Stand(word="not started") for branch in range(fact.count)}
        elif isinstance(fact, f.StepQuarantined):
            for (step, _), other in self.steps.items():
                if step == fact.step or step in fact.affected:
                    other.word, other.settled, other.digest = "taken back", True, ""
        else:
            self._under_way(stand, fact)

    def _under_way(self, stand: _Stand, fact: f.StepFact) -> None:
        match fact:
            case f.StepDispatched(purpose="check"):
                stand.word, stand.waits = (
                    "checked",
                    f"check {fact.check}" + (f" in pool {fact.pool}" if fact.pool else ""),
                )
            case f.StepDispatched():
                stand.word, stand.attempt, stand.pool, stand.sent_s = "running", fact.attempt, fact.pool, fact.at_s
                stand.first_s = fact.at_s if stand.first_s < 0 else stand.first_s
                stand.waits = f"a worker of pool {fact.pool}" if fact.pool else ""
            case f.StepStarted():
                stand.waits = f"worker {fact.actor}" if fact.actor else stand.waits
            case f.PlanDrafted(purpose="plan") | f.PatternChosen():
                stand.waits = "the planner"
            case f.ChildStarted():
                stand.waits = f"sub-plan {fact.child}"
            case f.ApprovalAsked():
                stand.word = "waiting"
                stand.waits = f"a person, for {fact.expires_at_s - fact.at_s:g} s: {fact.ask}"
            case f.ReplanAsked():
                stand.word, stand.waits = "waiting", "the planner"
            case f.StepBackoff():
                stand.word, stand.waits = "waiting", f"its next try, {fact.until_s - fact.at_s:.3g} s after this"
            case f.StepProduced() | f.ApprovalAnswered() | f.ApprovalExpired():
                stand.word, stand.waits = "checked", ""
            case f.StepRejected() | f.AttemptFailed() | f.LeaseLost():
                stand.word, stand.waits = "refused", "the budget" if self.limit else ""
            case _:
                pass

    # ---- what stories ask

    def whole(self, fact: f.StepFact) -> bool:
        """Whether a fact speaks of a step as a whole."""
        return fact.branch < 0

    def since(self, fact: f.StepFact) -> str:
        """How long the attempt had been under way."""
        stand = self.steps.get((fact.step, fact.branch), _Stand())
        return f"{fact.at_s - stand.sent_s:.3g} s"

    def spec(self, step: StepId) -> CompiledStep | None:
        """The step in the plan; None when it is not known."""
        index = self.plan.by_id.get(step) if self.plan is not None else None
        return self.plan.steps[index] if self.plan is not None and index is not None else None

    def ladder(self, step: StepId) -> tuple[Rung, ...]:
        """The step's ladder."""
        spec = self.spec(step)
        return spec.ladder if spec is not None else ()

    def who_works(self, step: StepId) -> str:
        """Who works on what no pool is sent."""
        spec = self.spec(step)
        words = {"human": "asks a person", "goal": "asks a supervisor for a plan"}
        return words.get(spec.kind, "starts a sub-plan") if spec is not None else "starts a sub-plan"

    def _needs(self, step: StepId) -> list[CompiledStep]:
        spec = self.spec(step)
        if spec is None or self.plan is None:
            return []
        return [self.plan.steps[need] for need in spec.needs]

    def _word(self, step: StepId, branch: int = f.WHOLE) -> str:
        stand = self.steps.get((step, branch))
        return stand.word if stand is not None and stand.word else "not started"

    def inputs(self, step: StepId, branch: int) -> str:
        """Where the inputs of an attempt come from."""
        found = []
        spec = self.spec(step)
        for need in self._needs(step):
            each = spec is not None and spec.each == need.index and branch >= 0
            at = branch if each else f.WHOLE
            digest = self.steps.get((need.id, at), _Stand()).digest
            name = f"{need.id}[{branch}]" if each else need.id
            found.append(f"{name} ({self._word(need.id, at)}{f' {short(digest)}' if digest else ''})")
        return f" from {', '.join(found)}" if found else ""

    def why_skipped(self, step: StepId, reason: str) -> str:
        """A skip in words."""
        if reason == "condition":
            return "its condition does not hold"
        bad = [
            need.id
            for need in self._needs(step)
            if self._word(need.id) in ("failed", "taken back")
            or self.steps.get((need.id, f.WHOLE), _Stand()).reason in UPSTREAM
        ]
        because = f" ({', '.join(bad)})" if bad else ""
        return (
            f"too little of what it joins passed{because}"
            if reason == "join_unmet"
            else f"something before it failed{because}"
        )

    def of_run(self) -> str:
        """How the run stands."""
        if self.ended is not None:
            why = f": {self.ended.reason}" if self.ended.reason else ""
            spent = f"{self.ended.steps} steps, {self.ended.usd:g} USD, {self.ended.tokens} tokens"
            gaps = f"; {len(self.ended.gaps)} missing" if self.ended.gaps else ""
            return f"the run {self.ended.status}{why} ({spent}){gaps}"
        open_ones = [
            self._named(step, branch, stand)
            for (step, branch), stand in self.steps.items()
            if stand.word not in ("", "not started") and not stand.settled and not (branch < 0 and step in self.mapped)
        ]
        asked = f"a person is asked about the budget of {self.limit}; " if self.limit else ""
        return f"now: {asked}{', '.join(open_ones) or 'nothing runs'}"

    def _named(self, step: StepId, branch: int, stand: _Stand) -> str:
        at = f"[{branch}]" if branch >= 0 else ""
        return f"{step}{at} is {stand.word}" + (f" and waits for {stand.waits}" if stand.waits else "")

    def of_step(self, step: StepId, branch: int | None) -> str:
        """How a step, or one branch, stands."""
        if branch is None and step in self.mapped:
            return self._of_branches(step)
        stand = self.steps.get((step, f.WHOLE if branch is None else branch), _Stand())
        if stand.settled:
            return f"{stand.word} after {_attempts(stand)}{self._spent(stand)}"
        if stand.word == "not started":
            return "now: waits for its turn"
        if stand.word:
            held = f"; a person is asked about the budget of {self.limit}" if self.limit else ""
            waits = f"waits for {stand.waits}" if stand.waits else f"is {stand.word}"
            return f"now: attempt {stand.attempt} {waits}{held}"
        if self.ended is not None:
            return f"never started: the run {self.ended.status}"
        if self.spec(step) is None and self.plan is not None:
            return f"there is no step {step} in the plan"
        open_ones = [f"{need.id} ({self._word(need.id)})" for need in self._needs(step) if not self._over(need.id)]
        if not open_ones and self.limit:
            return f"now: waits for a person's word on the budget of {self.limit}"
        return f"now: waits for {', '.join(open_ones) or 'its turn'}"

    def _over(self, step: StepId) -> bool:
        stand = self.steps.get((step, f.WHOLE))
        return stand is not None and stand.settled

    def _of_branches(self, step: StepId) -> str:
        counts: dict[str, int] = {}
        for (name, branch), stand in self.steps.items():
            if name == step and branch >= 0:
                counts[stand.word] = counts.get(stand.word, 0) + 1
        whole = self.steps[step, f.WHOLE]
        told = ", ".join(f"{count} {word}" for word, count in counts.items())
        return f"{whole.word if whole.settled else 'now'}: branches {told or 'not started'}"

    def _spent(self, stand: _Stand) -> str:
        took = f", {stand.end_s - stand.first_s:.3g} s" if stand.first_s >= 0 else ""
        return (
            took + (f", {stand.usd:g} USD" if stand.usd else "") + (f", {stand.tokens} tokens" if stand.tokens else "")
        )


def _attempts(stand: _Stand) -> str:
    return "no attempt" if stand.attempt == 0 else "1 attempt" if stand.attempt == 1 else f"{stand.attempt} attempts"
