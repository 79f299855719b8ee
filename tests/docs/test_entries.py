"""The commands a newcomer and the integration machine type: what they accept, what they pass on."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ENTRIES = [
    *(
        "bench",
        "bench-queues",
        "check",
        "clean",
        "cover",
        "demo",
        "demo-fleet",
        "fmt",
        "help",
        "lint",
        "lock",
        "mutate",
        "prove",
        "soak",
        "test",
        "test-all",
        "test-live",
        "types",
    ),
]


def script(path: Path, body: str) -> None:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def run(command: list[str | Path], cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run to the end, output as text."""
    return subprocess.run(command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, check=False)


def test_help_lists_every_entry(root: Path) -> None:
    makefile = (root / "Makefile").read_text()
    targets = {t for t in re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, flags=re.MULTILINE) if not t.startswith("env")}
    listed = [line.split()[1] for line in run(["make", "--no-print-directory", "help"], root).stdout.splitlines()]

    assert sorted(listed) == sorted(targets) == ENTRIES


@pytest.mark.parametrize(("ended", "passed_on"), [(0, 0), (7, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)])
def test_the_demo_accepts_success_and_named_gaps_only(ended: int, passed_on: int, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "tools", tmp_path / "tools")
    said = '{\n  "headline": "all well",\n  "counts": {}\n}'
    answers = f"case $1 in run) echo '{said}'; exit {ended} ;; plan) echo flowchart ;; esac"
    script(tmp_path / ".venv" / "bin" / "orchestrator", f'echo "$@" >>asked\n{answers}')

    done = run([tmp_path / "tools" / "demo.sh", "-i", "x=1"], tmp_path)

    asked = ["run plans/dependency-audit.plan.yaml -i out=demo-output -i x=1", "plan draw --run last --format mermaid"]
    wrote = "demo: all well\ndemo: wrote demo-output/result.json\ndemo: wrote demo-output/run.mmd\n"
    assert (done.returncode, done.stdout) == (passed_on, "" if passed_on else wrote)
    assert (tmp_path / "asked").read_text().splitlines() == (asked[:1] if passed_on else asked)


@pytest.mark.parametrize(("failing", "code"), [("none", 0), ("check", 1), ("test-all", 1)])
def test_integration_runs_every_stage_and_reports_any_failure(
    failing: str, code: int, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / ".ci", tmp_path / ".ci")
    script(tmp_path / "bin" / "make", f'echo "CI=$CI $1" >> made; [ "$1" != {failing} ]')

    done = run([tmp_path / ".ci" / "run"], tmp_path, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}", CI="")

    assert done.returncode == code, done.stdout + done.stderr
    assert [line for line in (tmp_path / "made").read_text().splitlines() if "check" in line or "test-all" in line] == [
        "CI=true check",
        "CI=true test-all",
    ]


def test_without_chromium_and_without_a_way_to_get_one_the_finder_says_so(root: Path, tmp_path: Path) -> None:
    for tool in ("bash", "id"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or pytest.fail(f"no {tool} on PATH"))

    done = run([tmp_path / "bash", root / "tools" / "ensure-chromium.sh"], root, PATH=str(tmp_path), CHROMIUM="")

    assert (done.returncode, done.stdout) == (3, "")
    assert "set CHROMIUM" in done.stderr


def test_an_environment_that_holds_its_lock_is_left_alone(root: Path, tmp_path: Path) -> None:
    """The key says so; a changed lock makes it install again, here with an installer that only leaves a trace."""
    shutil.copytree(root / "tools", tmp_path / "tools")
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(root / name, tmp_path)
    script(tmp_path / ".venv" / "bin" / "python", "exit 0")
    script(tmp_path / "bin" / "uv", 'echo "$@" >> installed')
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    trace = tmp_path / "installed"

    def installs(kind: str, **env: str) -> list[str]:
        trace.unlink(missing_ok=True)
        done = run([tmp_path / "tools" / "venv.sh", ".venv", kind], tmp_path, PATH=path, **({"CI": ""} | env))
        assert done.returncode == 0, done.stderr
        lines = trace.read_text().splitlines() if trace.exists() else []
        return [line.removeprefix("pip install --quiet --python .venv/bin/python ") for line in lines]

    itself = "--no-deps --no-build-isolation -e ."
    assert installs("run") == ["--require-hashes -r requirements.lock", itself]
    assert installs("run") == []
    assert installs("dev") == ["--require-hashes -r requirements-dev.lock", itself]
    assert installs("run") == []  # the development set contains it
    (tmp_path / "requirements-dev.lock").write_text("# another\n")
    assert installs("dev", CI="true") == ["--require-hashes --only-binary :all: -r requirements-dev.lock", itself]
