"""Runs the cases of a test set; each run is an ordinary one, and its journal holds whether it was right."""

import time
from collections.abc import Callable
from typing import Final

import anyio

from orchestrator.core.results import Cancelled, RunResult
from orchestrator.engine.engine import RunEngine
from orchestrator.engine.rating import rate
from orchestrator.errors import InputError, PlanError, PlanIssue
from orchestrator.plan.inputs import validate_inputs
from orchestrator.plan.models import Plan
from orchestrator.service.evaluation.cases import Case, EvalSet
from orchestrator.service.evaluation.judging import wrong
from orchestrator.service.evaluation.report import REASONS_MAX, CaseReport, Report

PARALLEL: Final = 4  #: runs at the same time
ACTOR: Final = "eval"
Told = Callable[[Case, CaseReport], None]


def check_inputs(one: EvalSet, plan: Plan, file: str) -> None:
    """Hold the inputs of every case against the plan, before anything is spent.

    Raises:
        PlanError: inputs of cases do not fit; the error names them.
    """
    issues: list[PlanIssue] = []
    for number, case in enumerate(one.cases):
        try:
            validate_inputs(plan, dict(case.inputs))
        except InputError as error:
            issues.append(PlanIssue(message=str(error), file=file, path=f"cases[{number}] ({case.id})"))
    if issues:
        raise PlanError(tuple(issues[:20]))


async def evaluate(
    engine: RunEngine,
    one: EvalSet,
    plan: Plan,
    *,
    repeat: int | None = None,
    parallel: int = PARALLEL,
    tell: Told = lambda _case, _report: None,
) -> Report:
    """Run every case, judge and rate each run, and give the report. `tell` hears of each case when it is done.

    Raises:
        PlanError, PromiseError: the plan is not valid for this engine.
    """
    engine.prepare(plan)
    gate = anyio.Semaphore(parallel)
    done: dict[str, CaseReport] = {}
    at_s = engine.clock.now_s()

    async def do(case: Case) -> None:
        runs: list[tuple[str, float, float, list[str]]] = []
        for _ in range(repeat or one.repeat):
            async with gate:
                runs.append(await _once(engine, one, plan, case))
        reasons = dict.fromkeys(reason for _, _, _, found in runs for reason in found)
        right = sum(not found for _, _, _, found in runs)
        done[case.id] = CaseReport(
            right=right * 2 > len(runs),
            runs=tuple(run for run, _, _, _ in runs),
            runs_right=right,
            usd=sum(usd for _, usd, _, _ in runs),
            seconds=max(seconds for _, _, seconds, _ in runs),
            reasons=tuple(reasons)[:REASONS_MAX],
        )
        tell(case, done[case.id])

    async with anyio.create_task_group() as group:
        for case in one.cases:
            group.start_soon(do, case)
    cases = {case.id: done[case.id] for case in one.cases}
    return Report(set=one.name, plan=plan.name, plan_digest=plan.digest, at_s=at_s, cases=cases)


async def _once(engine: RunEngine, one: EvalSet, plan: Plan, case: Case) -> tuple[str, float, float, list[str]]:
    """One run: its id, what it cost, how long it took, and what is wrong with it."""
    began = time.monotonic()
    run = await engine.submit(plan, dict(case.inputs), budget=one.budget)
    result: RunResult | None = None
    why = f"no result within {one.timeout:g} s"
    with anyio.move_on_after(one.timeout):
        result = await run.result_or_waiting()
        why = "it waits for a person, and nobody answers in an evaluation"
    if result is None:
        await run.cancel(why)
        result = await run.result()
        seconds = time.monotonic() - began
        found = [why] if isinstance(result, Cancelled) else wrong(case, result, seconds)
    else:
        seconds = time.monotonic() - began
        found = wrong(case, result, seconds)
    about = f"{one.name}/{case.id}"
    score, now_s = float(not found), engine.clock.now_s()
    reason = "; ".join(found)[:2_000]
    await rate(engine.journal, run.id, source="eval", score=score, by=ACTOR, now_s=now_s, about=about, reason=reason)
    return run.id, result.usage.usd, seconds, found


__all__ = ["ACTOR", "check_inputs", "evaluate"]
