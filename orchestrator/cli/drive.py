"""Drives one run in the terminal: shows it, asks the person, hears Ctrl-C, and comes back with how it stands."""

import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import TaskGroup

from orchestrator.cli.console import interactive, say
from orchestrator.cli.exits import OF_STATUS, Exit
from orchestrator.cli.prompt import ask_person
from orchestrator.cli.view import View
from orchestrator.core.summary import RunTally
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.handle import Run
from orchestrator.engine.recovery import read_all
from orchestrator.errors import JournalConflict
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import RunQuery
from orchestrator.service.control_desk import Desk

if TYPE_CHECKING:
    from orchestrator.app import Engine

DRAW_S: Final = 0.125  #: between two pictures
LOOK_S: Final = 0.05  #: between two looks whether everything waits for a person


@dataclass(slots=True)
class Driven:
    """How a run stands when the command is done with it."""

    run_id: RunId
    tally: RunTally = field(default_factory=RunTally)
    questions: list[JsonValue] = field(default_factory=list)  #: open, when it waits
    seen: int = 0  #: number of the last record in the tally
    signal: int = 0  #: the one that ended the driving; the run is open in the journal

    @property
    def exit(self) -> Exit:
        """The command's exit code."""
        if self.signal:
            return Exit(128 + self.signal)
        if self.questions:
            return Exit.WAITING
        return OF_STATUS[self.tally.status]


async def drive(
    engine: "Engine", run: Run, view: View, *, drain_s: float, ask: bool = True, again: bool = False
) -> Driven:
    """Follow a run until it ends, waits for a person nobody can ask, or a signal comes.

    The first SIGINT or SIGTERM lets what runs come home, for at most `drain_s` seconds; the second ends the process.
    With `ask` False nobody is asked, also not in a terminal. With `again` the run was there before this command, and
    what was said of it then is not said again.

    Raises:
        JournalConflict: another owner has taken the run over, or it was parked.
    """
    driven = Driven(run.id)
    rows = await engine.runs.journal.runs(RunQuery(run_id=run.id, limit=1))
    known = rows[0].last_seq if rows and again else 0
    async with anyio.create_task_group() as outer:
        outer.start_soon(_hear, outer, driven)
        async with anyio.create_task_group() as group:
            _STOP[run.id] = group
            group.start_soon(_draw, view)
            group.start_soon(_wait_for_people, engine, driven, view, group, ask and interactive())
            await _follow(run, driven, view, known)
            group.cancel_scope.cancel()
        _STOP.pop(run.id, None)
        view.close()
        if driven.signal:
            await _leave(engine, drain_s)
            await _catch_up(engine, driven)
        outer.cancel_scope.cancel()
    driver = engine.runs.driver(run.id)
    if not driven.signal and not driven.questions and driven.tally.ended is None:
        raise JournalConflict(run.id, driver.parked if driver is not None else "it is not driven here any more")
    return driven


_STOP: Final[dict[str, TaskGroup]] = {}


async def _hear(outer: TaskGroup, driven: Driven) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        async for number in received:
            if driven.signal:
                say("left at once; the run is open in the journal")
                os._exit(128 + number)
            driven.signal = number
            _STOP[driven.run_id].cancel_scope.cancel()


async def _leave(engine: "Engine", drain_s: float) -> None:
    running = sum(len(driver.inflight) for driver in engine.runs.drivers())
    if running:
        say(f"stopping: nothing new starts; up to {drain_s:g} s for {running} running (^C: at once)")
    await engine.runs.drain(drain_s)


async def _catch_up(engine: "Engine", driven: Driven) -> None:
    """What came home while draining; a run that has ended by it has simply ended."""
    for record in await read_all(engine.runs.journal, driven.run_id):
        if record.seq > driven.seen:
            driven.tally.add(record)
    if driven.tally.ended is not None:
        driven.signal = 0


async def _follow(run: Run, driven: Driven, view: View, known: int) -> None:
    async for record in run.events():
        driven.tally.add(record)
        driven.seen = record.seq
        view.add(record, driven.tally, old=record.seq <= known)


async def _draw(view: View) -> None:
    while True:
        view.refresh()
        await anyio.sleep(DRAW_S)


async def _wait_for_people(engine: "Engine", driven: Driven, view: View, group: TaskGroup, ask: bool) -> None:
    desk = Desk(engine.runs.journal, engine.registry, engine.runs)
    while True:
        await anyio.sleep(LOOK_S)
        if not still(engine, driven.run_id):
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


def still(engine: "Engine", run_id: RunId) -> bool:
    """Whether nothing of a run or its sub-plans moves, and a person is waited for."""
    drivers = [d for d in engine.runs.drivers() if d.run_id == run_id or d.run_id.startswith(f"{run_id}.")]
    open_ones = [d for d in drivers if not d.over]
    asking = [d for d in open_ones if d.machine.state.waiting]
    return bool(asking) and all(_still(engine, d) for d in open_ones) and all(d.quiet for d in asking)


def _still(engine: "Engine", driver: RunDriver) -> bool:
    state = driver.machine.state
    if not state.active:
        return True
    if driver.inflight:
        return False
    working = [unit for step in state.steps for unit in step.all_units() if unit.status.value == "running"]
    children = [unit for unit in working if unit.child is not None and engine.runs.driver(unit.child) is not None]
    return len(children) == len(working) == state.active
