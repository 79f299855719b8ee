"""`orchestrator run` on a fleet: hand the run in, watch the supervisors drive it, answer what is asked of a person."""

import signal
from typing import TYPE_CHECKING, Final

import anyio

from orchestrator.cli.access import find_modules
from orchestrator.cli.console import interactive, say
from orchestrator.cli.drive import DRAW_S, Driven
from orchestrator.cli.prompt import ask_person
from orchestrator.cli.talk import finish, start
from orchestrator.cli.view import View
from orchestrator.core.summary import RunTally
from orchestrator.engine.handle import Run
from orchestrator.service.control_desk import Desk

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from orchestrator.app import Engine
    from orchestrator.cli.exits import Exit
    from orchestrator.ids import JsonValue
    from orchestrator.plan.files import PlanSource
    from orchestrator.plan.parts import Budget
    from orchestrator.settings import Settings

LOOK_S: Final = 0.5  #: between two looks whether everything waits for a person
NOBODY_S: Final = 10.0  #: a run that nobody has taken by then is spoken of


async def run_in_fleet(
    settings: "Settings",
    source: "PlanSource",
    values: "dict[str, JsonValue]",
    *,
    budget: "Budget | None",
    lane: str,
    idempotency_key: str | None,
    as_json: bool,
    jsonl: bool,
    ask: bool,
    flags: str,
    session: str | None = None,
) -> "Exit":
    """Hand a run in, follow it to its end or to a question nobody answers here; give the exit code.

    Raises:
        PromiseError: store or transport cannot be shared by several processes, or a pool module cannot be used.
    """
    from orchestrator.app import Engine
    from orchestrator.cli.outcome import tell
    from orchestrator.cli.view import view_for
    from orchestrator.plan.check import check_plan
    from orchestrator.service.fleet_supervisor import must_be_fleet

    must_be_fleet(settings)
    find_modules()
    async with Engine(settings, recover=False, owns="nothing") as engine:
        check_plan(source.plan, engine.registry, source.sources).raise_if_errors()
        started = await start(
            engine,
            source.plan,
            values,
            session=session,
            budget=budget,
            lane=lane,
            idempotency_key=idempotency_key,
        )
        driven = await follow(engine, started, view_for(jsonl=jsonl), ask=ask and interactive())
        await finish(engine, session, started)
        if driven.signal:
            say(f"the run goes on without this command; watch it with: orchestrator watch {driven.run_id}{flags}")
            return driven.exit
        return tell(driven, as_json=as_json, jsonl=jsonl, flags=flags)


async def follow(engine: "Engine", run: Run, view: View, *, ask: bool) -> Driven:
    """Show a run that others drive until it ends, waits for a person whom nobody asks, or a signal comes."""
    driven = Driven(run.id)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_hear, driven, group)
            group.start_soon(_draw, view)
            group.start_soon(_people, engine, driven, view, group, ask)
            async for record in run.events():
                driven.tally.add(record)
                driven.seen = record.seq
                view.add(record, driven.tally)
            group.cancel_scope.cancel()
    finally:
        view.close()
    return driven


async def _hear(driven: Driven, group: "TaskGroup") -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        async for number in received:
            driven.signal = number
            group.cancel_scope.cancel()
            return


async def _draw(view: View) -> None:
    while True:
        view.refresh()
        await anyio.sleep(DRAW_S)


async def _people(engine: "Engine", driven: Driven, view: View, group: "TaskGroup", ask: bool) -> None:
    desk = Desk(engine.runs.journal, engine.registry)
    began_s, warned = anyio.current_time(), False
    while True:
        await anyio.sleep(LOOK_S)
        if not warned and driven.seen <= 2 and anyio.current_time() - began_s > NOBODY_S:
            warned = True
            say("nobody has taken the run yet: is a supervisor at work? (orchestrator supervise, or up)")
        if not waits_for_people(driven.tally):
            continue
        questions = await desk.questions(driven.run_id)
        if not questions:
            continue
        if not ask:
            driven.questions = questions
            group.cancel_scope.cancel()
            return
        with view.paused():
            await ask_person(engine, questions[0])


def waits_for_people(tally: RunTally) -> bool:
    """Whether nothing of a run moves but sub-plans, which may ask somebody."""
    busy = [unit for _, _, unit in tally.units if unit.status.value in {"running", "checking", "backoff"}]
    return tally.status == "waiting" or (bool(busy) and all(unit.child is not None for unit in busy))


__all__ = ["follow", "run_in_fleet", "waits_for_people"]
