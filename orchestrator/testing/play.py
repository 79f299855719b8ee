"""One performance of a scenario: engines over one journal, from the first life to the last, and the account of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import anyio
from anyio.abc import TaskGroup

from orchestrator.app import Engine, open_journal
from orchestrator.core import facts as f
from orchestrator.core.results import RunResult
from orchestrator.core.story import story
from orchestrator.engine.approvals import OpenApproval
from orchestrator.engine.handle import Run
from orchestrator.engine.operations import Operations
from orchestrator.engine.recovery import read_all
from orchestrator.ids import JsonValue, RunId
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Budget
from orchestrator.ports.checker import Checker, Judgement, JudgeRequest
from orchestrator.ports.journal import Journal, Recorded, RunQuery
from orchestrator.ports.model import Completion, Meter, Models, Prompt
from orchestrator.settings import Settings
from orchestrator.supervisor.judging import ModelJudge
from orchestrator.testing.script import Account, Call, ScenarioFailed, Script
from orchestrator.testing.scripted import ScriptedModel, UnexpectedCall
from orchestrator.testing.slow_journal import SlowJournal
from orchestrator.testing.stage import Stage

NOON_S = 1_767_268_800.0  #: 1 January 2026, 12:00 UTC: when every scenario begins
LIVES_MAX = 100  #: deaths of the process in one scenario
RUNS_MAX = 10_000  #: sub-plans whose records are kept
PERSON = "scenario"


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of a scenario, for assertions."""

    result: RunResult
    run_id: RunId
    records: tuple[Recorded, ...]  #: the journal of the run, in order
    sub_plans: dict[RunId, tuple[Recorded, ...]] = field(default_factory=dict)  #: journals of the runs below it
    calls: tuple[Call, ...]  #: every call that was played, in order
    seconds: float  #: that passed on the scenario's clock

    def calls_of(self, step: str) -> list[Call]:
        """The calls for a step's own work."""
        return [call for call in self.calls if call.step == step and not call.check]

    def facts(self, kind: type[f.Fact] = f.Fact, step: str | None = None) -> list[f.Fact]:
        """Facts of the run, of one kind, of one step."""
        found = (record.fact for record in self.records if isinstance(record.fact, kind))
        return [fact for fact in found if step is None or (isinstance(fact, f.StepFact) and fact.step == step)]

    def why(self, step: str | None = None) -> list[str]:
        """The story of a step, or of the run, as `orchestrator why` tells it."""
        return [line.text for line in story(self.records, step)]


class Play:
    """Plays a scenario once."""

    def __init__(
        self,
        plan: Plan,
        script: Script,
        engine: Callable[..., Engine],
        models: Models | None,
        checker: Checker | None,
    ) -> None:
        self._plan, self._script, self._engine, self._models = plan, script, engine, models
        self._checker = checker if checker is not None or models is None else ModelJudge(models)
        self._account = Account(began_s=NOON_S)
        self._began_s = 0.0

    def now_s(self) -> float:
        """See `Clock`: a day that is the same in every performance."""
        return NOON_S + anyio.current_time() - self._began_s

    async def run(self, inputs: Mapping[str, JsonValue] | None, budget: Budget | None, limit_s: float) -> Played:
        """See `Scenario.run`."""
        self._began_s = anyio.current_time()
        journal: Journal = SlowJournal(await open_journal(Settings(store="memory:")), self._script)
        run_id: RunId | None = None
        result: RunResult | None = None
        try:
            with anyio.fail_after(limit_s):
                for _life in range(LIVES_MAX):
                    run_id, result = await self._live(journal, run_id, inputs, budget)
                    if result is not None:
                        break
        except TimeoutError:
            told = "" if run_id is None else "; ".join([line.text for line in story(await read_all(journal, run_id))])
            raise ScenarioFailed(f"the run did not end within {limit_s:g} s of the scenario's clock: {told}") from None
        assert run_id is not None
        if result is None:
            raise ScenarioFailed(f"the process died {LIVES_MAX} times")
        rows = await journal.runs(RunQuery(limit=RUNS_MAX))
        below = {row.run_id: tuple(await read_all(journal, row.run_id)) for row in rows}
        records = below.pop(run_id)
        played = Played(
            result=result,
            run_id=run_id,
            records=records,
            sub_plans=below,
            calls=tuple(self._account.calls),
            seconds=anyio.current_time() - self._began_s,
        )
        self._judge(played)
        return played

    async def _live(
        self,
        journal: Journal,
        run_id: RunId | None,
        inputs: Mapping[str, JsonValue] | None,
        budget: Budget | None,
    ) -> tuple[RunId, RunResult | None]:
        """One life of the process, from the first or from what the journal holds; no result where it was killed."""
        stage = Stage(self._plan, self._script, self._account, self.now_s)
        checker = _Judges(self._script, self._checker, stage)
        try:
            async with self._engine(
                journal=journal,
                clock=self,
                models=_Watched(self._models, stage),
                checker=checker,
                stand_in=stage,
                drain_s=0.0,
                recover=False,
            ) as engine:
                if run_id is None:
                    run = await engine.submit(self._plan, inputs, budget=budget)
                    run_id = run.id
                else:
                    await engine.runs.recover()
                    run = Run(engine.runs, run_id)
                result = await self._until_over(engine, run, stage)
                if result is None:
                    raise _Died
                return run_id, result
        except _Died:
            assert run_id is not None
            return run_id, None

    async def _until_over(self, engine: Engine, run: Run, stage: Stage) -> RunResult | None:
        found: list[RunResult] = []
        async with anyio.create_task_group() as group:
            people = _People(engine, self._script, group)

            async def follow_result() -> None:
                found.append(await run.result())
                group.cancel_scope.cancel()

            async def follow_stage() -> None:
                await stage.over.wait()
                if stage.killed and not stage.unexpected:
                    await anyio.wait_all_tasks_blocked()  # what was answered before the death has arrived
                    stage.die()
                group.cancel_scope.cancel()

            group.start_soon(follow_result)
            group.start_soon(follow_stage)
            group.start_soon(people.follow, run.id)
        if stage.broken is not None:
            raise stage.broken
        if stage.unexpected:
            raise ScenarioFailed(f"no line answers {stage.unexpected}")
        return found[0] if found else None

    def _judge(self, played: Played) -> None:
        """Fail for lines that nobody asked for, and for wrong answers that passed."""
        refused: set[tuple[str, int, int]] = set()
        for records in (played.records, *played.sub_plans.values()):
            for record in records:
                fact = record.fact
                if isinstance(fact, f.CheckVerdict) and fact.verdict != "pass":
                    refused.add((f"{record.run_id}/{fact.step}", fact.branch, fact.attempt))
        passed = [
            answer.what
            for key, answer in self._account.given
            if answer.wrong and (f"{key.run_id}/{key.step_id}", key.branch, key.attempt) not in refused
        ]
        if isinstance(self._models, ScriptedModel):
            self._models.assert_done()
        problems = [f"{line} passed: no check refused it" for line in passed]
        problems += [f"{line} was never asked for" for line in self._script.unused()]
        if problems:
            raise ScenarioFailed("; ".join([*problems, f"the run ended: {played.result}"]))


class _Watched:
    """Models as an engine of a scenario has them: a call that nobody wrote down ends the scenario."""

    def __init__(self, models: Models | None, stage: Stage) -> None:
        self._models, self._stage = models, stage

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None = None) -> Completion:
        """See `Models`."""
        if self._models is None:
            told = prompt.messages[-1].content[:100] if prompt.messages else ""
            self._stage.surprised(f"a question to a model ({told!r}); give the scenario `models=ScriptedModel([…])`")
            await anyio.sleep_forever()
        assert self._models is not None
        try:
            return await self._models.complete(prompt, meter, on_delta)
        except UnexpectedCall as error:
            self._stage.broken = error
            self._stage.over.set()
            raise


class _Died(Exception):
    """The process was killed."""


class _People:
    """Answers questions in place of people."""

    def __init__(self, engine: Engine, script: Script, group: TaskGroup) -> None:
        self._engine, self._script, self._group = engine, script, group
        self._seen: set[tuple[str, str, float]] = set()

    async def follow(self, run_id: RunId) -> None:
        """Look for questions whenever a run, or one below it, asks."""
        async for record in Run(self._engine.runs, run_id).events():
            if isinstance(record.fact, f.ChildStarted):
                self._group.start_soon(self.follow, record.fact.child)
            elif isinstance(record.fact, f.ApprovalAsked):
                await self._look()

    async def _look(self) -> None:
        for asked in await Operations(self._engine.runs).approvals():
            mark = (asked.run_id, asked.step, asked.expires_at_s)
            if mark not in self._seen:
                self._seen.add(mark)
                self._group.start_soon(self._answer, asked)

    async def _answer(self, asked: OpenApproval) -> None:
        name, _, number = asked.step.rstrip("]").partition("[")
        driver = self._engine.runs.driver(asked.run_id)
        plan = driver.accepted.plan if driver is not None else ""
        branch = int(number) if number else None
        line = self._script.next([(plan, name, "person"), ("", name, "person")], branch)
        if line is None:
            return  # nobody answers: it expires
        try:
            await anyio.sleep(line.answer.after_s)
        except anyio.get_cancelled_exc_class():
            line.give_back()
            raise
        said = cast(dict[str, str], line.answer.returns)
        await Operations(self._engine.runs).approve(
            asked.run_id, asked.step, said["choice"], reason=said["reason"], by=PERSON
        )


class _Judges:
    """Judges outputs from the script; what it does not speak of goes to the real judge, where there is one."""

    def __init__(self, script: Script, real: Checker | None, stage: Stage) -> None:
        self._script, self._real, self._stage = script, real, stage

    async def judge(self, request: JudgeRequest) -> Judgement:
        """See `Checker`."""
        places = [place for place in self._script.lines if place[1:] == (request.step, "judge")]
        line = self._script.next(places, None)
        if line is None:
            if self._real is not None and not places:
                return await self._real.judge(request)
            self._stage.surprised(f"the judge of {request.step}; a line for it is .judge({request.step!r}, score=…)")
            await anyio.sleep_forever()
        assert line is not None
        said = cast(dict[str, JsonValue], line.answer.returns)
        score, verdict = said["score"], said["verdict"]
        if verdict is None:
            assert isinstance(score, int | float), "a judge line has a score or a verdict"
            verdict = "pass" if score >= request.pass_at else "fix"
        return Judgement(verdict=verdict, score=score, reasons=tuple(said["reasons"]))  # type: ignore[arg-type]  # as written by `judge`
