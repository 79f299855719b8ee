"""What each fact about a step changes in the state. Decides nothing."""

from collections import deque

from orchestrator.core import facts as f
from orchestrator.core.settle import charge_of, check_charge, move, pause, settle, spend, unit_of
from orchestrator.core.state import RunState, Sample, Status, Unit
from orchestrator.core.step_facts import DRAINED, LOST


def on_expanded(run: RunState, fact: f.StepExpanded) -> None:
    """A mapped step gets its branches; steps that follow them one by one may start."""
    state = run.steps[run.plan.by_id[fact.step]]
    spec = state.spec
    state.started = True
    state.status = Status.RUNNING
    state.items = fact.items
    state.ready = deque()
    run.finally_held -= spec.held
    state.units = [Unit(spec.index, branch, attempt=state.base) for branch in range(fact.count)]
    if spec.each >= 0:
        leaders = run.steps[spec.each].units or []
        state.ready.extend(unit.branch for unit in leaders if unit.settled)
    else:
        state.ready.extend(range(fact.count))
    for index in spec.each_dependents:
        run.steps[index].unmet -= 1
        run.todo.append(index)
    run.todo.append(spec.index)


def on_reused(run: RunState, fact: f.StepReused) -> None:
    """The step, or one branch of it, has passed already, in the run this one comes from."""
    state, unit = unit_of(run, fact)
    unit.output, unit.digest = fact.output, fact.digest
    if not state.started:
        state.started = True
        run.finally_held -= state.spec.held
    settle(run, fact, Status.PASSED)


def on_dispatched(run: RunState, fact: f.StepDispatched) -> None:
    """A task was sent; with the first one of an attempt, the attempt begins."""
    state, unit = unit_of(run, fact)
    if fact.purpose == "check":
        unit.check_sent = True
        pause(run, fact.at_s)
        return
    if fact.sample:
        assert unit.samples is not None, "sample 0 is dispatched first"
        unit.open_samples += 1
        unit.samples[fact.sample] = Sample()
        return
    if unit.first_at_s < 0:
        run.ledger.steps += 1
        unit.first_at_s = fact.at_s
        if state.units is not None:
            state.running += 1
        else:
            state.started = True
            state.status = Status.RUNNING
            run.finally_held -= state.spec.held
    unit.attempt = fact.attempt
    unit.sent_at_s = fact.at_s
    unit.input_digest = fact.digest
    unit.check = unit.broken = unit.begun = 0
    unit.starter = ""
    unit.open_samples = 1
    unit.check_sent = unit.terminal = unit.repeat = False
    unit.error = unit.digest = ""
    unit.output = unit.approval = unit.answer = unit.said = unit.last_broken = unit.outcome = unit.evidence = None
    unit.samples = {0: Sample()} if state.spec.agree else None
    unit.drafts, unit.votes, unit.pattern, unit.sub = (), (), None, None
    if fact.cause == "ladder":
        unit.rung_used = unit.rung_used + 1 if fact.rung == unit.rung else 1
        unit.rung = fact.rung
        unit.tries = 1
    elif fact.cause != "lost":
        unit.tries += 1
    move(run, unit, Status.RUNNING, fact.at_s)


def on_started(run: RunState, fact: f.StepStarted) -> None:
    """A worker has begun."""
    _, unit = unit_of(run, fact)
    unit.begun |= 1 << fact.sample
    unit.starter = fact.actor


def on_tool_called(run: RunState, fact: f.ToolCalled) -> None:
    """A `grounded` check may look at the result."""
    _, unit = unit_of(run, fact)
    if unit.evidence is None:
        unit.evidence = []
    unit.evidence.append({"tool": fact.tool, "result": fact.result})


def on_effect_intended(run: RunState, fact: f.EffectIntended) -> None:
    """From here on the effect may have happened."""
    _, unit = unit_of(run, fact)
    unit.effect_open, unit.effect_key = True, fact.key


def on_effect_done(run: RunState, fact: f.EffectDone) -> None:
    """The effect has happened."""
    _, unit = unit_of(run, fact)
    unit.effect_open = False


def on_produced(run: RunState, fact: f.StepProduced) -> None:
    """An output, or one sample of several, waits for its checks."""
    _, unit = unit_of(run, fact)
    _book(run, unit, fact)
    unit.degraded = fact.degraded
    unit.approval = unit.answer = unit.outcome = None
    if unit.samples is not None:
        unit.samples[fact.sample] = Sample(output=fact.output, digest=fact.digest)
    else:
        unit.output, unit.digest = fact.output, fact.digest
    if unit.status is Status.RUNNING:  # not so when a person said that an effect has happened
        unit.open_samples -= 1
        if unit.open_samples == 0:
            move(run, unit, Status.CHECKING, fact.at_s)


def on_attempt_failed(run: RunState, fact: f.AttemptFailed) -> None:
    """An attempt, or one sample of it, gave no output. Samples that did may still agree."""
    _, unit = unit_of(run, fact)
    _book(run, unit, fact)
    unit.open_samples -= 1
    unit.outcome = None
    unit.error = fact.error
    unit.losses += fact.error == LOST
    unit.retry_after_s = fact.retry_after_s or 0.0
    unit.reasons = (f"{fact.error}: {fact.message}" if fact.message else fact.error,)
    if unit.samples is not None:
        unit.samples[fact.sample].well = False
        if unit.open_samples > 0:
            return
        if any(sample.well is not False for sample in unit.samples.values()):
            move(run, unit, Status.CHECKING, fact.at_s)
            return
    move(run, unit, Status.REJECTED, fact.at_s)


def _book(run: RunState, unit: Unit, fact: f.StepProduced | f.AttemptFailed) -> None:
    if fact.usd or fact.tokens or run.ledger.open:
        charge = charge_of(fact)
        if fact.usd or fact.tokens or charge in run.ledger.open:
            spend(run, unit, charge, fact.usd, fact.tokens)


def on_lease_lost(run: RunState, fact: f.LeaseLost) -> None:
    """The attempt will not be answered."""
    _, unit = unit_of(run, fact)
    unit.losses += fact.reason != DRAINED
    unit.error = LOST
    unit.open_samples = 0
    move(run, unit, Status.REJECTED, fact.at_s)


def on_voted(run: RunState, fact: f.JudgeVoted) -> None:
    """A judge has given one of several votes; a resume asks for the others."""
    _, unit = unit_of(run, fact)
    unit.votes = (*unit.votes, fact)


def on_verdict(run: RunState, fact: f.CheckVerdict) -> None:
    """A check has spoken: about one sample before `agree`, about the unit's output otherwise."""
    state, unit = unit_of(run, fact)
    if fact.usd or fact.tokens:
        spend(run, unit, check_charge(fact, unit), fact.usd, fact.tokens)
    unit.check_sent = False
    if fact.verdict != "check_broken":  # else the votes that were readable still are
        unit.votes = ()
    unit.approval = unit.answer = None
    pause(run, fact.at_s)
    agree = state.spec.agree
    if unit.samples is not None and fact.check < agree:
        sample = unit.samples[fact.sample]
        if fact.verdict != "pass":
            sample.well = False
        elif fact.check == agree - 1:
            sample.well = True
        return
    if fact.verdict == "check_broken":
        unit.broken += 1
        unit.last_broken = fact
        return
    unit.broken, unit.last_broken = 0, None
    if fact.verdict != "pass":
        unit.said = fact
        return
    unit.check = fact.check + 1
    if unit.samples is not None:
        elected = unit.samples[fact.sample]
        unit.output, unit.digest, unit.samples = elected.output, elected.digest, None


def on_rejected(run: RunState, fact: f.StepRejected) -> None:
    """The attempt is refused; its output is remembered, so that a repeat of it is seen."""
    _, unit = unit_of(run, fact)
    unit.reasons, unit.terminal, unit.repeat = fact.reasons, fact.terminal, fact.repeat
    unit.error = "refused"
    unit.approval = unit.answer = unit.said = None
    if unit.digest:
        unit.refused = (unit.refused or set()) | {unit.digest}
    move(run, unit, Status.REJECTED, fact.at_s)


def on_backoff(run: RunState, fact: f.StepBackoff) -> None:
    """The unit waits for its next try."""
    _, unit = unit_of(run, fact)
    unit.until_s = fact.until_s
    move(run, unit, Status.BACKOFF, fact.at_s)


def on_escalated(run: RunState, fact: f.StepEscalated) -> None:
    """From here on the unit runs elsewhere, or with a stronger model."""
    _, unit = unit_of(run, fact)
    unit.tier = fact.tier or unit.tier
    unit.pool = fact.pool or unit.pool


def on_passed(run: RunState, fact: f.StepPassed) -> None:
    """The output may be read."""
    settle(run, fact, Status.PASSED)


def on_skipped(run: RunState, fact: f.StepSkipped) -> None:
    """The step does not run."""
    settle(run, fact, Status.SKIPPED, fact.reason)


def on_gap(run: RunState, fact: f.StepGap) -> None:
    """The run goes on without it."""
    settle(run, fact, Status.GAP, fact.reason)


def on_failed(run: RunState, fact: f.StepFailed) -> None:
    """The step failed for good."""
    settle(run, fact, Status.FAILED, fact.cause)


def on_cancelled(run: RunState, fact: f.StepCancelled) -> None:
    """Nobody waits for the step any more."""
    settle(run, fact, Status.CANCELLED, fact.reason)
