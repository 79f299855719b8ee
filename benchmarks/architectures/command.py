"""Runs a suite from its options to its report; what `orchestrator bench architectures` does."""

import dataclasses
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from benchmarks.architectures import machine
from benchmarks.architectures.advisor import advise, table, write_table
from benchmarks.architectures.endpoint import EndpointAgent
from benchmarks.architectures.model import Agent, Case
from benchmarks.architectures.pairs import pairs
from benchmarks.architectures.record import Episode
from benchmarks.architectures.recovery import killed, planted, plants
from benchmarks.architectures.replay import Recorder, ReplayAgent
from benchmarks.architectures.report import Report, write
from benchmarks.architectures.runner import INFO_TRIALS, Bench, Ceiling, Matrix, grade, write_spec
from benchmarks.architectures.simulated import GoldWorld, SimulatedAgent
from benchmarks.architectures.suite import Suite
from benchmarks.architectures.summary import power, rows
from benchmarks.architectures.sweep import CHANGES, Swept, swept
from benchmarks.architectures.tasks import TaskHost
from orchestrator.settings import Settings

Agents = Literal["simulated", "endpoint", "local", "replay"]
LIMIT_NOTE: Final = 20  #: instances per group below which a report says that it is small
PARALLEL_ENDPOINT: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a user chose."""

    suite: str = "quick"
    output: Path = Path("bench-output") / "architectures"
    seed: int = 7
    limit: int | None = None  #: instances per family
    budget_usd: float | None = None
    agents: Agents = "simulated"
    families: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    sweep: bool = True
    record: Path | None = None
    replay: Path | None = None

    def command(self) -> str:
        """The command that repeats it, without where it writes."""
        parts = [f"orchestrator bench architectures --suite {self.suite} --seed {self.seed}"]
        if self.agents != "simulated":
            parts.append(f"--agents {self.agents}")
        parts += [f"--limit {self.limit}"] if self.limit is not None else []
        parts += [f"--budget-usd {self.budget_usd:g}"] if self.budget_usd is not None else []
        parts += [f"--families {','.join(self.families)}"] if self.families else []
        parts += [f"--architectures {','.join(self.architectures)}"] if self.architectures else []
        parts += [f"--replay {self.replay.name}"] if self.replay else []
        return " ".join([*parts, *([] if self.sweep else ["--no-sweep"])])


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of it."""

    report: Report
    files: list[Path]
    episodes: list[Episode]
    stopped: bool  #: the budget was gone before the end


Told = Callable[[str, int, int, float], None]  #: what, done, of, USD


def chosen(options: Options) -> Suite:
    """The suite, with families, architectures and sizes as the options say.

    Raises:
        ValueError: something does not exist.
    """
    suite = Suite.read(options.suite)
    families = {name: suite.families.get(name, 10) for name in options.families} or suite.families
    if options.limit is not None:
        families = {name: min(count, options.limit) for name, count in families.items()}
    architectures = options.architectures or suite.architectures
    sweep = suite.sweep if options.sweep and options.agents == "simulated" else None
    if sweep is not None and options.limit is not None:
        sweep = dataclasses.replace(sweep, count=min(sweep.count, options.limit))
    suite = dataclasses.replace(suite, families=families, architectures=architectures, sweep=sweep)
    suite.check()
    if sweep is not None and (unknown := sorted(set(sweep.values) - set(CHANGES))):
        raise ValueError(f"no sweep over {', '.join(unknown)}; there are {', '.join(CHANGES)}")
    if options.agents == "replay" and (options.replay is None or not options.replay.is_file()):
        raise ValueError("--agents replay needs --replay FILE, a recording that is there")
    return suite


@asynccontextmanager
async def agent_for(
    options: Options, suite: Suite, cases: dict[str, Case], host: TaskHost, settings: Settings
) -> AsyncIterator[Agent]:
    """The agents of a run, for as long as it takes."""
    from orchestrator.app import local_models, open_models  # the gateway is for those who ask models

    match options.agents:
        case "simulated":
            yield SimulatedAgent(suite.parameters, options.seed, cases, GoldWorld(host.golds(list(cases))))
        case "replay":
            assert options.replay is not None, "see `chosen`"
            yield ReplayAgent(options.replay)
        case "local":
            async with local_models(settings) as found, open_models(found) as models:
                name = found.models.tiers["standard"][0].model
                yield EndpointAgent(models, cases, label=f"real: {name}, a small model on this machine")
        case "endpoint":
            async with open_models(settings) as models:
                tiers = {tier: one[0].model for tier, one in settings.models.tiers.items() if one}
                yield EndpointAgent(models, cases, label=f"real: {json.dumps(tiers, sort_keys=True)}")


async def run(options: Options, settings: Settings, told: Told) -> Done:
    """Run a suite and write its report. A second call with the same options goes on where a first one was killed.

    Raises:
        ValueError: an option names what does not exist, or the folder holds another benchmark.
        TaskHostError: tasks cannot be made or graded.
    """
    suite = chosen(options)
    ceiling = _ceiling(options)
    store = f"sqlite:///{(options.output / 'journal.db').resolve()}"
    spec = {"command": options.command(), "suite": suite.source}
    write_spec(options.output, json.loads(json.dumps(spec)))
    began_s, cpu_s = time.perf_counter(), time.process_time()
    with TaskHost() as host:
        cases = {
            case.id: case for name, count in suite.families.items() for case in host.cases(name, options.seed, count)
        }
        trials = {case.id: INFO_TRIALS for case in cases.values() if int(case.id.rsplit("/", 1)[1]) < suite.info}
        async with agent_for(options, suite, cases, host, settings) as agent:
            recorder = Recorder(agent, options.record) if options.record else agent
            assumed = json.dumps(suite.parameters.to_json(), sort_keys=True) if options.agents == "simulated" else ""
            matrix = Matrix(
                seed=options.seed,
                cases=tuple(cases.values()),
                architectures=suite.architectures,
                protocols=suite.protocols,
                agent=f"{agent.label} {assumed}",
                trials=trials,
            )
            real = options.agents in {"endpoint", "local"}
            bench = Bench(
                matrix,
                recorder,
                store=store,
                ceiling=ceiling,
                books=not real,
                parallel=PARALLEL_ENDPOINT if real else 64,
                told=lambda done, total, usd: told("episodes", done, total, usd),
            )
            async with bench:
                episodes = await bench.all()
            label = agent.label
            matrix_s, matrix_cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
            grade(episodes, host)
            left = _left(ceiling, bench.spending.booked)
            faults = await _faults(suite, matrix, recorder, host, store=store, ceiling=left) if not real else None
        booked = bench.spending.booked + (faults.booked if faults else 0.0)
        stopped = bench.stopped or (faults is not None and faults.stopped)
        sweep = await _sweep(options, suite, host, ceiling, booked, told) if not stopped else Swept()
    report = dataclasses.replace(
        _report(options, suite, label, episodes, cases),
        points=sweep.points,
        planted=planted(episodes, faults.episodes, suite.architectures) if faults else (),
        killed=await killed(suite.recovery.steps, suite.recovery.killed) if suite.recovery.steps else None,
        advice=advise(episodes, cases, options.seed) if episodes and not bench.stopped else (),
        notes=_notes(options, suite, episodes, host.broke, stopped=bench.stopped, rest=stopped or sweep.stopped),
    )
    files = write(report, options.output)
    advice, facts = options.output / "advice.json", options.output / "machine.json"
    write_table(advice, table(episodes, cases), agent=label)
    machine.write(
        facts,
        {
            "episodes": len(episodes),
            "episodes_per_cpu_second": round(len(episodes) / matrix_cpu_s, 1),
            "episodes_per_second": round(len(episodes) / matrix_s, 1),
            "matrix_s": round(matrix_s, 1),
            "load": os.getloadavg(),
            "usd_booked": round(booked + sweep.booked, 6),
            "attempts_lost": sum(one.lost for one in episodes),
        },
    )
    return Done(report=report, files=[*files, advice, facts], episodes=episodes, stopped=stopped or sweep.stopped)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Faults:
    """What came of the tasks with a planted wrong answer."""

    episodes: list[Episode]
    booked: float
    stopped: bool


async def _faults(
    suite: Suite, matrix: Matrix, agent: Agent, host: TaskHost, *, store: str, ceiling: Ceiling
) -> _Faults | None:
    """The first instances of every family once more, with a wrong answer planted; None where none are asked for."""
    chosen_ = plants({case.id: case for case in matrix.cases}, suite.recovery.planted)
    if not chosen_:
        return None
    cases = tuple(case for case in matrix.cases if case.id in chosen_)
    again = dataclasses.replace(matrix, cases=cases, trials={}, planted=chosen_)
    async with Bench(again, agent, store=store, ceiling=ceiling) as bench:
        episodes = await bench.all()
    grade(episodes, host)
    return _Faults(episodes=episodes, booked=bench.spending.booked, stopped=bench.stopped)


def _ceiling(options: Options) -> Ceiling:
    if options.budget_usd is None:
        return Ceiling()
    return Ceiling(usd=options.budget_usd, run_usd=min(Ceiling().run_usd, max(options.budget_usd / 5, 1e-6)))


def _left(ceiling: Ceiling, booked: float) -> Ceiling:
    return dataclasses.replace(ceiling, usd=ceiling.usd - booked)


async def _sweep(options: Options, suite: Suite, host: TaskHost, ceiling: Ceiling, booked: float, told: Told) -> Swept:
    if suite.sweep is None:
        return Swept()
    total = sum(len(values) for values in suite.sweep.values.values())
    at = 0

    def next_(what: str) -> None:
        nonlocal at
        told(f"sweep {what}", at, total, booked)
        at += 1

    return await swept(
        suite.sweep,
        suite.parameters,
        suite.protocols,
        seed=options.seed,
        host=host,
        store=f"sqlite:///{(options.output / 'sweep.db').resolve()}",
        ceiling=_left(ceiling, booked),
        told=next_,
    )


def _notes(
    options: Options, suite: Suite, episodes: list[Episode], broke: list[str], *, stopped: bool, rest: bool
) -> list[str]:
    """What a reader must know before the tables. `rest`: what follows the matrix was cut."""
    notes = []
    if options.budget_usd is not None and stopped:
        share = _ceiling(options).run_usd
        notes.append(
            f"STOPPED by the budget of {options.budget_usd:g} USD after {len(episodes)} episodes: arms are not whole. "
            f"One run may take {share:g} USD of it."
        )
    elif options.budget_usd is not None and rest:
        notes.append(f"STOPPED by the budget of {options.budget_usd:g} USD after the matrix: faults and sweep are cut.")
    if met := sum(one.status == "budget" for one in episodes):
        notes.append(f"{met} episodes met the ceiling of one run ({Ceiling().run_usd:g} USD): they count as no answer.")
    if broke:
        often, first = len(broke), broke[0]
        notes.append(f"Graders broke on {often} answers, which count as wrong; the first time by {first}")
    if any(count < LIMIT_NOTE for count in suite.families.values()):
        notes.append("Few instances per family: read the intervals, not the means.")
    return notes


def _report(options: Options, suite: Suite, label: str, episodes: list[Episode], cases: dict[str, Case]) -> Report:
    return Report(
        title=f"Architectures compared: suite {suite.name}, seed {options.seed}",
        agents=label,
        command=options.command(),
        suite=suite.source,
        rows=rows(episodes, cases),
        pairs=pairs(episodes, cases),
        power={name: found for name in suite.architectures if (found := power(episodes, name))},
    )
