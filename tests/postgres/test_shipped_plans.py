"""The shipped plans end on PostgreSQL as they end on a SQLite file: equal outcomes, by digest."""

import hashlib
import importlib.metadata
import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Shell, shell

__all__ = ["shell"]
ROOT = Path(__file__).resolve().parents[2]


def outcome_digest(document: dict, page: Path) -> str:
    """Of everything in a run's document but its id and its clock, and of the page it published."""
    published = ""
    if page.exists():  # it names the run, so its own digest differs with every run
        published = page.read_text()
        del document["output"]["published"]["sha256"]
    steps = {
        name: {key: value for key, value in step.items() if key not in {"started_at", "ended_at"}}
        for name, step in document["steps"].items()
    }
    kept = {key: document[key] for key in ("status", "output", "gaps", "usage")} | {"steps": steps, "page": published}
    text = json.dumps(kept, sort_keys=True).replace(document["run"], "RUN")  # effects name it in their keys
    return hashlib.sha256(text.encode()).hexdigest()


def prepare(home: Path) -> None:
    (home / "pins.txt").write_text("".join(f"{n}=={importlib.metadata.version(n)}\n" for n in ("anyio", "idna")))
    shutil.copy(ROOT / "CHANGELOG.md", home)
    (home / "app").mkdir()
    (home / "app" / "a.py").write_text('"""Does a."""\n')


@pytest.mark.parametrize(
    ("plan", "inputs"),
    [
        ("dependency-audit", ["requirements=pins.txt", "out=audit"]),
        ("release-notes", []),
        ("publish-report", ['folders=["app"]']),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_outcome_does_not_depend_on_the_store(shell: Shell, postgres_url: str, plan: str, inputs: list[str]) -> None:
    del shell.env["ORCHESTRATOR_POOLS"]
    prepare(shell.home)
    given = [word for each in inputs for word in ("-i", each)]
    digests = []
    for store in ("sqlite:///.orchestrator/journal.db", postgres_url):
        command = ["run", str(ROOT / "plans" / f"{plan}.plan.yaml"), "--store", store, "--json", *given]
        told = shell(*command, code=None)
        document = told.json
        if told.code == 4:
            shell("approve", document["run"], "approve", "--choice", "publish", "--reason", "read it", "--store", store)
            document = shell("show", document["run"], "--json", "--store", store).json
        assert document["status"] in {"succeeded", "degraded"}
        digests.append(outcome_digest(document, shell.home / "build" / "house-report.md"))
        shutil.rmtree(shell.home / "build", ignore_errors=True)
        shutil.rmtree(shell.home / "audit", ignore_errors=True)
    assert digests[0] == digests[1]
