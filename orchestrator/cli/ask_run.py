"""One question on its way: a run whose only step is the goal, its plan below it, or a plan that was saved."""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import anyio

from orchestrator.cli.access import holding
from orchestrator.cli.ask_plan import SavedPlan, save_plan
from orchestrator.cli.ask_view import AskView, ask_view, plan_of
from orchestrator.cli.console import paint, say, show_json, show_result
from orchestrator.cli.drive import Driven, drive
from orchestrator.cli.exits import Exit
from orchestrator.cli.outcome import tell
from orchestrator.cli.talk import finish, start
from orchestrator.core import facts as f
from orchestrator.core.summary import RunTally
from orchestrator.engine.consent import outline
from orchestrator.engine.handle import Run
from orchestrator.errors import OrchestratorError, PromiseError
from orchestrator.ids import JsonValue, RunId
from orchestrator.plan.consent import with_consent, without_consent
from orchestrator.plan.files import dump_plan
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Budget
from orchestrator.settings import DEFAULT_POOLS

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from orchestrator.app import Engine
    from orchestrator.settings import Settings

NAME: Final = "ask"  #: of the plan around the goal
CATCH_UP_S: Final = 2.0  #: for the last lines of runs below one that has ended
WEAK: Final = (
    "a small model on this machine answers ({name}). It is weak: its plans are often refused and its content is poor; "
    "what it says is checked like anything else"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What was asked, and how."""

    goal: str
    schema: dict[str, JsonValue] | None
    constraints: tuple[str, ...]
    budget_usd: float | None
    approve_above_usd: float | None  #: None: nobody is asked
    plan_only: bool
    save: Path | None
    saved: SavedPlan | None
    file: Path | None  #: where the saved plan lies
    as_json: bool
    jsonl: bool
    flags: str
    local: bool
    session: str | None = None  #: the conversation that it is a turn of


async def ask_goal(settings: "Settings", asking: Asking) -> int:
    """Drive the question to its end, or to where it waits; the exit code."""
    need_models(settings, asking.local)
    async with holding(settings) as engine:
        if asking.local:
            say(WEAK.format(name=engine.settings.models.tiers["standard"][0].model))
        plan = _saved_plan(asking) if asking.saved is not None else goal_plan(asking, pools_for(settings, engine))
        budget = Budget(usd=asking.budget_usd) if asking.budget_usd is not None else None
        run = await start(engine, plan, {}, session=asking.session, text=asking.goal, budget=budget)
        view = ask_view(jsonl=asking.jsonl)
        below = Below(engine, view, asking)
        async with anyio.create_task_group() as group:
            stop = run.watch(view.heard)
            group.start_soon(below.follow_top, run, group)
            driven = await drive(engine, run, view, drain_s=settings.drain_s, ask=not asking.plan_only)
            stop()
            if driven.tally.ended is not None:
                await below.caught_up()
            group.cancel_scope.cancel()
        await finish(engine, asking.session, run)
        if asking.plan_only and below.plan is not None and driven.questions:
            return int(await _plan_only(engine, run.id, asking, below.plan))
        return int(_told(driven, below, asking))


def need_models(settings: "Settings", local: bool) -> None:
    """Nothing, where there is something to ask; found out before anything starts.

    Raises:
        PromiseError: no endpoint is known; the error says how to name one.
    """
    named = settings.models.tiers or settings.models.endpoints
    if not (named or local or os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL")):
        raise PromiseError(
            "there is no model to ask",
            "set OPENAI_API_KEY, or OPENAI_BASE_URL for an endpoint of your own, or name models in the settings; "
            "--local uses a small model on this machine",
        )


def pools_for(settings: "Settings", engine: "Engine") -> tuple[str, ...] | None:
    """The pools that a plan for a goal may use: all that the caller named; of the shipped ones those with an agent.

    The others serve the sample plans; a planner that reads of them pays for it with every question.
    """
    if settings.pools != DEFAULT_POOLS:
        return None
    return tuple(sorted(name for name in engine.registry.pools() if _serves(engine, name)))


def _serves(engine: "Engine", pool: str) -> bool:
    try:
        return engine.registry.check_ready(pool, None)
    except PromiseError:
        return False  # it is off on this machine


def goal_plan(asking: Asking, pools: tuple[str, ...] | None) -> Plan:
    """The plan around a goal: one step, planned at run time, whose output is the answer."""
    from orchestrator.supervisor.rules import Supervisor

    goal = Supervisor(pools=pools).goal(asking.goal, output=asking.schema, name=NAME, constraints=asking.constraints)
    above = 0.0 if asking.plan_only else asking.approve_above_usd
    if above is not None:
        goal = replace(goal, supervision=goal.supervision.model_copy(update={"approve_above": above}))
    return goal.freeze()


def _saved_plan(asking: Asking) -> Plan:
    saved = asking.saved
    assert saved is not None, "asked for with a file alone"
    say(f"{paint('·', 'dim', sys.stderr)} the plan in {asking.file} is used; nothing is planned anew")
    limit_usd, dear_usd = asking.approve_above_usd, saved.estimate_usd
    if limit_usd is None or (limit_usd > 0 and dear_usd is not None and dear_usd <= limit_usd):
        return saved.plan
    told = "unknown" if dear_usd is None else f"{dear_usd:.2f} USD"
    return with_consent(saved.plan, f"Run this plan? Its estimate is {told}.", outline(saved.plan))


class Below:
    """Follows the runs below the question, for the view, and keeps the plan that was made."""

    def __init__(self, engine: "Engine", view: AskView, asking: Asking) -> None:
        self._engine, self._view, self._asking = engine, view, asking
        self._open = 0
        self._quiet = anyio.Event()
        self.plan: Plan | None = None  #: the last one made for the question
        self.tallies: dict[RunId, RunTally] = {}

    async def follow_top(self, run: Run, group: "TaskGroup") -> None:
        """The question's own run: its plan, and where the runs below begin."""
        async for record in run.events():
            fact = record.fact
            if isinstance(fact, f.GoalPlanned):
                self._planned(fact)
            elif isinstance(fact, f.ChildStarted):
                self._begin(fact.child, group)
        self._done()

    async def caught_up(self) -> None:
        """Everything that runs below had to say was shown."""
        with anyio.move_on_after(CATCH_UP_S):
            await self._quiet.wait()

    def _begin(self, run_id: RunId, group: "TaskGroup") -> None:
        self._open += 1
        self.tallies[run_id] = RunTally()
        group.start_soon(self._follow, run_id, group)

    async def _follow(self, run_id: RunId, group: "TaskGroup") -> None:
        tally = self.tallies[run_id]
        async for record in Run(self._engine.runs, run_id).events():
            tally.add(record)
            self._view.add_below(record, tally)
            if isinstance(record.fact, f.ChildStarted):
                self._begin(record.fact.child, group)
        self._open -= 1
        self._done()

    def _done(self) -> None:
        if not self._open:
            self._quiet.set()

    def _planned(self, fact: f.GoalPlanned) -> None:
        plan = plan_of(fact)
        if plan is None:
            return
        self.plan = without_consent(plan)
        file = self._asking.save
        if file is None:
            return
        try:
            save_plan(file, self.plan, self._asking.goal, fact.usd_estimate)
        except OrchestratorError as error:
            say(f"{paint('the plan could not be kept:', 'bad', sys.stderr)} {error}")  # the run goes on all the same
        else:
            say(f"{paint('·', 'dim', sys.stderr)} the plan is kept in {file}")


async def _plan_only(engine: "Engine", run_id: RunId, asking: Asking, plan: Plan) -> Exit:
    """Print the plan and end the run that made it; what planning cost is in the journal."""
    await engine.runs.cancel(run_id, reason="only the plan was asked for")
    if asking.as_json:
        show_json(cast(JsonValue, plan.canonical()))
    else:
        show_result(dump_plan(plan).rstrip("\n"))
    say(f"{paint('✓ planned', 'good', sys.stderr)}  {len(plan.steps)} steps; nothing was run  {run_id}")
    return Exit.OK


def _told(driven: Driven, below: Below, asking: Asking) -> Exit:
    if asking.as_json:
        document = driven.tally.document()
        if driven.questions:
            document["status"] = "waiting"
        document["plan"] = None if below.plan is None else cast(JsonValue, below.plan.canonical())
        document["below"] = {run_id: tally.document() for run_id, tally in below.tallies.items()}
        show_json(document)
    elif not asking.jsonl and driven.tally.ended is not None:
        show_answer(driven.tally.document()["output"])
    code = tell(driven, as_json=False, jsonl=True, flags=asking.flags)
    if asking.local and driven.tally.ended is None:
        say("  with ORCHESTRATOR_LOCAL=true in the environment, so that the model is there again")
    return code


def show_answer(output: JsonValue) -> None:
    """An answer on stdout, with what it rests on below it; JSON of any other form as it is."""
    if not isinstance(output, dict) or set(output) != {"answer", "citations"}:
        if output is not None:
            show_result(output)
        return
    answer, cited = output["answer"], output["citations"]
    if not isinstance(answer, str) or not isinstance(cited, dict):
        show_result(output)
        return
    show_result(answer)
    print()
    for step, words in cited.items():
        show_result(f"[{step}] {words}")
