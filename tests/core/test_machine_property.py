"""Random plans in a hostile world: all invariants after every move, the gate never open, every run ends."""

from hypothesis import given, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.inputs import TimerFired
from orchestrator.ids import Digest, JsonValue, StepId
from orchestrator.plan.models import Plan, digest_of
from tests.core.bench import Bench, words
from tests.core.random_plans import plans
from tests.core.world import World

ITEMS = st.integers(0, 4).map(lambda count: list(range(count)))


class MachineInTheWorld(RuleBasedStateMachine):
    """Answers in any order, old events again, late timers, crashes, cancels, quarantines."""

    @initialize(plan=plans(), items=ITEMS, flag=st.booleans())
    def begin(self, plan: Plan, items: list[JsonValue], flag: bool) -> None:
        self.world = World(Bench(plan, {"items": items, "flag": flag}))
        self.bench = self.world.bench
        note(plan.canonical())

    @precondition(lambda self: self.world.pending)
    @rule(at=st.integers(0, 30), how=st.integers(0, 19), passing=st.floats(0, 3))
    def answer(self, at: int, how: int, passing: float) -> None:
        self.bench.now += passing
        self.world.act(at, how)

    @precondition(lambda self: self.world.questions())
    @rule(at=st.integers(0, 5), how=st.integers(0, 3))
    def person(self, at: int, how: int) -> None:
        self.bench.now += 0.5
        self.world.person(at, how)

    @precondition(lambda self: self.world.old)
    @rule(at=st.integers(0, 100))
    def redeliver(self, at: int) -> None:
        event = self.world.old[at % len(self.world.old)]
        if not isinstance(event, f.StepProgress):
            self.world.again(event)

    @rule(lost=st.booleans(), cut=st.none() | st.integers(2, 60))
    def crash(self, lost: bool, cut: int | None) -> None:
        keep = None if cut is None else max(2, len(self.bench.all) - cut)
        self.world.crash(lost=lost, keep=keep)

    @precondition(lambda self: self.tasks())
    @rule(at=st.integers(0, 30), what=st.integers(0, 6))
    def sign(self, at: int, what: int) -> None:
        tasks = self.tasks()
        task = tasks[at % len(tasks)]
        where = {"step": task.step, "branch": task.branch, "attempt": task.attempt, "sample": task.sample}
        signs: list[f.Fact] = [
            f.StepStarted(at_s=self.bench.now, **where),  # type: ignore[arg-type]  # the four names
            f.StepProgress(at_s=self.bench.now, fraction=0.5, **where),  # type: ignore[arg-type]  # same
            f.ToolCalled(at_s=self.bench.now, tool="t", result=True, **where),  # type: ignore[arg-type]  # same
            f.BudgetReserved(at_s=self.bench.now, charge=f"r{at}", usd=0.2, tokens=10, **where),  # type: ignore[arg-type]  # same
            f.BudgetSettled(at_s=self.bench.now, charge=f"r{at}", usd=0.1, tokens=5, **where),  # type: ignore[arg-type]  # same
            f.ModelCalled(at_s=self.bench.now, charge=f"r{at}", model="m", outcome="ok", tokens_in=5, **where),  # type: ignore[arg-type]  # same
            f.LimitHit(at_s=self.bench.now, limit="calls", policy="stop"),
        ]
        self.world.tell(signs[what])

    def tasks(self) -> list[c.Dispatch]:
        return [each for each in self.world.pending if isinstance(each, c.Dispatch) and each.purpose == "work"]

    @rule(kind=st.sampled_from(["wall", "approval", "attempt", "backoff"]), ahead=st.floats(0, 30))
    def stray_timer(self, kind: c.TimerKind, ahead: float) -> None:
        step = self.bench.plan.steps and next(iter(self.bench.plan.steps))
        name = StepId("" if kind in ("wall", "approval") else step)
        state = self.bench.machine.state.step(name)
        if state is not None and state.unit is None:
            return
        self.world.tell(TimerFired(kind=kind, at_s=self.bench.now + ahead, step=name))

    @precondition(lambda self: self.bench.now > 8)
    @rule(chance=st.integers(0, 5))
    def cancel(self, chance: int) -> None:
        if chance == 0:
            self.world.tell(f.CancelRequested(at_s=self.bench.now, reason="enough"))

    @rule(at=st.integers(0, 8), chance=st.integers(0, 3))
    def quarantine(self, at: int, chance: int) -> None:
        steps = self.bench.machine.state.steps
        if chance == 0:
            step = steps[at % len(steps)].spec.id
            self.world.tell(f.StepQuarantined(at_s=self.bench.now, step=step, reason="wrong"))

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.drain()
            assert self.bench.ended
            assert self.bench.machine.outstanding(self.bench.now) == [c.Finish()]


TestMachineInTheWorld = MachineInTheWorld.TestCase


def deterministic(bench: Bench, task: c.Dispatch, seed: int) -> f.Fact:
    """What a worker says that always says the same: it depends on how often its unit was refused, and no more."""
    mine = (task.step, task.branch)
    refused = sum(
        isinstance(fact, f.StepRejected | f.AttemptFailed) and (fact.step, fact.branch) == mine for fact in bench.all
    )
    chance = int(digest_of([seed, task.step, task.branch, refused])[-4:], 16) % 10
    where = {"step": task.step, "branch": task.branch, "attempt": task.attempt, "sample": task.sample}
    if task.purpose == "check":
        return f.CheckVerdict(
            at_s=bench.now,
            step=task.step,
            branch=task.branch,
            attempt=task.attempt,
            check=task.check,
            name="call",
            verdict="pass" if chance < 7 else "fix",
            digest=Digest(bench.unit(task.step, task.branch).digest),
        )
    if chance == 9:
        return f.AttemptFailed(at_s=bench.now, error="provider", **where)  # type: ignore[arg-type]  # the four names
    out: JsonValue = {"ok": chance < 7, "v": f"{task.step}[{task.branch}] after {refused}"}
    return f.StepProduced(at_s=bench.now, digest=digest_of(out), output=out, **where)  # type: ignore[arg-type]  # same


def through(plan: Plan, items: list[JsonValue], seed: int, crashes: dict[int, tuple[bool, int]]) -> f.RunEnded:
    """Run a plan to its end with deterministic workers, dying before the given moves."""
    bench = Bench(plan, {"items": items, "flag": True})
    pending = list(bench.commands)
    for move in range(2000):
        if move in crashes:
            lost, cut = crashes[move]
            bench.crash(lost=lost, keep=max(2, len(bench.all) - cut) if cut else None)
            pending = list(bench.commands)
        if bench.machine.state.ended:
            return bench.ended
        tasks = [each for each in pending if not isinstance(each, c.SetTimer)]
        command = tasks[seed % len(tasks)] if tasks else min(pending, key=lambda each: each.at_s)  # type: ignore[union-attr]  # timers only
        pending.remove(command)
        if isinstance(command, c.Dispatch):
            bench.tell(deterministic(bench, command, seed))
        elif isinstance(command, c.SetTimer):
            bench.now = max(bench.now, command.at_s)
            bench.tell(
                TimerFired(
                    kind=command.kind,
                    at_s=bench.now,
                    step=command.step,
                    branch=command.branch,
                    attempt=command.attempt,
                )
            )
        elif isinstance(command, c.StartChild):
            out: JsonValue = {"ok": True, "v": f"child of {command.step}[{command.branch}]"}
            bench.tell(
                f.ChildEnded(
                    at_s=bench.now,
                    step=command.step,
                    branch=command.branch,
                    attempt=command.attempt,
                    child=command.child,
                    status="succeeded",
                    usd=0.0,
                    tokens=0,
                    steps=1,
                    output=out,
                )
            )
        pending += bench.commands
    raise AssertionError(words(bench.all)[-20:])


@given(
    plan=plans(tame=True),
    items=ITEMS,
    seed=st.integers(0, 1000),
    crashes=st.dictionaries(st.integers(0, 30), st.tuples(st.booleans(), st.integers(0, 6)), max_size=3),
)
def test_a_run_that_died_ends_as_one_that_did_not(
    plan: Plan, items: list[JsonValue], seed: int, crashes: dict[int, tuple[bool, int]]
) -> None:
    whole, broken = through(plan, items, seed, {}), through(plan, items, seed, crashes)
    assert (broken.status, broken.output, broken.gaps, broken.reason, broken.steps) == (
        whole.status,
        whole.output,
        whole.gaps,
        whole.reason,
        whole.steps,
    )
