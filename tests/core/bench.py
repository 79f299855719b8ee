"""A run on the bench: hands inputs to a machine, keeps its facts, and looks at every invariant after every move."""

from collections.abc import Sequence
from typing import TypedDict, Unpack

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.inputs import Input, TimerFired
from orchestrator.core.invariants import check_history, check_state
from orchestrator.core.machine import RunMachine
from orchestrator.core.state import StepState, Unit
from orchestrator.ids import Digest, JsonValue, RunId, StepId
from orchestrator.plan.compiled import compile_plan
from orchestrator.plan.models import Plan, digest_of

RUN = RunId("R")


def plan_of(steps: dict[str, object], **keys: object) -> Plan:
    """A plan named `p`; a step that names no kind is a `call` of `f` in pool `w`."""
    made = {}
    for name, step in steps.items():
        assert isinstance(step, dict)
        kinds = {"task", "call", "human", "plan", "goal"} & set(step)
        made[name] = step if kinds - {"task", "call"} else {"pool": "w", **({} if kinds else {"call": "f"}), **step}
    return Plan.model_validate({"name": "p", "steps": made, **keys})


class Where(TypedDict, total=False):
    """Which task."""

    branch: int
    attempt: int
    sample: int


class Bench:
    """One run, driven by hand. The clock is `now`, in seconds."""

    def __init__(self, plan: Plan, inputs: dict[str, JsonValue] | None = None, *, start: bool = True) -> None:
        self.plan = plan
        self.machine = RunMachine(compile_plan(plan))
        self.now = 0.0
        self.all: list[f.Fact] = []
        self.made: list[f.Fact] = []  #: by the last input
        self.commands: list[c.Command] = []  #: of the last input
        self.sent: list[c.Command] = []  #: of all inputs
        budget = plan.budget
        self.accepted = f.RunAccepted(
            at_s=0.0,
            run=RUN,
            plan=plan.name,
            plan_digest=plan.digest,
            request_digest=Digest("d"),
            machine=1,
            origin=RUN,
            usd=budget.usd,
            tokens=budget.tokens,
            wall_s=budget.wall,
            steps=budget.steps,
            calls=budget.calls,
            closing=budget.closing,
            on_limit=budget.on_limit,
            inputs=inputs or {},
        )
        self.frozen = f.PlanFrozen(at_s=0.0, digest=plan.digest, plan=plan.canonical())
        if start:
            self.tell(self.accepted)
            self.tell(self.frozen)

    # ---- moves

    def tell(self, event: Input) -> list[str]:
        """Hand over an input; return the facts it led to, as words."""
        return self._took(self.machine.handle(event))

    def _took(self, commands: list[c.Command]) -> list[str]:
        self.commands = commands
        self.sent += commands
        self.made = list(self.machine.facts())
        self.all += self.made
        broken = check_state(self.machine.state) + check_history(self.all)
        assert not broken, broken
        return words(self.made)

    def crash(self, *, lost: bool = True, keep: int | None = None) -> list[str]:
        """Go on with a fresh machine that was told the facts again, or the first `keep` of them."""
        self.all = self.all[:keep]
        self.machine = RunMachine(compile_plan(self.plan))
        for fact in self.all:
            self.machine.replay(fact)
        return self._took(self.machine.outstanding(self.now, lost=lost))

    def done(
        self, step: str, output: JsonValue = 1, usd: float = 0.0, tokens: int = 0, **where: Unpack[Where]
    ) -> list[str]:
        """A worker returns an output."""
        return self.tell(
            f.StepProduced(
                at_s=self.now,
                step=StepId(step),
                **self._at(step, where),
                digest=digest_of(output),
                output=output,
                usd=usd,
                tokens=tokens,
            )
        )

    def fail(
        self,
        step: str,
        error: str = "boom",
        retry_after_s: float | None = None,
        usd: float = 0.0,
        **where: Unpack[Where],
    ) -> list[str]:
        """A worker fails."""
        return self.tell(
            f.AttemptFailed(
                at_s=self.now,
                step=StepId(step),
                **self._at(step, where),
                error=error,
                retry_after_s=retry_after_s,
                usd=usd,
            )
        )

    def lose(self, step: str, **where: Unpack[Where]) -> list[str]:
        """A worker is gone."""
        return self.tell(f.LeaseLost(at_s=self.now, step=StepId(step), **self._at(step, where)))

    def judge(
        self, step: str, verdict: f.VerdictKind, check: int = 1, *reasons: str, usd: float = 0.0, **where: Unpack[Where]
    ) -> list[str]:
        """A check in a pool, or a judge, speaks."""
        at = self._at(step, where)
        digest = self.unit(step, at["branch"]).digest
        return self.tell(
            f.CheckVerdict(
                at_s=self.now,
                step=StepId(step),
                **at,
                check=check,
                name="call",
                verdict=verdict,
                digest=Digest(digest),
                reasons=reasons,
                usd=usd,
            )
        )

    def answer(self, step: str, choice: str, reason: str = "", **where: Unpack[Where]) -> list[str]:
        """A person answers; for the budget, `step` is empty."""
        at = self._at(step, where) if step else Where()
        return self.tell(
            f.ApprovalAnswered(at_s=self.now, actor="ann", step=StepId(step), **at, choice=choice, reason=reason)
        )

    def timer(self, kind: c.TimerKind, step: str = "", *, idle: bool = False, **where: Unpack[Where]) -> list[str]:
        """A timer fires now."""
        at = self._at(step, where) if step else Where()
        return self.tell(TimerFired(kind=kind, at_s=self.now, step=StepId(step), **at, idle=idle))

    def child(self, step: str, status: str = "succeeded", output: JsonValue = 1, **spent: object) -> list[str]:
        """The sub-plan of a step ends."""
        unit = self.unit(step)
        assert unit.child is not None
        values: dict[str, object] = {"usd": 0.0, "tokens": 0, "steps": 1, **spent}
        return self.tell(
            f.ChildEnded(
                at_s=self.now,
                step=StepId(step),
                attempt=unit.attempt,
                child=unit.child,
                status=status,  # type: ignore[arg-type]  # tests pass the literals
                output=output,
                **values,  # type: ignore[arg-type]  # the three amounts and the reason
            )
        )

    def cancel(self, reason: str = "") -> list[str]:
        """Somebody cancels the run."""
        return self.tell(f.CancelRequested(at_s=self.now, reason=reason))

    # ---- looks

    def _at(self, step: str, where: Where) -> Where:
        branch = where.get("branch", f.WHOLE)
        state = self.machine.state.step(StepId(step))
        unit = state.find(branch) if state is not None else None
        attempt = where.get("attempt", unit.attempt if unit is not None else 1)
        return Where(branch=branch, attempt=attempt, **({"sample": where["sample"]} if "sample" in where else {}))

    def state(self, step: str) -> StepState:
        """The state of a step."""
        found = self.machine.state.step(StepId(step))
        assert found is not None
        return found

    def unit(self, step: str, branch: int = f.WHOLE) -> Unit:
        """A step's unit."""
        found = self.state(step).find(branch)
        assert found is not None
        return found

    def statuses(self) -> dict[str, str]:
        """Where every step is."""
        return {str(state.spec.id): state.status.value for state in self.machine.state.steps}

    @property
    def ended(self) -> f.RunEnded:
        """The result; the run must have one."""
        found = [fact for fact in self.all if isinstance(fact, f.RunEnded)]
        assert len(found) == 1
        return found[0]

    def dispatches(self) -> list[c.Dispatch]:
        """What the last input sent to pools."""
        return [command for command in self.commands if isinstance(command, c.Dispatch)]


_EXTRA = {
    f.StepDispatched: lambda x: f" check {x.check}" if x.purpose == "check" else f" {x.cause}",
    f.CheckVerdict: lambda x: f" {x.name} {x.verdict}",
    f.StepSkipped: lambda x: f" {x.reason}",
    f.StepGap: lambda x: f" {x.reason}",
    f.StepFailed: lambda x: f" {x.cause}",
    f.StepCancelled: lambda x: f" {x.reason}",
    f.StepRejected: lambda x: (" terminal" if x.terminal else "") + (" repeat" if x.repeat else ""),
    f.StepBackoff: lambda x: f" until {x.until_s:g}",
    f.StepEscalated: lambda x: f" {x.tier} {x.pool}",
    f.AttemptFailed: lambda x: f" {x.error}",
    f.LimitHit: lambda x: f" {x.limit} {x.policy}",
    f.LimitExtended: lambda x: f" {x.limit} {x.by:g}",
    f.ApprovalAsked: lambda x: f" {x.subject} {'/'.join(x.choices)} then {x.then}",
    f.ApprovalAnswered: lambda x: f" {x.choice}",
    f.ApprovalExpired: lambda x: f" {x.choice}",
    f.ChildEnded: lambda x: f" {x.status}",
    f.ReplanAsked: lambda x: f" {x.scope}",
    f.ReplanRefused: lambda x: f" {x.reason}",
    f.RunEnded: lambda x: f" {x.status}",
}


def word(fact: f.Fact) -> str:
    """A fact as one short text: kind, step[branch]#attempt.sample, and what matters of it."""
    where = ""
    if isinstance(fact, f.StepFact) and fact.step:
        branch = f"[{fact.branch}]" if fact.branch >= 0 else ""
        attempt = f"#{fact.attempt}" if fact.attempt else ""
        where = f" {fact.step}{branch}{attempt}" + (f".{fact.sample}" if fact.sample else "")
    extra = _EXTRA.get(type(fact))
    return f"{fact.KIND}{where}{extra(fact) if extra is not None else ''}"


def words(facts: Sequence[f.Fact]) -> list[str]:
    """Facts as short texts."""
    return [word(fact) for fact in facts]
