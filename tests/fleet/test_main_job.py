"""The shipped plans, unchanged, on PostgreSQL and Redis: the same outcome as in one process, digest for digest."""

import importlib.metadata
import json
from pathlib import Path

import pytest

from orchestrator.ids import JsonValue
from orchestrator.plan.models import digest_of
from tests.fleet.conftest import Site
from workers import Registry

pytestmark = [pytest.mark.crash, pytest.mark.slow]


def outcome(said: str) -> str:
    """The digest of what a run came to: its output and gaps, and how each step ended; not when, where and how fast."""
    document: dict[str, JsonValue] = json.loads(said)
    run = str(document["run"])
    steps = document["steps"]
    assert isinstance(steps, dict)
    ends: dict[str, JsonValue] = {name: step["status"] for name, step in steps.items()}  # type: ignore[index,call-overload]
    kept: JsonValue = {
        "status": document["status"],
        "output": document["output"],
        "gaps": document["gaps"],
        "ends": ends,
    }
    return str(digest_of(json.loads(json.dumps(kept).replace(run, "RUN"))))


def both(site: Site, plan: Path, *words: str, code: int) -> tuple[str, str]:
    """The outcome in one process on a file, and on the fleet."""
    local = site.run(
        "run", str(plan), *words, "--json", code=code, ORCHESTRATOR_STORE=f"sqlite:///{plan.stem}.db",
        ORCHESTRATOR_TRANSPORT="memory:", ORCHESTRATOR_POOLS="workers.kinds",
    )  # fmt: skip
    fleet = site.run("run", str(plan), *words, "--json", code=code, ORCHESTRATOR_POOLS="workers.kinds")
    return outcome(local.stdout), outcome(fleet.stdout)


def test_the_shipped_plans_end_the_same_on_a_fleet(site: Site, root: Path) -> None:
    pools = [word for pool in Registry.from_modules() for word in ("--pool", pool.name)]
    site.start("supervise", log="supervisor.log", ORCHESTRATOR_POOLS="workers.kinds")
    site.start("worker", *pools, log="worker.log", ORCHESTRATOR_POOLS="workers.kinds")
    site.until("owns runs in", "supervisor.log")
    site.until("serves ", "worker.log")

    versions = {name: importlib.metadata.version(name) for name in ("idna", "sniffio")}
    pins = "".join(f"{name}=={version}\n" for name, version in versions.items())
    (site.folder / "pins.txt").write_text(pins + "no-such-package==1\n")
    audit = root / "plans" / "dependency-audit.plan.yaml"
    alone, fleet = both(site, audit, "-i", "requirements=pins.txt", "-i", "out=report", code=7)
    assert fleet == alone

    (site.folder / "CHANGELOG.md").write_text("# Changelog\n\n## 1.0\n\n- Works.\n")
    (site.folder / "page.md").write_text("# Page\n\n[broken](gone.md)\n")
    alone, fleet = both(site, root / "plans" / "release-notes.plan.yaml", "-i", f"root={site.folder}", code=7)
    assert fleet == alone


def test_a_person_answers_from_a_second_terminal(site: Site, root: Path) -> None:
    kinds = {"ORCHESTRATOR_POOLS": "workers.kinds"}
    (site.folder / "app").mkdir()
    (site.folder / "app" / "a.py").write_text('"""Does a."""\n')
    site.start("supervise", log="supervisor.log", **kinds)
    site.start("worker", "--pool", "house", log="worker.log", **kinds)
    site.until("serves house", "worker.log")
    plan = root / "plans" / "publish-report.plan.yaml"
    words = ("-i", f"root={site.folder}", "-i", 'folders=["app"]')

    asked = site.run("run", str(plan), *words, "--detach-on-wait", "--json", code=4, **kinds)
    run = json.loads(asked.stdout)["run"]
    site.run("approve", run, "approve", "--choice", "publish", "--reason", "read it", **kinds)
    shown = site.run("watch", run, **kinds)

    assert "succeeded" in shown.stderr
    written = site.folder / "build" / "house-report.md"
    assert written.read_text().endswith(f"<!-- published as {run}/publish -->\n")
