"""What each fact about a step changes in the state. Decides nothing."""

from orchestrator.core import facts as f
from orchestrator.core.settle import charge_of, move, settle, settle_step, spend, unit_of
from orchestrator.core.state import RunState, Sample, Status, Unit


def on_expanded(run: RunState, fact: f.StepExpanded) -> None:
    state = run.steps[run.plan.by_id[fact.step]]
    spec = state.spec
    state.started = True
    state.status = Status.RUNNING
    state.items = fact.items
    run.finally_held -= spec.finally_
    state.units = [Unit(spec.index, branch) for branch in range(fact.count)]
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
    state = run.steps[run.plan.by_id[fact.step]]
    state.started = True
    if fact.branch < 0 and state.spec.mapped:
        outputs = fact.output if isinstance(fact.output, list) else []
        on_expanded(
            run, f.StepExpanded(at_s=fact.at_s, step=fact.step, count=len(outputs), items=[None] * len(outputs))
        )
        state.ready.clear()
        for unit, output in zip(state.units or [], outputs, strict=True):
            unit.output, unit.status = output, Status.PASSED
            state.settled += 1
            state.passed += 1
            for index in state.spec.each_dependents:
                follower = run.steps[index]
                if follower.units is not None:
                    follower.ready.append(unit.branch)
        settle_step(run, state, Status.PASSED, "")
        return
    _, unit = unit_of(run, fact)
    unit.output, unit.digest = fact.output, fact.digest
    settle(run, fact, Status.PASSED)


def on_dispatched(run: RunState, fact: f.StepDispatched) -> None:
    state, unit = unit_of(run, fact)
    if fact.purpose == "check":
        unit.check_sent = True
        return
    if fact.sample:
        unit.open_samples += 1
        assert unit.samples is not None, "sample 0 is dispatched first"
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
            run.finally_held -= state.spec.finally_
    unit.attempt = fact.attempt
    unit.sent_at_s = fact.at_s
    unit.input_digest = fact.digest
    unit.check = 0
    unit.check_sent = False
    unit.broken = 0
    unit.open_samples = 1
    unit.terminal = unit.repeat = False
    unit.error = unit.digest = ""
    unit.output = None
    unit.approval = unit.answer = None
    unit.evidence = None
    unit.samples = {0: Sample()} if state.spec.agree else None
    if fact.cause == "ladder":
        unit.rung_used = unit.rung_used + 1 if fact.rung == unit.rung else 1
        unit.rung = fact.rung
        unit.tries = 1
    elif fact.cause != "lost":
        unit.tries += 1
    move(run, unit, Status.RUNNING, fact.at_s)


def on_tool_called(run: RunState, fact: f.ToolCalled) -> None:
    _, unit = unit_of(run, fact)
    if unit.evidence is None:
        unit.evidence = []
    unit.evidence.append({"tool": fact.tool, "result": fact.result})


def on_effect_intended(run: RunState, fact: f.EffectIntended) -> None:
    _, unit = unit_of(run, fact)
    unit.effect_open = True


def on_effect_done(run: RunState, fact: f.EffectDone) -> None:
    _, unit = unit_of(run, fact)
    unit.effect_open = False


def on_produced(run: RunState, fact: f.StepProduced) -> None:
    _, unit = unit_of(run, fact)
    spend(run, unit, charge_of(fact), fact.usd, fact.tokens)
    unit.degraded = fact.degraded
    unit.approval = unit.answer = None
    unit.open_samples -= 1
    if unit.samples is not None:
        unit.samples[fact.sample] = Sample(output=fact.output, digest=fact.digest)
    else:
        unit.output, unit.digest = fact.output, fact.digest
    if unit.open_samples == 0:
        move(run, unit, Status.CHECKING, fact.at_s)


def on_attempt_failed(run: RunState, fact: f.AttemptFailed) -> None:
    _, unit = unit_of(run, fact)
    spend(run, unit, charge_of(fact), fact.usd, fact.tokens)
    unit.open_samples -= 1
    unit.error = fact.error
    unit.retry_after_s = fact.retry_after_s or 0.0
    unit.reasons = (f"{fact.error}: {fact.message}",)
    if unit.samples is not None:
        unit.samples[fact.sample].well = False
        if unit.open_samples > 0 or any(sample.well is not False for sample in unit.samples.values()):
            if unit.open_samples == 0:
                move(run, unit, Status.CHECKING, fact.at_s)
            return
    move(run, unit, Status.REJECTED, fact.at_s)


def on_lease_lost(run: RunState, fact: f.LeaseLost) -> None:
    _, unit = unit_of(run, fact)
    unit.losses += 1
    unit.error = "lost"
    unit.open_samples = 0
    move(run, unit, Status.REJECTED, fact.at_s)


def on_verdict(run: RunState, fact: f.CheckVerdict) -> None:
    state, unit = unit_of(run, fact)
    if fact.usd or fact.tokens:
        spend(run, unit, f"{charge_of(fact)}?{fact.check}", fact.usd, fact.tokens)
    unit.check_sent = False
    unit.approval = unit.answer = None
    if fact.verdict == "check_broken":
        unit.broken += 1
        return
    unit.broken = 0
    agree = state.spec.agree
    if unit.samples is not None and fact.check < agree:
        sample = unit.samples[fact.sample]
        if fact.verdict != "pass":
            sample.well = False
        elif fact.check == agree - 1:
            sample.well = True
        return
    if fact.verdict == "pass":
        unit.check = fact.check + 1
        if fact.check == agree and unit.samples is not None:
            elected = unit.samples[fact.sample]
            unit.output, unit.digest, unit.samples = elected.output, elected.digest, None


def on_rejected(run: RunState, fact: f.StepRejected) -> None:
    _, unit = unit_of(run, fact)
    unit.reasons, unit.terminal, unit.repeat = fact.reasons, fact.terminal, fact.repeat
    unit.error = "refused"
    unit.approval = unit.answer = None
    if unit.digest and not unit.samples:
        unit.refused = (unit.refused or set()) | {unit.digest}
    move(run, unit, Status.REJECTED, fact.at_s)


def on_backoff(run: RunState, fact: f.StepBackoff) -> None:
    _, unit = unit_of(run, fact)
    unit.until_s = fact.until_s
    move(run, unit, Status.BACKOFF, fact.at_s)


def on_escalated(run: RunState, fact: f.StepEscalated) -> None:
    _, unit = unit_of(run, fact)
    unit.tier = fact.tier or unit.tier
    unit.pool = fact.pool or unit.pool


def on_passed(run: RunState, fact: f.StepPassed) -> None:
    settle(run, fact, Status.PASSED)


def on_skipped(run: RunState, fact: f.StepSkipped) -> None:
    settle(run, fact, Status.SKIPPED, fact.reason)


def on_gap(run: RunState, fact: f.StepGap) -> None:
    settle(run, fact, Status.GAP, fact.reason)


def on_failed(run: RunState, fact: f.StepFailed) -> None:
    settle(run, fact, Status.FAILED, fact.cause)


def on_cancelled(run: RunState, fact: f.StepCancelled) -> None:
    settle(run, fact, Status.CANCELLED, fact.reason)
