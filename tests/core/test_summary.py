"""The document of a run from its facts alone: whole values, every kind of fact, forgotten payloads, changed plans."""

from dataclasses import dataclass, replace

from orchestrator.core import facts as f
from orchestrator.core.codec import without_payload
from orchestrator.core.summary import RunTally, summary, tally
from orchestrator.ids import Digest, JsonValue, RunId, StepId
from tests.core.bench import RUN, Bench, plan_of

D = Digest("d")


@dataclass(frozen=True)
class Held:
    """A fact as a journal gives it back."""

    fact: f.Fact
    forgotten: bool = False


def counted(*facts: f.Fact) -> RunTally:
    return tally([Held(fact) for fact in facts])


def accepted() -> f.RunAccepted:
    return replace(Bench(plan_of({"a": {}})).accepted, at_s=1.0)


def frozen(*names: str) -> f.PlanFrozen:
    return f.PlanFrozen(at_s=1.0, digest=D, plan={"steps": {name: {} for name in names}})


def at(step: str, branch: int = f.WHOLE, attempt: int = 1, at_s: float = 2.0) -> dict:
    return {"step": StepId(step), "branch": branch, "attempt": attempt, "at_s": at_s}


def sent(step: str, branch: int = f.WHOLE, attempt: int = 1, at_s: float = 2.0) -> f.StepDispatched:
    return f.StepDispatched(**at(step, branch, attempt, at_s), pool="w", digest=D)


def passed(step: str, branch: int = f.WHOLE, at_s: float = 3.0) -> f.StepPassed:
    return f.StepPassed(**at(step, branch, at_s=at_s), digest=D)


def ended(status: str = "succeeded", **more: object) -> f.RunEnded:
    return f.RunEnded(at_s=9.0, status=status, usd=0.0, tokens=0, steps=1, **more)  # type: ignore[arg-type]  # by name


def test_a_run_from_its_start_to_its_end() -> None:
    told = summary(
        [
            Held(fact)
            for fact in (
                accepted(),
                frozen("a", "b"),
                sent("a"),
                f.StepStarted(**at("a")),
                f.StepProduced(**at("a"), digest=D, output=7, usd=0.5, tokens=10),
                f.CheckVerdict(**at("a"), check=0, name="schema", verdict="pass", digest=D),
                f.CheckVerdict(**at("a"), check=1, name="rule", verdict="fix", digest=D, reasons=("a", "b", "c", "d")),
                f.StepRejected(**at("a"), reasons=("a", "b")),
                sent("a", attempt=2),
                f.StepProduced(**at("a", attempt=2), digest=D, output=8, usd=0.25, tokens=5),
                f.CheckVerdict(**at("a", attempt=2), check=0, name="schema", verdict="pass", digest=D),
                passed("a", at_s=4.0),
                f.StepSkipped(**at("b", attempt=0), reason="condition"),
                ended(output={"x": 8}, gaps=({"step": "c", "branch": None, "reason": "none"},)),
            )
        ]
    )

    assert told == {
        "run": RUN,
        "status": "succeeded",
        "output": {"x": 8},
        "gaps": [{"step": "c", "branch": None, "reason": "none"}],
        "usage": {"usd": 0.75, "tokens": 15, "calls": 0},
        "steps": {
            "a": {
                "status": "passed",
                "attempts": 2,
                "verdicts": [
                    {"check": 0, "name": "schema", "verdict": "pass", "count": 2, "reasons": []},
                    {"check": 1, "name": "rule", "verdict": "fix", "count": 1, "reasons": ["a", "b", "c"]},
                ],
                "usd": 0.75,
                "started_at": 2.0,
                "ended_at": 4.0,
            },
            "b": {
                "status": "skipped",
                "attempts": 0,
                "verdicts": [],
                "usd": 0.0,
                "started_at": None,
                "ended_at": 2.0,
            },
        },
    }


def test_branches_are_counts_and_gaps() -> None:
    run = counted(
        frozen("m"),
        f.StepExpanded(**at("m", attempt=0), count=4, items=[1, 2, 3, 4]),
        *[sent("m", branch) for branch in range(4)],
        passed("m", 0),
        f.StepGap(**at("m", 1), reason="unknown"),
        f.StepFailed(**at("m", 2), cause="broken"),
        f.StepProgress(**at("m", 3), fraction=0.5, message="half"),
    )

    step = run.steps["m"].document()
    assert (step["status"], step["attempts"]) == ("running", 1)
    assert step["branches"] == {"total": 4, "failed": 1, "gap": 1, "passed": 1, "running": 1}
    assert step["gaps"] == [{"branch": 1, "reason": "unknown"}, {"branch": 2, "reason": "broken"}]
    assert [(unit.status.value, unit.note) for _, branch, unit in run.units if branch == 3] == [("running", "50% half")]
    assert (run.status, run.document()["run"], run.document()["output"]) == ("running", None, None)


def test_a_charge_counts_once_and_reservations_never() -> None:
    call = f.ModelCalled(**at("a"), model="m", outcome="ok", usd=1.0, tokens_in=3, tokens_out=4, charge="k")
    settled = f.BudgetSettled(**at("a"), charge="s", usd=0.5, tokens=2)
    child = f.ChildEnded(**at("a"), child=RunId("R.a"), status="failed", usd=0.25, tokens=1, steps=1)
    run = counted(
        frozen("a"),
        f.BudgetReserved(**at("a"), charge="s", usd=9.0),
        call,
        call,
        settled,
        settled,
        child,
        child,
        f.AttemptFailed(**at("a"), error="timeout", usd=0.125),
    )

    assert run.document()["usage"] == {"usd": 1.875, "tokens": 10, "calls": 1}
    assert run.steps["a"].usd == 1.875
    assert run.steps["a"].whole.reason == "timeout"


def test_where_a_step_is_on_its_way() -> None:
    def status(*facts: f.Fact) -> tuple[str, str]:
        run = counted(frozen("a"), sent("a"), *facts)
        return run.steps["a"].whole.status.value, run.status

    asked = f.ApprovalAsked(**at("a"), subject="step", choices=("y",), expires_at_s=9.0, ask="Well?")
    assert status() == ("running", "running")
    assert status(f.StepDispatched(**at("a"), pool="w", digest=D, purpose="check", check=1)) == ("running", "running")
    assert status(f.AttemptFailed(**at("a"), error="boom", message="no")) == ("rejected", "running")
    assert status(f.LeaseLost(**at("a"))) == ("rejected", "running")
    assert status(f.StepBackoff(**at("a"), until_s=7.0)) == ("backoff", "running")
    assert status(asked) == ("waiting", "waiting")
    assert status(asked, f.ApprovalAnswered(**at("a"), choice="y")) == ("checking", "running")
    assert status(asked, f.ApprovalExpired(**at("a"))) == ("checking", "running")
    assert status(f.ReplanAsked(**at("a"), scope="step", rung=0)) == ("waiting", "running")
    assert status(f.StepEscalated(**at("a"), rung=0, tier="strong")) == ("running", "running")
    assert status(f.ChildStarted(**at("a"), child=RunId("c"), usd=1.0, tokens=1, wall_s=1.0, steps=1))[0] == "running"
    assert status(f.CancelRequested(at_s=3.0)) == ("running", "cancelling")
    assert status(f.StepCancelled(**at("a"), reason="cancel")) == ("cancelled", "running")


def test_the_budget_may_be_asked_about() -> None:
    hit = f.LimitHit(at_s=2.0, limit="usd", policy="ask")
    asked = f.ApprovalAsked(at_s=2.0, step=StepId(""), subject="budget", choices=("extend",), expires_at_s=9.0, ask="?")
    run = counted(frozen("a"), hit, asked)

    assert (run.limit, run.status, run.budget_asked) == ("usd", "waiting", asked)
    answered = f.ApprovalAnswered(at_s=3.0, step=StepId(""), choice="extend")
    assert counted(frozen("a"), hit, asked, answered).budget_asked is None
    extended = counted(frozen("a"), hit, asked, answered, f.LimitExtended(at_s=3.0, limit="usd", by=1.0))
    assert (extended.limit, extended.status) == ("", "running")
    assert counted(frozen("a"), f.RunAdopted(at_s=3.0, epoch=2)).status == "running"


def test_what_a_retry_takes_over_has_passed_before_the_plan_is_named() -> None:
    run = counted(
        f.StepReused(**at("a", attempt=0), digest=D, source=RunId("old"), output=1),
        f.StepExpanded(**at("m", attempt=0), count=2, items=[1, 2]),
        f.StepReused(**at("m", 0, 0), digest=D, source=RunId("old"), output=1),
        frozen("a", "m", "b"),
    )

    assert list(run.steps) == ["a", "m", "b"]
    assert (run.steps["a"].whole.status.value, run.steps["a"].whole.note) == ("passed", "taken over from old")
    assert run.steps["m"].counts == {"passed": 1, "pending": 1}


def test_a_patch_begins_touched_steps_anew_and_frees_what_was_skipped_upstream() -> None:
    ops: list[JsonValue] = [
        {"replace": {"id": "a", "step": {}}},
        {"add": {"id": "new", "step": {}}},
        {"drop": {"id": "gone"}},
        {"retry": {"step": "again"}},
        "nonsense",
        {"add": None},
    ]
    before = (
        frozen("a", "gone", "again", "below", "kept"),
        sent("a", attempt=3),
        f.StepFailed(**at("a"), cause="x"),
        f.StepSkipped(**at("below"), reason="upstream_failed"),
        f.StepSkipped(**at("kept"), reason="condition"),
    )
    patch = f.PlanPatched(at_s=5.0, base=D, digest=D, author="me", reason="r", patch={"ops": ops})
    run = counted(*before, patch)

    assert {name: (step.whole.status.value, step.attempts) for name, step in run.steps.items()} == {
        "a": ("pending", 3),
        "again": ("pending", 0),
        "below": ("pending", 0),
        "kept": ("skipped", 0),
        "new": ("pending", 0),
    }
    assert counted(*before, replace(patch, patch={})).steps["a"].whole.status.value == "failed"


def test_quarantine_takes_back_in_an_open_run_and_marks_after_the_end() -> None:
    mark = f.StepQuarantined(**at("a"), reason="wrong", affected=(StepId("b"),))
    before = (frozen("a", "b"), sent("a"), passed("a"), sent("b"), passed("b"))

    taken = counted(*before, mark).steps
    assert [(step.whole.status.value, step.whole.reason) for step in taken.values()] == [
        ("failed", "quarantined: wrong"),
        ("skipped", "quarantined"),
    ]
    marked = counted(*before, ended(), mark).steps
    assert [(step.whole.status.value, step.quarantined) for step in marked.values()] == [("passed", True)] * 2


def test_deleted_payloads_are_null_and_nothing_breaks() -> None:
    facts = (
        accepted(),
        frozen("a", "b"),
        sent("a"),
        f.StepProduced(**at("a"), digest=D, output=7),
        f.CheckVerdict(**at("a"), check=1, name="rule", verdict="fix", digest=D, reasons=("a",)),
        f.StepRejected(**at("a"), reasons=("a",)),
        f.StepFailed(**at("a"), cause="x"),
        f.PlanPatched(at_s=5.0, base=D, digest=D, author="me", reason="r", patch={"ops": []}),
        ended("failed", gaps=({"step": "a", "branch": None, "reason": "x"},), reason="a: x"),
    )
    run = tally([Held(without_payload(fact) if fact.PAYLOAD else fact, forgotten=True) for fact in facts])

    assert run.forgotten
    told = run.document()
    assert (told["status"], told["output"], told["gaps"], list(run.steps)) == ("failed", None, [], ["a"])
    assert run.steps["a"].document()["verdicts"] == [
        {"check": 1, "name": "rule", "verdict": "fix", "count": 1, "reasons": []}
    ]


def test_statuses_are_those_of_the_machine() -> None:
    bench = Bench(plan_of({"a": {}, "b": {"needs": ["a"]}, "c": {"on_fail": ["gap"]}, "d": {"needs": ["b"]}}))
    bench.done("a")
    bench.fail("c")
    bench.fail("b")

    run = counted(*bench.all)
    assert {name: step.whole.status for name, step in run.steps.items()} == {
        state.spec.id: state.status for state in bench.machine.state.steps
    }
    assert run.status == bench.machine.state.ended
