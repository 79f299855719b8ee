"""The shipped plans run to their ends on real packages and on this repository's own files."""

import importlib.metadata
import shutil
from pathlib import Path

import pytest

from orchestrator.app import Engine
from orchestrator.core.results import Degraded, Succeeded
from orchestrator.engine.operations import Operations
from orchestrator.plan.files import load_plan

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # threads and child processes do real work: a jumping clock would not see it


async def test_the_audit_of_a_requirements_file_names_what_it_lacks(tmp_path: Path) -> None:
    versions = {name: importlib.metadata.version(name) for name in ("idna", "sniffio")}
    pins = "".join(f"{name}=={version}\n" for name, version in versions.items())
    (tmp_path / "pins.txt").write_text(pins + "no-such-package==1\n")

    async with Engine(store="memory:") as engine:
        run = await engine.submit(
            load_plan(ROOT / "plans" / "dependency-audit.plan.yaml"),
            {"requirements": str(tmp_path / "pins.txt"), "out": str(tmp_path / "out")},
        )
        result = await run.result()

    assert isinstance(result, Degraded)
    assert isinstance(result.output, dict)
    reason = "pins.txt:3 asks for no-such-package==1: not installed in this environment"
    assert result.output["gaps"] == [{"package": "no-such-package", "what": "metadata", "reason": reason}]
    assert result.gaps[0].reason.endswith(reason)
    assert (
        result.output["headline"] == "2 of 3 licences known; 0 findings of high severity; every requirement met; 1 gap"
    )
    page = (tmp_path / "out" / "dependency-audit.html").read_text()
    assert all(f'"package-{name}"' in page for name in (*versions, "no-such-package"))
    assert f"{run.id}/report" in page


async def test_release_notes_are_made_of_this_repository(tmp_path: Path) -> None:
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path / "CHANGELOG.md")
    (tmp_path / "page.md").write_text("# Page\n\n[broken](gone.md)\n")

    async with Engine(store="memory:") as engine:
        plan = load_plan(ROOT / "plans" / "release-notes.plan.yaml")
        result = await (await engine.submit(plan, {"root": str(tmp_path)})).result()
        (tmp_path / "page.md").write_text("# Page\n\n[good](CHANGELOG.md)\n")
        mended = await (await engine.submit(plan, {"root": str(tmp_path)})).result()

    assert isinstance(result, Degraded)
    assert [(gap.step, gap.reason) for gap in result.gaps] == [
        ("links", "page.md:3 links to gone.md: there is no such file")
    ]
    assert isinstance(result.output, dict)
    assert "not all links hold:\n\n- page.md:3 links to gone.md" in str(result.output["text"])
    assert isinstance(mended, Succeeded)


@pytest.mark.parametrize("choice", ["publish", "hold"])
async def test_a_report_is_published_when_a_person_says_so_and_only_then(tmp_path: Path, choice: str) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a.py").write_text('"""Does a."""\n')

    async with Engine(store="memory:") as engine:
        plan = load_plan(ROOT / "plans" / "publish-report.plan.yaml")
        run = await engine.submit(plan, {"root": str(tmp_path), "folders": ["app"]})
        assert await run.result_or_waiting() is None
        assert not (tmp_path / "build").exists()
        operations = Operations(engine.runs)
        [asked] = await operations.approvals(run.id)
        await operations.approve(run.id, asked.step, choice, reason="read it")
        result = await run.result()

    assert isinstance(result, Succeeded)
    assert isinstance(result.output, dict)
    assert result.output["choice"] == choice
    written = tmp_path / "build" / "house-report.md"
    assert written.exists() == (choice == "publish")
    if choice == "publish":
        assert written.read_text().endswith(f"<!-- published as {run.id}/publish -->\n")
