"""What happened to a step and what it waits for now, from its run's journal alone: the lines of `why RUN STEP`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from orchestrator.core import facts as f
from orchestrator.core.costs import SERVED, spared_told
from orchestrator.core.history import Record
from orchestrator.core.standing import Standing, short
from orchestrator.ids import StepId
from orchestrator.plan.compiled import CompiledPlan
from orchestrator.plan.parts import Rung


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a story."""

    seq: int  #: of the record it derives from; 0 for what is true at the end of the journal
    at_s: float  #: seconds since the epoch
    text: str


_ERRORS_TOLD: Final = 3  #: of a draft that was refused
F = TypeVar("F", bound=f.Fact)
_Tell = Callable[["_Teller", f.Fact], str]


def story(
    history: Iterable[Record | f.Fact], step: str | None = None, plan: CompiledPlan | None = None
) -> tuple[Line, ...]:
    """The story of a step, of one branch of it (`sources[2]`), or of the run as a whole.

    `history` is a journal from its first record, or facts alone, which then count from 1. `plan` stands in where the
    payload of `plan.frozen` was deleted. The last line says how it stands: ended, and how; or what is waited for.
    """
    name, branch = _read(step)
    teller = _Teller(Standing(plan), name, branch)
    for position, entry in enumerate(history, start=1):
        seq, fact = (position, entry) if isinstance(entry, f.Fact) else (entry.seq, entry.fact)
        teller.take(seq, fact)
    return tuple(teller.end())


def _read(step: str | None) -> tuple[StepId | None, int | None]:
    if step is None:
        return None, None
    name, bracket, number = step.rstrip("]").partition("[")
    return StepId(name), int(number) if bracket else None


class _Teller:
    def __init__(self, standing: Standing, step: StepId | None, branch: int | None) -> None:
        self.standing, self.step, self.branch = standing, step, branch
        self.lines: list[Line] = []

    def take(self, seq: int, fact: f.Fact) -> None:
        tell = _TELL.get(type(fact))
        text = tell(self, fact) if tell is not None and self.concerns(fact) else ""
        if text:
            self.lines.append(Line(seq=seq, at_s=fact.at_s, text=self.where(fact) + text))
        self.standing.take(fact)

    def end(self) -> list[Line]:
        now = self.standing.of_run() if self.step is None else self.standing.of_step(self.step, self.branch)
        return [*self.lines, Line(seq=0, at_s=self.standing.last_s, text=now)]

    def concerns(self, fact: f.Fact) -> bool:
        """Whether a fact belongs into this story."""
        if not isinstance(fact, f.StepFact):
            return True
        if self.step is None:
            return isinstance(fact, _OUTLINE) and (not fact.step or self.standing.whole(fact))
        mine = fact.step == self.step or (isinstance(fact, f.StepQuarantined) and self.step in fact.affected)
        return mine and (self.branch is None or fact.branch in (self.branch, f.WHOLE))

    def where(self, fact: f.Fact) -> str:
        if not isinstance(fact, f.StepFact) or not fact.step:
            return ""
        at = f"[{fact.branch}]" if fact.branch >= 0 else ""
        if self.step is None:
            return f"{fact.step}{at}: "
        return f"{at} " if at and self.branch is None else ""

    # ---- the run

    def accepted(self, fact: f.RunAccepted) -> str:
        origin = f", which continues {fact.origin}" if fact.origin != fact.run else ""
        budget = f"{fact.usd:g} USD, {fact.tokens} tokens, {fact.wall_s:g} s, {fact.steps} steps"
        budget += f", {fact.calls} calls" if fact.calls is not None else ""
        return f"run {fact.run} of plan {fact.plan}{origin} was accepted; budget {budget}"

    def pinned(self, fact: f.SessionPinned) -> str:
        return f"it belongs to session {fact.session}, which it sees as of version {fact.version}"

    def patched(self, fact: f.PlanPatched) -> str:
        asked = f", asked for by {fact.asked_by}" if fact.asked_by is not None else ""
        return f"the plan was changed by {fact.author}{asked}: {fact.reason}"

    def adopted(self, fact: f.RunAdopted) -> str:
        return f"another process took the run over (epoch {fact.epoch})"

    def limit_hit(self, fact: f.LimitHit) -> str:
        follows = {
            "degrade": "what has not started is left out",
            "stop": "what runs is cancelled",
            "ask": "a person is asked for more",
        }
        return f"the budget of {fact.limit} is used up: {follows[fact.policy]}"

    def extended(self, fact: f.LimitExtended) -> str:
        return f"the budget of {fact.limit} was extended by {fact.by:g}"

    def cancelled(self, fact: f.CancelRequested) -> str:
        return f"the run was cancelled{_by(fact.actor)}" + (f": {fact.reason}" if fact.reason else "")

    # ---- work

    def expanded(self, fact: f.StepExpanded) -> str:
        return f"split into {fact.count} branches"

    def reused(self, fact: f.StepReused) -> str:
        return f"taken over from run {fact.source}, where it passed: {short(fact.digest)}"

    def dispatched(self, fact: f.StepDispatched) -> str:
        if fact.purpose == "check":
            return f"check {fact.check} was sent to {f'pool {fact.pool}' if fact.pool else 'a model'}"
        if fact.sample:
            return ""
        why = {"first": "", "ladder": self.rung(fact), "retry": ": tried again", "lost": ": its worker was lost"}
        to = f"sent to pool {fact.pool}" if fact.pool else self.standing.who_works(fact.step)
        tier = f" with tier {fact.tier}" if fact.tier is not None else ""
        inputs = self.standing.inputs(fact.step, fact.branch)
        return f"attempt {fact.attempt} {to}{tier}{why[fact.cause]}; inputs {short(fact.digest)}{inputs}"

    def rung(self, fact: f.StepDispatched) -> str:
        ladder = self.standing.ladder(fact.step)
        told = f": rung {fact.rung + 1} of {len(ladder)}, " if 0 <= fact.rung < len(ladder) else ""
        return told + _rung(ladder[fact.rung]) if told else ": the ladder was climbed"

    def started(self, fact: f.StepStarted) -> str:
        return f"a worker began{_by(fact.actor)} after {self.since(fact)}"

    def progress(self, fact: f.StepProgress) -> str:
        done = f"{fact.fraction:.0%} " if fact.fraction is not None else ""
        return f"progress: {done}{fact.message}".rstrip()

    def tool(self, fact: f.ToolCalled | f.ToolFailed) -> str:
        end = f"failed: {fact.error}" if isinstance(fact, f.ToolFailed) else "was called"
        return f"tool {fact.tool or 'that there is not'} {end}"

    def guard(self, fact: f.GuardTripped) -> str:
        did = {"block": "stopped", "change": "changed", "signal": "noticed something in"}[fact.verdict]
        what = f"the {fact.stage.replace('_', ' ')}" + (f" of {fact.tool}" if fact.tool else "")
        score = f" (score {fact.score:.2g})" if fact.score is not None else ""
        why = f": {'; '.join(fact.reasons)}" if fact.reasons else ""
        return f"guard {fact.guard} {did} {what}{score}{why}"

    def tool_announced(self, fact: f.ToolIntended) -> str:
        return f"tool {fact.tool} is about to act under the key {fact.key}"

    def model(self, fact: f.ModelCalled) -> str:
        at = f" at {fact.endpoint}" if fact.endpoint else ""
        took = f" after {fact.seconds:.3g} s" if fact.seconds else ""
        sure = "; nobody can say whether it was billed" if fact.unknown else "; counted here" if fact.estimated else ""
        cost = _cost(fact.usd, fact.tokens_in + fact.tokens_out)
        saved = spared_told(fact)
        why = f"; {fact.why}" if fact.why else ""
        if fact.served:
            return f"{SERVED[fact.served]} of model {fact.model}{at} was used{took}{saved}{why}"
        return f"model {fact.model}{at} was called: {fact.outcome}{took}{cost}{sure}{saved}{why}"

    def intended(self, fact: f.EffectIntended) -> str:
        return f"the effect {fact.key} was announced"

    def done(self, fact: f.EffectDone) -> str:
        return f"the effect {fact.key} has happened"

    def produced(self, fact: f.StepProduced) -> str:
        sample = f" in sample {fact.sample}" if fact.sample else ""
        cost = _cost(fact.usd, fact.tokens)
        return f"an output{sample}{_by(fact.actor)} after {self.since(fact)}: {short(fact.digest)}{cost}"

    def failed_attempt(self, fact: f.AttemptFailed) -> str:
        said = f": {fact.message}" if fact.message else ""
        cost = _cost(fact.usd, fact.tokens)
        return f"attempt {fact.attempt} failed after {self.since(fact)} with {fact.error}{said}{cost}"

    def lost(self, fact: f.LeaseLost) -> str:
        return f"the worker of attempt {fact.attempt} was lost" + (f": {fact.reason}" if fact.reason else "")

    def since(self, fact: f.StepFact) -> str:
        return self.standing.since(fact)

    def verdict(self, fact: f.CheckVerdict) -> str:
        score = f" with score {fact.score:g}" if fact.score is not None else ""
        sample = f" on sample {fact.sample}" if fact.sample else ""
        why = f": {'; '.join(fact.reasons)}" if fact.reasons else ""
        words = {"pass": "passed it", "fix": "wants it mended", "reject": "rejected it", "check_broken": "broke"}
        cost = _cost(fact.usd, fact.tokens)
        return f"check {fact.check} ({fact.name}{_by(fact.actor)}) {words[fact.verdict]}{sample}{score}{why}{cost}"

    def voted(self, fact: f.JudgeVoted) -> str:
        return f"vote {fact.number} of check {fact.check} (judge): score {fact.score:g}"

    def rejected(self, fact: f.StepRejected) -> str:
        repeat = "; the same output was refused before" if fact.repeat else ""
        final = "; trying the same again cannot help" if fact.terminal else ""
        return f"attempt {fact.attempt} is refused{repeat}{final}"

    def backoff(self, fact: f.StepBackoff) -> str:
        return f"waits {fact.until_s - fact.at_s:.3g} s before it is tried again"

    def escalated(self, fact: f.StepEscalated) -> str:
        to = [f"tier {fact.tier}"] if fact.tier is not None else []
        to += [f"pool {fact.pool}"] if fact.pool is not None else []
        return f"goes on with {' in '.join(to)}"

    # ---- others

    def child_started(self, fact: f.ChildStarted) -> str:
        calls = f", {fact.calls} calls" if fact.calls is not None else ""
        share = f"{fact.usd:g} USD, {fact.tokens} tokens, {fact.steps} steps{calls}"
        return f"sub-plan {fact.child} was started with a share of {share}"

    def child_ended(self, fact: f.ChildEnded) -> str:
        why = f": {fact.reason}" if fact.reason else ""
        return f"sub-plan {fact.child} {fact.status}{why}{_cost(fact.usd, fact.tokens)}"

    def asked(self, fact: f.ApprovalAsked) -> str:
        then = f"then {fact.then}" if fact.then is not None else "then it fails"
        for_s = fact.expires_at_s - fact.at_s
        return f"a person is asked: {fact.ask} ({', '.join(fact.choices)}; {for_s:g} s, {then})"

    def answered(self, fact: f.ApprovalAnswered) -> str:
        return f"{fact.actor or 'a person'} chose {fact.choice}" + (f": {fact.reason}" if fact.reason else "")

    def expired(self, fact: f.ApprovalExpired) -> str:
        return f"nobody answered in time: {fact.choice or 'it fails'}"

    def replan(self, fact: f.ReplanAsked) -> str:
        if fact.scope == "news":
            return "its output is news: the planner is asked whether what comes after should change"
        return f"the planner is asked for a new {'step' if fact.scope == 'step' else 'plan from here on'}"

    def no_plan(self, fact: f.ReplanRefused) -> str:
        return f"no new plan: {fact.reason}"

    def drafted(self, fact: f.PlanDrafted) -> str:
        what = "plan" if fact.purpose == "plan" else "patch"
        if fact.accepted:
            return f"draft {fact.number} of a {what} by tier {fact.tier} is in order"
        return f"draft {fact.number} of a {what} by tier {fact.tier} was refused: {_some(fact.errors)}"

    def pattern(self, fact: f.PatternChosen) -> str:
        words = {"one_agent": "by one agent", "chain": "as a chain of steps", "fan_out": "by agents beside each other"}
        how = words.get(fact.pattern, "by supervisors with plans of their own")
        source = f" [{fact.source}]" if fact.source else ""
        return f"the goal is worked on {how}: {fact.reason} (row {fact.row}){source}"

    def tier(self, fact: f.TierChosen) -> str:
        own = "the agent's own tier" if fact.tier is None else f"tier {fact.tier}"
        sure, usd = fact.success_expected, fact.usd_expected
        likely = f"; {sure:.0%} are expected to end right" if sure is not None else ""
        cost = f" at about {usd:.2g} USD" if usd is not None else ""
        why = f"{fact.reason} ({fact.by}){likely}{cost}"
        watches = f"; routing only watches, and would take tier {fact.advised}" if fact.advised != fact.tier else ""
        return f"begins with {own}{watches}: {why}"

    def goal_planned(self, fact: f.GoalPlanned) -> str:
        guess = f"; about {fact.usd_estimate:g} USD by the host's rates" if fact.usd_estimate else ""
        made = f"{_count(fact.steps, 'step')}, {short(fact.digest)}"
        return f"the goal is planned after {_count(fact.tries, 'draft')}: {made}{guess}"

    def reserved(self, fact: f.BudgetReserved) -> str:
        return f"set aside under {fact.charge}{_cost(fact.usd, fact.tokens)}"

    def settled(self, fact: f.BudgetSettled) -> str:
        return f"spent under {fact.charge}{_cost(fact.usd, fact.tokens)}"

    # ---- ends

    def passed(self, fact: f.StepPassed) -> str:
        return f"passed{' with gaps' if fact.degraded else ''}: {short(fact.digest)}"

    def skipped(self, fact: f.StepSkipped) -> str:
        return f"skipped: {self.standing.why_skipped(fact.step, fact.reason)}"

    def gap(self, fact: f.StepGap) -> str:
        return f"left out: {fact.reason}"

    def failed(self, fact: f.StepFailed) -> str:
        return f"failed: {fact.cause}"

    def stopped(self, fact: f.StepCancelled) -> str:
        said = {"cancel": "the run was cancelled", "join_met": "enough others had passed"}
        return f"cancelled: {said.get(fact.reason, fact.reason)}"

    def quarantined(self, fact: f.StepQuarantined) -> str:
        if self.step is not None and fact.step != self.step:
            return f"taken back: it was built on {fact.step}, which was found wrong{_by(fact.actor)}: {fact.reason}"
        return f"found wrong{_by(fact.actor)} and taken back: {fact.reason}"


def _by(actor: str) -> str:
    return f" by {actor}" if actor else ""


def _cost(usd: float, tokens: int) -> str:
    parts = [f"{usd:g} USD"] if usd else []
    parts += [f"{tokens} tokens"] if tokens else []
    return f" ({', '.join(parts)})" if parts else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _some(errors: tuple[str, ...]) -> str:
    more = f"; and {len(errors) - _ERRORS_TOLD} more" if len(errors) > _ERRORS_TOLD else ""
    return "; ".join(error.replace("\n", " ") for error in errors[:_ERRORS_TOLD]) + more


def _rung(rung: Rung) -> str:
    if rung.retry is not None:
        return f"retry (up to {rung.retry})"
    return "a person asked for it" if rung.ask is not None else rung.kind


def _tell(kind: type[F], tell: Callable[["_Teller", F], str]) -> tuple[type[f.Fact], _Tell]:
    return kind, cast(_Tell, tell)  # the table pairs each sentence with its own fact


#: facts about steps that the story of a whole run names
_OUTLINE: Final = (
    f.StepExpanded,
    f.StepReused,
    f.StepPassed,
    f.StepSkipped,
    f.StepGap,
    f.StepFailed,
    f.StepCancelled,
    f.StepQuarantined,
    f.PatternChosen,
    f.GoalPlanned,
    f.ApprovalAsked,
    f.ApprovalAnswered,
    f.ApprovalExpired,
)
_TELL: Final[dict[type[f.Fact], _Tell]] = dict(
    (
        _tell(f.RunAccepted, _Teller.accepted),
        _tell(f.SessionPinned, _Teller.pinned),
        _tell(f.PlanPatched, _Teller.patched),
        _tell(f.RunAdopted, _Teller.adopted),
        _tell(f.LimitHit, _Teller.limit_hit),
        _tell(f.LimitExtended, _Teller.extended),
        _tell(f.CancelRequested, _Teller.cancelled),
        _tell(f.StepExpanded, _Teller.expanded),
        _tell(f.StepReused, _Teller.reused),
        _tell(f.StepDispatched, _Teller.dispatched),
        _tell(f.StepStarted, _Teller.started),
        _tell(f.StepProgress, _Teller.progress),
        _tell(f.ToolIntended, _Teller.tool_announced),
        _tell(f.ToolCalled, _Teller.tool),
        _tell(f.ToolFailed, _Teller.tool),
        _tell(f.GuardTripped, _Teller.guard),
        _tell(f.ModelCalled, _Teller.model),
        _tell(f.EffectIntended, _Teller.intended),
        _tell(f.EffectDone, _Teller.done),
        _tell(f.StepProduced, _Teller.produced),
        _tell(f.AttemptFailed, _Teller.failed_attempt),
        _tell(f.LeaseLost, _Teller.lost),
        _tell(f.CheckVerdict, _Teller.verdict),
        _tell(f.JudgeVoted, _Teller.voted),
        _tell(f.StepRejected, _Teller.rejected),
        _tell(f.StepBackoff, _Teller.backoff),
        _tell(f.StepEscalated, _Teller.escalated),
        _tell(f.ChildStarted, _Teller.child_started),
        _tell(f.ChildEnded, _Teller.child_ended),
        _tell(f.ApprovalAsked, _Teller.asked),
        _tell(f.ApprovalAnswered, _Teller.answered),
        _tell(f.ApprovalExpired, _Teller.expired),
        _tell(f.ReplanAsked, _Teller.replan),
        _tell(f.ReplanRefused, _Teller.no_plan),
        _tell(f.PlanDrafted, _Teller.drafted),
        _tell(f.PatternChosen, _Teller.pattern),
        _tell(f.TierChosen, _Teller.tier),
        _tell(f.GoalPlanned, _Teller.goal_planned),
        _tell(f.BudgetReserved, _Teller.reserved),
        _tell(f.BudgetSettled, _Teller.settled),
        _tell(f.StepPassed, _Teller.passed),
        _tell(f.StepSkipped, _Teller.skipped),
        _tell(f.StepGap, _Teller.gap),
        _tell(f.StepFailed, _Teller.failed),
        _tell(f.StepCancelled, _Teller.stopped),
        _tell(f.StepQuarantined, _Teller.quarantined),
    )
)
