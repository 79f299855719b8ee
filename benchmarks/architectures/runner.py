"""Runs the matrix of tasks and architectures: every run in one journal under its own key, so a kill costs nothing."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Self

import anyio

from benchmarks.architectures.model import Agent, Case
from benchmarks.architectures.parameters import Protocols
from benchmarks.architectures.plans import Built, PlanShelf
from benchmarks.architectures.pools import agent_pools
from benchmarks.architectures.record import Episode, RunView, view_of
from benchmarks.architectures.tasks import TaskHost
from benchmarks.architectures.teams import ARCHITECTURES
from orchestrator import Budget, Engine
from orchestrator.ids import JsonValue
from orchestrator.plan.models import digest_of
from workers import Pool

RECORDS_MAX: Final = 100_000  #: of one run
INFO_TRIALS: Final = 10  #: repetitions of an instance from which information gain is computed
PARALLEL: Final = 64  #: episodes at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What one run of an episode, and the whole benchmark, may spend."""

    run_usd: float = 0.5
    run_tokens: int = 5_000_000
    run_steps: int = 5_000
    usd: float = math.inf  #: of the whole benchmark


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Everything that decides what is run; its digest is the name of the benchmark in the journal."""

    seed: int
    cases: tuple[Case, ...]
    architectures: tuple[str, ...]
    protocols: Protocols
    agent: str  #: label and settings of the agents
    trials: Mapping[str, int] = field(default_factory=dict)  #: repetitions by case; 1 where absent
    planted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  #: steps answered wrongly at first, by case

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.architectures) - set(ARCHITECTURES)):
            raise ValueError(f"no architecture {', '.join(unknown)}; there are {', '.join(ARCHITECTURES)}")

    @property
    def digest(self) -> str:
        """Sixteen digits that stand for all of it."""
        plain: JsonValue = json.loads(json.dumps(asdict(self)))
        return digest_of(plain).removeprefix("sha256:")[:16]

    @property
    def episodes(self) -> int:
        """How many there are."""
        return len(self.architectures) * sum(self.trials.get(case.id, 1) for case in self.cases)


class BudgetGone(Exception):
    """The benchmark's own ceiling is reached: no further episode is begun."""


class RunCeilingMet(Exception):
    """One run met its own ceiling; says which."""


class Spending:
    """What is booked, and what runs that are open may still book."""

    def __init__(self, ceiling: Ceiling) -> None:
        self._ceiling = ceiling
        self.booked = 0.0
        self._open = 0.0
        self._settled = anyio.Event()

    async def reserve(self) -> None:
        """Set one run's ceiling aside; waits while open runs may still give something back.

        Raises:
            BudgetGone: no run's ceiling is left.
        """
        while self._ceiling.usd - self.booked - self._open < self._ceiling.run_usd:
            if self._open < self._ceiling.run_usd / 2:
                raise BudgetGone
            await self._settled.wait()
        self._open += self._ceiling.run_usd

    def settle(self, spent: float) -> None:
        """Exchange a reservation for what was spent."""
        self._open -= self._ceiling.run_usd
        self.booked += spent
        self._settled.set()
        self._settled = anyio.Event()


class EpisodeDesk:
    """One episode's access to the engine; see `Desk`."""

    def __init__(
        self,
        bench: "Bench",
        case: Case,
        episode: Episode,
        *,
        budget_turns: int = 0,
        planted: tuple[str, ...] = (),
    ) -> None:
        self.case, self.episode = case, episode
        self.protocols, self.shelf = bench.matrix.protocols, bench.shelf
        self.budget_turns, self.planted = budget_turns, planted
        self._bench = bench

    async def run(self, built: Built, **given: JsonValue) -> RunView:
        """Submit under this episode's next key; wait; read the journal."""
        episode = self.episode
        key = f"{self._bench.digest}/{episode.case}/{episode.architecture}/{episode.trial}/{episode.runs}"
        inputs: dict[str, JsonValue] = {"case": self.case.id, "trial": episode.trial, **given}
        view = await self._bench.run(built, inputs, key)
        episode.add(view)
        if view.status == "stopped":
            raise RunCeilingMet(view.reason)
        return view


class Bench:
    """A benchmark over one engine. `async with Bench(…) as bench: episodes = await bench.all()`."""

    def __init__(
        self,
        matrix: Matrix,
        agent: Agent,
        *,
        store: str = "memory:",
        ceiling: Ceiling | None = None,
        parallel: int = PARALLEL,
        books: bool = True,
        pools: Sequence[Pool] | None = None,
        told: Callable[[int, int, float], None] | None = None,
    ) -> None:
        self.matrix, self.shelf, self.digest = matrix, PlanShelf(), matrix.digest
        self.ceiling = ceiling or Ceiling()
        self.spending = Spending(self.ceiling)
        cases = {case.id: case for case in matrix.cases}
        strict = math.isfinite(self.ceiling.usd)
        chosen = pools if pools is not None else agent_pools(agent, cases, books=books, reserves=strict)
        # Runs that a kill left open are taken over; their episodes find them by their keys.
        self._engine = Engine(pools=chosen, store=store, open_runs_max=max(1_000, 4 * parallel))
        self._parallel = parallel
        self._told = told or (lambda _done, _total, _usd: None)
        self.done = 0
        self.stopped = False  #: the budget was gone before all episodes were begun

    async def __aenter__(self) -> Self:
        await self._engine.__aenter__()
        return self

    async def __aexit__(self, *about: object) -> None:
        await self._engine.__aexit__(*about)  # type: ignore[arg-type]  # handed on as they came

    async def run(self, built: Built, inputs: dict[str, JsonValue], key: str) -> RunView:
        """One run to its end, or the one that exists under the key."""
        await self.spending.reserve()
        spent = 0.0
        try:
            # The ceiling of a run is part of what its key stands for, so it must not depend on what is left.
            budget = Budget(
                usd=self.ceiling.run_usd, tokens=self.ceiling.run_tokens, steps=self.ceiling.run_steps, wall=36_000.0
            )
            run = await self._engine.submit(built.plan, inputs, budget=budget, idempotency_key=key)
            await run.result()
            records = await self._engine.runs.journal.read(run.id, limit=RECORDS_MAX)
            view = view_of(records, built.needs)
            spent = view.usd
            return view
        finally:
            self.spending.settle(spent)

    async def all(self) -> list[Episode]:
        """Every episode that the budget allows, in the order of the matrix."""
        found: dict[tuple[str, str, int], Episode] = {}
        limit = anyio.CapacityLimiter(self._parallel)

        async def group(case: Case, trial: int) -> None:
            async with limit:
                await self._group(case, trial, found)

        async with anyio.create_task_group() as tasks:
            for case in self.matrix.cases:
                for trial in range(self.matrix.trials.get(case.id, 1)):
                    tasks.start_soon(group, case, trial)
        order = [
            (case.id, name, trial)
            for case in self.matrix.cases
            for name in self.matrix.architectures
            for trial in range(self.matrix.trials.get(case.id, 1))
        ]
        return [found[key] for key in order if key in found]

    async def _group(self, case: Case, trial: int, found: dict[tuple[str, str, int], Episode]) -> None:
        """All architectures on one instance, ours first: the equal-budget arm may spend what ours took."""
        turns = 0
        for name in sorted(self.matrix.architectures, key=lambda name: name != "ours"):
            if self.stopped:
                return
            episode = Episode(case=case.id, architecture=name, trial=trial)
            planted = self.matrix.planted.get(case.id, ())
            desk = EpisodeDesk(self, case, episode, budget_turns=turns, planted=planted)
            try:
                await ARCHITECTURES[name](desk)
            except BudgetGone:
                self.stopped = True  # an episode without its end is no observation
                return
            except RunCeilingMet as met:
                if math.isfinite(self.ceiling.usd):
                    self.stopped = True  # a share of a small budget says nothing of the architecture
                    return
                episode.status, episode.reason = "budget", str(met)
            if name == "ours":
                turns = len(episode.turns)
            found[case.id, name, trial] = episode
            self.done += 1
            self._told(self.done, self.matrix.episodes, self.spending.booked)


def grade(episodes: Sequence[Episode], host: TaskHost) -> None:
    """Let the task host grade what was answered; the last thing that happens to an episode."""
    for episode in episodes:
        finals = episode.finals if episode.architecture == "independent-concat" else (episode.final,)
        if episode.status != "answered":
            finals = ()
        claims = [episode.claims, *[judged.claims for judged in episode.judged]]
        episode.success, steps = host.grade(episode.case, finals, claims)
        episode.right = steps[0]
        episode.judged_right = [all(one.values()) if one else None for one in steps[1:]]


def write_spec(folder: Path, spec: JsonValue) -> None:
    """Say what a folder holds; refuse one that holds another benchmark.

    Raises:
        ValueError: the folder belongs to another benchmark, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder} can be no folder: {error}") from error
    text = json.dumps(spec, indent=1, sort_keys=True) + "\n"
    path = folder / "spec.json"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{folder} holds another benchmark (see its spec.json); choose another --output, or remove it")
    path.write_text(text, encoding="utf-8")
