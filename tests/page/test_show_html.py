"""`show RUN --html FILE` as a user types it: one file, with sub-plans; refusals that say what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.page.test_offline_file import data_of

PLAN = """
version: 1
name: outer
steps:
  inner:
    plan:
      version: 1
      name: child
      steps: {one: {human: {ask: "Go on?", choices: [yes_, no_], then: yes_, expires: 1s}}}
result: ${{ steps.inner.output }}
"""


def orchestrator(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "orchestrator", *args]
    env = {**os.environ, "ORCHESTRATOR_STORE": f"sqlite:///{folder}/journal.db", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that has a sub-plan and waits for a person."""
    folder = tmp_path_factory.mktemp("show")
    (folder / "outer.plan.yaml").write_text(PLAN)
    done = orchestrator(folder, "run", "outer.plan.yaml", "--no-input")
    assert done.returncode == 4, done.stdout + done.stderr
    return folder


def test_a_run_and_its_sub_plans_are_written_as_one_file(folder: Path) -> None:
    done = orchestrator(folder, "show", "last", "--html", "run.html")
    told = data_of((folder / "run.html").read_text("utf-8"))
    size = (folder / "run.html").stat().st_size

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"run.html: run {told['run']} with 1 sub-plan, {size:,} bytes; open it in any browser\n"
    assert [*told["runs"]] == [told["run"], f"{told['run']}.inner"]
    assert told["runs"][f"{told['run']}.inner"]["page"]["run"]["questions"][0]["ask"] == "Go on?"


def test_it_can_be_printed(folder: Path) -> None:
    done = orchestrator(folder, "show", "last", "--html", "-")

    assert (done.returncode, done.stdout.split("\n")[0]) == (0, "<!doctype html>")


def test_a_file_that_cannot_be_written_is_a_usage_error(folder: Path) -> None:
    done = orchestrator(folder, "show", "last", "--html", "nowhere/run.html")

    assert (done.returncode, done.stderr) == (
        2,
        "error: nowhere/run.html cannot be written: No such file or directory; name a file in a folder of yours\n",
    )


def test_a_run_that_is_not_there_is_said_so(folder: Path) -> None:
    done = orchestrator(folder, "show", "nothing-here", "--html", "run2.html")

    assert done.returncode == 2
    assert "nothing-here" in done.stderr
    assert not (folder / "run2.html").exists()
