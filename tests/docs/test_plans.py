"""Every file in plans/ is checked and run through the installed command, as its own comment says."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ask.conftest import FIXTURES, environment
from tests.ask.stand_in import stand_in

ROOT = Path(__file__).resolve().parents[2]
PLANS = sorted((ROOT / "plans").glob("*.plan.yaml"))
COMMAND = Path(sys.executable).parent / "orchestrator"


def command(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The installed command, with its journal in `folder`; `more` is put into its environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=kept | {"NO_COLOR": "1", "COLUMNS": "120"} | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run(folder: Path, plan: str, *inputs: str) -> tuple[int, dict[str, object]]:
    """Exit code and document of a run."""
    given = [word for each in inputs for word in ("-i", each)]
    done = command(folder, "run", str(ROOT / "plans" / f"{plan}.plan.yaml"), "--json", *given)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("plan", PLANS, ids=[path.name for path in PLANS])
def test_a_shipped_plan_is_valid_and_names_the_schema_for_editors(plan: Path, tmp_path: Path) -> None:
    done = command(tmp_path, "plan", "check", str(plan))
    assert done.returncode == 0, done.stdout + done.stderr
    assert plan.read_text().startswith("# yaml-language-server: $schema=plan.schema.json\n")
    assert re.search(rf"^# orchestrator run plans/{re.escape(plan.name)}", plan.read_text(), flags=re.MULTILINE)


def test_every_shipped_plan_is_run_here() -> None:
    told = Path(__file__).read_text()
    assert [plan.name for plan in PLANS if f'"{plan.name.removesuffix(".plan.yaml")}"' not in told] == []


def test_the_audit_of_a_small_requirements_file(tmp_path: Path) -> None:
    pins = "".join(f"{name}=={importlib.metadata.version(name)}\n" for name in ("anyio", "idna"))
    (tmp_path / "pins.txt").write_text(pins)

    code, document = run(tmp_path, "dependency-audit", "requirements=pins.txt", "out=audit")

    assert (code, document["status"]) in {(0, "succeeded"), (7, "degraded")}
    page = (tmp_path / "audit" / "dependency-audit.md").read_text()
    assert "anyio" in page
    assert "idna" in page
    assert (tmp_path / "audit" / "dependency-audit.html").exists()


def test_release_notes_of_this_repository(tmp_path: Path) -> None:
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    code, document = run(tmp_path, "release-notes")
    assert (code, document["status"]) == (0, "succeeded")
    output = document["output"]
    assert isinstance(output, dict)
    assert "Plans as data" in str(output["text"])


@pytest.mark.parametrize("choice", ["publish", "hold"])
def test_a_report_waits_for_a_person_who_decides(tmp_path: Path, choice: str) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a.py").write_text('"""Does a."""\n')

    code, document = run(tmp_path, "publish-report", 'folders=["app"]')
    assert (code, document["status"]) == (4, "waiting")
    assert not (tmp_path / "build").exists()
    done = command(tmp_path, "approve", str(document["run"]), "approve", "--choice", choice, "--reason", "read it")

    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "build" / "house-report.md").exists() is (choice == "publish")


def test_a_research_brief_rests_on_documents_that_were_read(tmp_path: Path) -> None:
    inputs = ["topic=crash recovery", 'questions=["How does it work?", "What are its limits?"]']
    given = [word for each in inputs for word in ("-i", each)]
    with stand_in(FIXTURES / "brief.json") as server:
        name = "research-brief"
        plan = str(ROOT / "plans" / f"{name}.plan.yaml")
        done = command(tmp_path, "run", plan, "--json", *given, **environment(server.url))
    document = json.loads(done.stdout)
    assert (done.returncode, document["status"]) == (0, "succeeded")
    assert document["output"]["documents"] == ["ARCHITECTURE.md"]
    assert document["steps"]["findings"]["attempts"] == 2  # the first answer named a document that nobody had read
