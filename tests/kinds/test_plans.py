"""The shipped plans are valid against the shipped pools, and naming the pools is cheap."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.plan.check import check_plan
from orchestrator.plan.files import read_plan_file
from workers.registry import Registry

PLANS = sorted((Path(__file__).parents[2] / "plans").glob("*.plan.yaml"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_a_shipped_plan_has_nothing_wrong(path: Path) -> None:
    source = read_plan_file(path)

    report = check_plan(source.plan, Registry.from_modules(), source.sources.issue)

    assert (report.errors, report.warnings) == ((), ())
    assert path.read_text().startswith("# yaml-language-server: $schema=plan.schema.json\n")
    assert source.plan.description
    assert path.name == f"{source.plan.name}.plan.yaml"


def test_the_three_plans_are_there() -> None:
    names = [path.name for path in PLANS]

    assert {"dependency-audit.plan.yaml", "publish-report.plan.yaml", "release-notes.plan.yaml"} <= set(names)


def test_naming_the_shipped_pools_imports_none_of_them() -> None:
    code = "import sys, workers.kinds; print(sorted(name for name in sys.modules if name.startswith('workers.kinds.')))"

    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PLANS[0].parents[1]
    )

    assert found.stdout == "[]\n"
