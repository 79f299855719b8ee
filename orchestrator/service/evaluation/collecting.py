"""Makes cases of what happened: of runs that people liked or did not, and of results that were taken back."""

from typing import Final

from orchestrator.core import facts as f
from orchestrator.engine.recovery import read_all
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import Journal, Recorded, RunQuery
from orchestrator.service.evaluation.cases import CASES_MAX, Case, EvalSet, Expect

PAGE: Final = 500


async def collect(journal: Journal, plan: str, *, most: int = CASES_MAX) -> list[Case]:
    """Cases from the ended runs of a plan, the newest first: at most one of each run.

    A thumb up expects the same output again, a thumb down or a quarantine any other. They are a beginning: whoever
    keeps one makes a better expectation of it. Runs whose contents were deleted give none, nor do runs of evaluations.
    """
    found: list[Case] = []
    before: RunId | None = None
    while len(found) < most:
        rows = await journal.runs(RunQuery(plan=plan, top_level=True, before=before, limit=PAGE))
        for row in rows:
            if row.status != "open" and len(found) < most:
                case = case_of(await read_all(journal, row.run_id))
                found += [case] if case is not None else []
        if len(rows) < PAGE:
            break
        before = rows[-1].run_id
    return found


def case_of(records: list[Recorded]) -> Case | None:
    """The case that a run gives; None: nobody has said anything about it."""
    facts = [record.fact for record in records]
    accepted = facts[0]
    ended = next((fact for fact in facts if isinstance(fact, f.RunEnded)), None)
    forgotten = any(record.forgotten for record in records)
    if not isinstance(accepted, f.RunAccepted) or ended is None or forgotten:
        return None
    if any(isinstance(fact, f.RunRated) and fact.source == "eval" for fact in facts):
        return None
    taken_back = [fact for fact in facts if isinstance(fact, f.StepQuarantined)]
    thumbs = {fact.actor: fact for fact in facts if isinstance(fact, f.RunRated) and fact.source == "thumb"}
    down = [fact for fact in thumbs.values() if fact.score < 0.5]
    if taken_back:
        what, why = "quarantined", taken_back[-1].reason
    elif down:
        what, why = "down", down[-1].reason
    elif thumbs:
        what, why = "up", ""
    else:
        return None
    return Case(
        id=f"{what}-{accepted.run.replace('-', '')[-12:]}",
        inputs=accepted.inputs,
        expect=(_expect(what, ended.output, why),),
        source=accepted.run,
    )


def _expect(what: str, output: JsonValue, why: str) -> Expect:
    told: dict[str, JsonValue] = {"equals" if what == "up" else "not_equals": output}
    if why:
        told["reason"] = why[:2_000]
    return Expect.model_validate(told)


def merged(one: EvalSet, cases: list[Case]) -> tuple[EvalSet, int]:
    """A set with further cases, and how many are new: a run gives a case once."""
    known = {case.id for case in one.cases}
    new = [case for case in cases if case.id not in known][: CASES_MAX - len(one.cases)]
    return one.model_copy(update={"cases": (*one.cases, *new)}), len(new)


__all__ = ["case_of", "collect", "merged"]
