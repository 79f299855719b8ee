"""The benchmark runs: a reduced chain, answers checked, tables printed, results written."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest


def bench(root: Path, output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark command to its end."""
    command = [sys.executable, "-m", "benchmarks.performance", "--output", str(output), "--reps", "1", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("contestant", ["anyio"])
def test_a_reduced_chain_is_measured_and_written(contestant: str, root: Path, tmp_path: Path) -> None:
    output = tmp_path / "performance.json"

    done = bench(root, output, "--only", "chain", "--quick", "--contestants", contestant)

    assert done.returncode == 0, done.stdout + done.stderr
    cells = json.loads(output.read_text())["sections"]["steps"]["cells"]
    measured = {cell["contestant"]: [facts["executions"] for facts in cell["repetitions"]] for cell in cells}
    assert measured[contestant] == [200]


def test_a_contestant_that_nobody_knows_is_a_usage_error(root: Path, tmp_path: Path) -> None:
    done = bench(root, tmp_path / "none.json", "--only", "chain", "--contestants", "nobody")

    assert done.returncode == 2
    assert "no contestant 'nobody'" in done.stderr
    assert not (tmp_path / "none.json").exists()


def test_all_that_the_benchmark_imports_is_in_the_lock_of_its_environment(root: Path) -> None:
    code = "import sys, benchmarks.performance.__main__; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    locked = set(re.findall(r"^([a-z0-9.-]+)==", (root / "requirements-bench.lock").read_text(), re.MULTILINE))

    of = packages_distributions()
    needed = {re.sub(r"[-_.]+", "-", one).lower() for name in done.stdout.split() for one in of.get(name, [])[:1]}

    assert {"asyncpg", "pydantic"} <= needed
    assert needed - locked - {"hierarchical-orchestrator", "setuptools"} == set()  # a start file of setuptools loads it


@pytest.mark.parametrize(("delta", "word"), [(0.0, "MET"), (0.01, "MISSED")])
def test_a_target_says_whether_it_was_met_and_by_how_much(delta: float, word: str) -> None:
    from benchmarks.performance.report import at_least, at_most

    assert at_most("cost", 4.0 + delta, 4.0).line().split()[0] == word
    assert at_least("gain", 5.0 - delta, 5.0).line().split()[0] == word


def test_the_exponent_of_a_known_power_is_found() -> None:
    from benchmarks.performance.sections.growth import exponent

    assert exponent([(n, 3.0 * n**1.05) for n in (1_000, 10_000, 100_000)]) == pytest.approx(1.05)


@pytest.mark.parametrize("name", ["fanout", "chain", "dag"])
def test_every_shape_is_in_topological_order_and_its_sink_depends_on_all(name: str) -> None:
    from benchmarks.performance.shapes import shape

    graph = shape(name, 300)

    assert all(need < node for node, needs in enumerate(graph.inputs) for need in needs)
    reached, waiting = {graph.sink}, [graph.sink]
    while waiting:
        for need in graph.inputs[waiting.pop()]:
            if need not in reached:
                reached.add(need)
                waiting.append(need)
    assert reached == set(range(len(graph.inputs)))
