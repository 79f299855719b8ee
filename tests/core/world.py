"""The world around a machine, as hostile as it gets: every answer late, twice, wrong, or never."""

import re
from collections.abc import Callable
from dataclasses import replace

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.inputs import Input, TimerFired
from orchestrator.core.state import Status
from orchestrator.errors import PlanError
from orchestrator.ids import Digest, JsonValue, StepId
from orchestrator.plan.models import Plan, canonical_json, digest_of
from orchestrator.plan.patch import Patch, apply_patch
from tests.core.bench import Bench, words

TOKEN = re.compile(r"<T[^>]*>")
PLANNED = Plan.model_validate({"name": "c", "inputs": {"x": {}}, "steps": {"x": {"pool": "w", "call": "f"}}})
SIMPLE = {"pool": "w", "call": "f"}


class World:
    """Holds what the machine has asked for, and answers it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.pending: list[c.Command] = []
        self.old: list[Input] = []
        self.count = 0
        self.take()

    @property
    def over(self) -> bool:
        """The run has ended."""
        return bool(self.bench.machine.state.ended)

    def take(self) -> None:
        """Note what the machine asks for, and look through the gate."""
        for command in self.bench.commands:
            self.look(command)
            if isinstance(command, c.Dispatch | c.SetTimer | c.StartChild | c.AskReplan | c.AskJudge | c.AskPlan):
                self.pending.append(command)
        for fact in self.bench.made:
            if isinstance(fact, f.ApprovalAsked) and fact.subject in ("step", "effect"):
                self.readable(fact.show, "a question")
            if isinstance(fact, f.RunEnded):
                self.readable(fact.output, "the result")

    def look(self, command: c.Command) -> None:
        """Nothing may be handed to a step that has not passed."""
        if isinstance(command, c.Dispatch) and command.purpose == "work":
            self.readable([command.args, command.instruction], f"{command.step}#{command.attempt}")
        elif isinstance(command, c.StartChild):
            self.readable(command.inputs, f"{command.step}#{command.attempt}")

    def readable(self, value: JsonValue, who: str) -> None:
        """Every token in a value belongs to an output that passed."""
        wanted = set(TOKEN.findall(canonical_json(value)))
        if not wanted:
            return
        good = {fact.digest for fact in self.bench.all if isinstance(fact, f.StepPassed)}
        passed: set[str] = set()
        for fact in self.bench.all:
            if isinstance(fact, f.StepProduced) and fact.digest in good:
                passed |= set(TOKEN.findall(canonical_json(fact.output)))
        assert wanted <= passed, f"{who} was given {wanted - passed}, which did not pass"

    def tell(self, event: Input) -> None:
        """Hand over an input, and hand it over a second time: nothing may follow."""
        self.bench.now = max(self.bench.now, event.at_s) + 0.001
        self.bench.tell(event)
        self.take()
        if self.bench.made:
            self.old.append(event)
        if not isinstance(event, f.StepProgress):
            self.again(event)

    def again(self, event: Input) -> None:
        """A late duplicate changes nothing. What a wall timer says stays true, so it may be news later."""
        if isinstance(event, TimerFired) and event.kind == "wall":
            return
        before = len(self.bench.all)
        self.bench.tell(event)
        assert self.bench.all[before:] == [], f"a duplicate was taken for news: {words(self.bench.all[before:])}"
        self.take()

    def crash(self, *, lost: bool, keep: int | None) -> None:
        """The process dies and comes back. A cut loses facts, and with them all that was done because of them."""
        if keep is not None:
            self.pending.clear()
            self.old.clear()
        self.bench.crash(lost=lost, keep=keep)
        self.take()

    def output(self, who: str, *, ok: bool) -> JsonValue:
        """An output that nobody else ever gives."""
        self.count += 1
        return {"ok": ok, "n": 7, "v": f"<T{self.count} {who}>"}

    def act(self, at: int, how: int, fix: Callable[[c.Command], None] | None = None) -> None:
        """Answer one of the things asked for."""
        command = self.pending.pop(at % len(self.pending))
        now = self.bench.now
        match command:
            case c.Dispatch(purpose="work"):
                self.work(command, how)
            case c.Dispatch():
                self.verdict(command.step, command.branch, command.attempt, command.check, how)
            case c.AskJudge():
                self.verdict(command.step, command.branch, command.attempt, command.check, how)
            case c.SetTimer():
                early = 1.0 if how % 5 == 0 else 0.0
                fired = TimerFired(
                    kind=command.kind,
                    at_s=max(now, command.at_s - early),
                    step=command.step,
                    branch=command.branch,
                    attempt=command.attempt,
                )
                if early and command.at_s > now:
                    self.pending.append(command)
                self.tell(fired)
            case c.StartChild():
                self.child(command, how)
            case c.AskReplan():
                self.replan(command, how)
            case c.AskPlan():
                self.plan(command, how)

    def work(self, d: c.Dispatch, how: int) -> None:
        """A worker's answer."""
        now = self.bench.now
        usd = (0.0, 0.05, 0.4)[how % 3]
        if how < 12:
            out = self.output(f"{d.step}[{d.branch}]#{d.attempt}.{d.sample}", ok=how < 9)
            self.tell(
                f.StepProduced(
                    at_s=now,
                    step=d.step,
                    branch=d.branch,
                    attempt=d.attempt,
                    sample=d.sample,
                    digest=digest_of(out),
                    output=out,
                    usd=usd,
                )
            )
        elif how < 17:
            error = ("timeout", "provider", "boom", "terminal", "budget")[how - 12]
            self.tell(
                f.AttemptFailed(
                    at_s=now, step=d.step, branch=d.branch, attempt=d.attempt, sample=d.sample, error=error, usd=usd
                )
            )
        elif how == 17:
            self.tell(f.LeaseLost(at_s=now, step=d.step, branch=d.branch, attempt=d.attempt, sample=d.sample))
        else:
            self.tell(
                TimerFired(
                    kind="attempt",
                    at_s=now + d.timeout_s,
                    step=d.step,
                    branch=d.branch,
                    attempt=d.attempt,
                    sample=d.sample,
                    idle=how == 19,
                )
            )
            self.pending.append(d)  # its worker may still answer, too late

    def verdict(self, step: StepId, branch: int, attempt: int, check: int, how: int) -> None:
        """A check's answer."""
        state = self.bench.machine.state.step(step)
        unit = state.find(branch) if state is not None else None
        verdict: f.VerdictKind = ("pass", "pass", "pass", "fix", "reject", "check_broken")[how % 6]  # type: ignore[assignment]  # one of the four
        self.tell(
            f.CheckVerdict(
                at_s=self.bench.now,
                step=step,
                branch=branch,
                attempt=attempt,
                check=check,
                name="call",
                verdict=verdict,
                digest=Digest(unit.digest if unit is not None else ""),
                reasons=() if verdict == "pass" else ("no",),
                usd=(0.0, 0.01)[how % 2],
            )
        )

    def child(self, command: c.StartChild, how: int) -> None:
        """A sub-plan's end."""
        status = ("succeeded", "succeeded", "degraded", "stopped", "failed", "cancelled")[how % 6]
        good = status in ("succeeded", "degraded")
        self.tell(
            f.ChildEnded(
                at_s=self.bench.now,
                step=command.step,
                branch=command.branch,
                attempt=command.attempt,
                child=command.child,
                status=status,  # type: ignore[arg-type]  # one of the five
                usd=command.usd * (0.0, 0.5, 1.0)[how % 3],
                tokens=0,
                steps=min(command.steps, 1 + how % 3),
                output=self.output(f"{command.child}", ok=how < 15) if good else None,
            )
        )

    def plan(self, command: c.AskPlan, how: int) -> None:
        """A supervisor's answer: a plan, a draft that is refused before one, or a failure."""
        at, where = self.bench.now, {"step": command.step, "branch": command.branch, "attempt": command.attempt}
        if how % 5 == 3:
            drafted = f.PlanDrafted(
                at_s=at,
                number=len(command.drafts) + 1,
                purpose="plan",
                tier="strong",
                accepted=False,
                answer="?",
                **where,  # type: ignore[arg-type]  # the three names
            )
            self.tell(drafted)
            self.pending.append(replace(command, drafts=(*command.drafts, drafted)))
        elif how % 5 == 4:
            self.tell(f.AttemptFailed(at_s=at, error="planning", **where))  # type: ignore[arg-type]  # same
        else:
            self.tell(f.PatternChosen(at_s=at, pattern="chain", row="r", **where))  # type: ignore[arg-type]  # same
            planned = f.GoalPlanned(
                at_s=at,
                digest=PLANNED.digest,
                steps=1,
                tries=1,
                usd_estimate=0.0,
                plan=PLANNED.data,
                **where,  # type: ignore[arg-type]  # same
            )
            self.tell(planned)

    def replan(self, command: c.AskReplan, how: int) -> None:
        """The planner's answer."""
        run = self.bench.machine.state
        where = {"step": command.step, "branch": command.branch, "attempt": command.attempt}
        ops: list[object] = [
            [{"retry": {"step": command.step}}],
            [{"replace": {"id": command.step, "step": SIMPLE}}],
            [{"add": {"id": f"new{self.count}", "step": SIMPLE}}, {"retry": {"step": command.step}}],
            [{"drop": {"id": command.step}}],
        ]
        self.count += 1
        if how % 5 == 4:
            self.tell(f.ReplanRefused(at_s=self.bench.now, reason="no idea", **where))  # type: ignore[arg-type]  # the three names
            return
        body = {"patch": 1, "base": run.plan.digest, "author": "planner", "reason": "better", "ops": ops[how % 5]}
        patch = Patch.model_validate(body)
        try:
            made = apply_patch(run.plan.plan, patch, locked=())
        except PlanError as error:
            self.tell(f.ReplanRefused(at_s=self.bench.now, reason=str(error), **where))  # type: ignore[arg-type]  # same
            return
        self.tell(
            f.PlanPatched(
                at_s=self.bench.now,
                base=run.plan.digest,
                digest=made.digest,
                author="planner",
                reason="better",
                asked_by=command.step,
                patch=patch.canonical(),
            )
        )

    def questions(self) -> list[f.ApprovalAsked]:
        """Open questions to people."""
        run = self.bench.machine.state
        units = [unit for state in run.steps for unit in state.all_units()]
        asked = [u.approval for u in units if u.status is Status.WAITING and u.approval is not None]
        if run.budget_approval is not None and run.budget_answer is None:
            asked.append(run.budget_approval)
        return asked

    def person(self, at: int, how: int) -> None:
        """A person answers one of the open questions."""
        asked = self.questions()
        question = asked[at % len(asked)]
        self.tell(
            f.ApprovalAnswered(
                at_s=self.bench.now,
                actor="ann",
                step=question.step,
                branch=question.branch,
                attempt=question.attempt,
                choice=question.choices[how % len(question.choices)],
            )
        )

    def drain(self) -> None:
        """Answer everything well until the run ends. It must."""
        for _ in range(3000):
            if self.over:
                return
            urgent = [at for at, each in enumerate(self.pending) if not isinstance(each, c.SetTimer)]
            if urgent:
                self.act(urgent[0], 0)
            elif self.questions():
                self.person(0, 1)
            else:
                assert self.pending, "nothing is asked for, and the run has not ended"
                soonest = min(range(len(self.pending)), key=lambda at: self.pending[at].at_s)  # type: ignore[union-attr]  # timers only
                self.act(soonest, 1)
        raise AssertionError("the run does not end")
