"""Every import contract bites: a breach planted in a copy of the tree is found, and found by that contract."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: contract id -> (file to plant, its text); each breach breaks its own contract, some break `layers` as well.
BREACHES = {
    "layers": ("orchestrator/ids.py", "import orchestrator.errors"),
    "pure": ("orchestrator/core/planted.py", "import time"),
    "vendors": ("orchestrator/ports/planted.py", "import redis"),
    "plan-libraries": ("orchestrator/core/planted.py", "import networkx"),
    "adapters": ("orchestrator/cli/planted.py", "import orchestrator.adapters.planted"),
    "workers-unknown": ("orchestrator/cli/planted.py", "import workers"),
    "workers": ("workers/planted.py", "import orchestrator.core"),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree of the same shape: contracts name packages, so packages are enough."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in ("core", "plan", "ports", "adapters", "cli"):
        write(tmp_path / "orchestrator" / folder / "__init__.py", "")
    write(tmp_path / "orchestrator" / "adapters" / "planted.py", "")
    for module in ("errors", "ids", "app", "fleet"):
        write(tmp_path / "orchestrator" / f"{module}.py", "")
    for package in ("orchestrator", "workers"):
        write(tmp_path / package / "__init__.py", "")
    return tmp_path


def write(path: Path, line: str) -> None:
    """One line of code, folders made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{line}\n")


def verdicts(tree: Path) -> dict[str, str]:
    """What lint-imports says of each contract, by the contract's name."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(tree), "PATH": "", "COLUMNS": "200", "NO_COLOR": "1"},
    )
    said = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, flags=re.MULTILINE))
    assert done.returncode == (1 if "BROKEN" in said.values() else 0), done.stdout + done.stderr
    return said


def contracts() -> dict[str, str]:
    """Name of each contract by its id."""
    return {
        c["id"]: c["name"]
        for c in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    }


def test_every_contract_has_a_breach() -> None:
    assert set(BREACHES) == set(contracts())


def test_a_tree_without_a_breach_keeps_them_all(tree: Path) -> None:
    assert verdicts(tree) == dict.fromkeys(contracts().values(), "KEPT")


@pytest.mark.parametrize("contract", BREACHES)
def test_a_breach_is_found(contract: str, tree: Path) -> None:
    file, line = BREACHES[contract]
    write(tree / file, line)

    assert verdicts(tree)[contracts()[contract]] == "BROKEN"


def test_a_new_part_must_find_its_layer(tree: Path) -> None:
    write(tree / "orchestrator" / "novelty.py", "")

    assert verdicts(tree)[contracts()["layers"]] == "BROKEN"


def test_app_may_name_adapters_and_workers(tree: Path) -> None:
    write(tree / "orchestrator" / "app" / "planted.py", "import orchestrator.adapters.planted, workers")

    assert verdicts(tree) == dict.fromkeys(contracts().values(), "KEPT")


def test_the_product_keeps_them_all() -> None:
    assert verdicts(ROOT) == dict.fromkeys(contracts().values(), "KEPT")
