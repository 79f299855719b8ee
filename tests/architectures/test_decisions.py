"""Which way the plan-DAG goes, what a gain and a loss look like, faults, the schedule, and what an episode costs."""

import time
from pathlib import Path

import anyio
import pytest
import trio
import trio.testing

from benchmarks.architectures.closed_forms import f12_graham
from benchmarks.architectures.faults import killed_workers
from benchmarks.architectures.metrics import longest_path
from benchmarks.architectures.parameters import Parameters, Protocols
from benchmarks.architectures.proofs import plain
from benchmarks.architectures.record import Episode
from benchmarks.architectures.runner import Bench, Matrix, grade
from benchmarks.architectures.simulated import GoldWorld, SimulatedAgent
from benchmarks.architectures.tasks import TaskHost
from orchestrator import Budget, Engine, Plan
from orchestrator.adapters.memory.journal import MemoryJournal
from workers import Pool, WorkContext

SEED = 11


async def episodes(
    family: str,
    count: int,
    names: tuple[str, ...],
    is_: Parameters,
    how: Protocols | None = None,
    planted: dict[str, tuple[str, ...]] | None = None,
) -> dict[str, list[Episode]]:
    """Episodes of one family, graded, by architecture."""
    with TaskHost() as host:
        cases = {case.id: case for case in host.cases(family, SEED, count)}
        agent = SimulatedAgent(is_, SEED, cases, GoldWorld(host.golds(list(cases))))
        matrix = Matrix(
            seed=SEED,
            cases=tuple(cases.values()),
            architectures=names,
            protocols=how or Protocols(),
            agent="test",
            planted=dict.fromkeys(cases, planted["*"]) if planted else {},
        )
        async with Bench(matrix, agent) as bench:
            done = await bench.all()
        grade(done, host)
    return {name: [one for one in done if one.architecture == name] for name in names}


def solved(done: list[Episode]) -> int:
    """How many were right."""
    return sum(one.success is True for one in done)


@pytest.mark.parametrize(
    ("family", "route"),
    [("map-reduce", "plan-DAG"), ("branches", "plan-DAG"), ("toolbox", "plan-DAG")]
    + [(name, "single agent") for name in ("chain", "ledger", "knot", "mesh", "errands")],
)
def test_tasks_that_do_not_come_apart_go_to_one_agent(family: str, route: str) -> None:
    done = anyio.run(episodes, family, 3, ("ours",), plain(0.0))

    assert [one.route for one in done["ours"]] == [route] * 3
    assert solved(done["ours"]) == 3


def test_on_decomposable_tasks_a_verifier_that_sees_makes_a_gain_and_a_blind_one_none() -> None:
    seeing = anyio.run(episodes, "map-reduce", 40, ("single", "ours"), plain(0.2, 0.9, 0.02))
    blind = anyio.run(episodes, "map-reduce", 40, ("single", "ours"), plain(0.2, 0.0, 0.0))

    assert solved(seeing["ours"]) - solved(seeing["single"]) >= 12
    assert solved(blind["ours"]) == solved(blind["single"])


def test_on_chains_a_forced_plan_dag_loses_what_hand_offs_lose_and_the_fall_back_does_not() -> None:
    is_ = plain(0.05, 0.0, 0.0, handoff={"ours": 0.15})
    names = ("single", "ours")
    fallen = anyio.run(episodes, "chain", 40, names, is_)
    forced = anyio.run(episodes, "chain", 40, names, is_, Protocols(spread=1.0))

    assert solved(fallen["ours"]) == solved(fallen["single"])
    assert solved(forced["ours"]) <= solved(forced["single"]) - 9


def test_a_planted_wrong_answer_is_caught_by_the_gate_and_delivered_by_whoever_has_none() -> None:
    is_ = plain(0.0, 1.0, 0.0)
    done = anyio.run(episodes, "map-reduce", 5, ("single", "ours", "blind-retry"), is_, None, {"*": ("u0",)})

    assert solved(done["single"]) == 0
    assert all(one.status == "answered" for one in done["single"])
    assert solved(done["ours"]) == 5
    caught = [
        j.refused for one in done["ours"] for j, well in zip(one.judged, one.judged_right, strict=True) if not well
    ]
    assert caught == [True] * 5


@pytest.mark.crash
def test_killed_workers_cost_time_and_no_result(tmp_path: Path) -> None:
    found = anyio.run(killed_workers, 8, 2, tmp_path)

    assert (found.right, found.of, found.killed) == (8, 8, 2)


def test_the_engine_keeps_within_grahams_bound_on_few_workers() -> None:
    needs = {"a": (), "b": (), "c": ("a",), "d": ("a", "b"), "e": ("c",), "f": ("d", "e"), "g": ()}
    lengths = {"a": 3.0, "b": 1.0, "c": 4.0, "d": 2.0, "e": 1.0, "f": 2.0, "g": 6.0}
    path = longest_path(needs, lengths)

    for workers in (1, 2, 3):
        took = _makespan(needs, lengths, workers)
        assert path - 1e-6 <= took <= f12_graham(sum(lengths.values()), path, workers) + 1e-3


def _makespan(needs: dict[str, tuple[str, ...]], lengths: dict[str, float], workers: int) -> float:
    pool = Pool("few", concurrency=workers)

    @pool.worker
    async def sleep(ctx: WorkContext, seconds: float, after: list[float]) -> float:
        await anyio.sleep(seconds)
        return seconds

    with Plan("graham") as plan:
        made: dict[str, object] = {}
        for step, found in needs.items():
            made[step] = plan.step(sleep, id=step, seconds=lengths[step], after=[made[need] for need in found])

    class Clock:
        def now_s(self) -> float:
            return 1e9 + trio.current_time()

    async def main() -> float:
        async with Engine(pools=[pool], journal=MemoryJournal(), clock=Clock()) as engine:
            began = trio.current_time()
            run = await engine.submit(plan.freeze(), {}, budget=Budget(usd=1, steps=100))
            await run.result()
            return trio.current_time() - began

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_the_cost_of_an_episode_does_not_grow_with_their_number() -> None:
    def cpu_s(count: int) -> float:
        began = time.process_time()
        anyio.run(episodes, "map-reduce", count, ("single", "ours"), plain(0.1, 0.8, 0.05))
        return (time.process_time() - began) / count

    cpu_s(10)  # what is imported and compiled once
    few, many = min(cpu_s(10), cpu_s(10)), cpu_s(40)
    assert many < 2 * few
