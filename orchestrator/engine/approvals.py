"""Questions that wait for a person, and the answers that fit them."""

import re
from dataclasses import dataclass
from typing import Literal

from orchestrator.core import facts as f
from orchestrator.engine.driver import RunDriver
from orchestrator.errors import WrongState
from orchestrator.ids import JsonValue, RunId, StepId

BUDGET_STEP = "budget"  #: how people name the question about a run's budget
_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)(?:\[(\d+)\])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApproval:
    """A question that waits for a person."""

    run_id: RunId
    step: str  #: `draft`, `draft[3]`, or `budget`
    subject: Literal["step", "check", "rung", "effect", "budget"]
    ask: str
    show: JsonValue
    choices: tuple[str, ...]
    then: str | None  #: what is taken when nobody answers
    asked_at_s: float  #: by the clock of the owner that asked
    expires_at_s: float
    usd: float  #: what the run has cost so far


def answer_to(driver: RunDriver, step: str, choice: str, now_s: float, *, reason: str, by: str) -> f.ApprovalAnswered:
    """The answer to a question that is open now.

    It is never older than its question: an owner whose clock is behind may have taken the run over since.

    Raises:
        WrongState: nothing is asked there, or the choice is not offered; the error lists what is.
    """
    asked = {question.step: question for question in open_approvals(driver)}
    question = asked.get(step)
    if question is None:
        have = ", ".join(asked) or "none"
        raise WrongState(f"{driver.run_id} {step}", "no question is open there", f"open questions: {have}")
    if choice not in question.choices:
        raise WrongState(f"choice {choice!r}", "not offered", f"choose one of {', '.join(question.choices)}")
    name, branch = ("", f.WHOLE) if question.subject == "budget" else _split(step)
    return f.ApprovalAnswered(
        at_s=max(now_s, question.asked_at_s), actor=by, step=StepId(name), branch=branch, choice=choice, reason=reason
    )


def is_that(fact: f.Fact, answer: f.ApprovalAnswered) -> bool:
    """Whether a fact of the journal is this answer; its reason may have been struck there."""
    return isinstance(fact, f.ApprovalAnswered) and (
        (fact.at_s, fact.actor, fact.step, fact.branch, fact.choice)
        == (answer.at_s, answer.actor, answer.step, answer.branch, answer.choice)
    )


def _split(step: str) -> tuple[str, int]:
    match = _STEP.fullmatch(step)
    if match is None:
        raise WrongState(f"step {step!r}", "not a step's name", "write draft, or draft[3] for a branch")
    return match[1], int(match[2]) if match[2] is not None else f.WHOLE


def open_approvals(driver: RunDriver) -> list[OpenApproval]:
    """Every open question of a run."""
    run = driver.machine.state
    found: list[OpenApproval] = []
    if run.budget_approval is not None and run.budget_answer is None:
        found.append(_question(driver, BUDGET_STEP, run.budget_approval))
    for state in run.steps if run.waiting else ():
        for unit in state.all_units():
            if unit.approval is not None and unit.answer is None:
                name = state.spec.id if unit.branch < 0 else f"{state.spec.id}[{unit.branch}]"
                found.append(_question(driver, name, unit.approval))
    return found


def _question(driver: RunDriver, step: str, asked: f.ApprovalAsked) -> OpenApproval:
    return OpenApproval(
        run_id=driver.run_id,
        step=step,
        subject=asked.subject,
        ask=asked.ask,
        show=asked.show,
        choices=asked.choices,
        then=asked.then,
        asked_at_s=asked.at_s,
        expires_at_s=asked.expires_at_s,
        usd=driver.machine.state.ledger.usd,
    )
