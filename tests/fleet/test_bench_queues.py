"""The queue benchmark measures our side at a reduced size: a worker is killed amid jobs, and every result arrives."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.crash, pytest.mark.slow]


def test_one_of_two_workers_is_killed_amid_200_jobs_and_all_results_arrive(root: Path, tmp_path: Path) -> None:
    output = tmp_path / "queues.json"
    command = [sys.executable, "-m", "benchmarks.performance.queues", "--quick", "--sections", "killed_worker"]

    done = subprocess.run(
        [*command, "--contestants", "nobody-else", "--output", str(output)],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    (facts,) = json.loads(output.read_text())["killed_worker"]["cells"]["ours, lease 3 s"]
    assert facts["results"] == 200
    assert 0 < facts["again"] <= 10, "the victim had ten jobs, and no others ran again"


def test_the_sampler_tells_what_a_process_was_at_and_leaves_its_imports_out(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "samples.json"
    command = [sys.executable, "-m", "benchmarks.performance.queues.sampled", str(file)]

    done = subprocess.run(
        [*command, "timeit", "-n", "20000", "-r", "2", "sorted(range(1000))"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    told = json.loads(file.read_text())
    assert next(iter(told["layers"])) == "timeit"
    assert next(iter(told["functions"])) == "timeit: Timer.timeit"
    assert told["samples"] == sum(told["layers"].values()) > 0
    assert told["other_threads_s"] < told["work_s"]
