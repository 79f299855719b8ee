"""An import directory of its own for each test, and a context that remembers."""

import sys
from pathlib import Path

import pytest

from tests.kinds.distmaker import Ctx
from workers.kinds import distributions


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory that the interpreter imports distributions from; the environment is its parent."""
    site = (tmp_path / "env" / "site").resolve()
    site.mkdir(parents=True)
    monkeypatch.setattr(distributions, "import_roots", lambda: [site])
    monkeypatch.setattr(sys, "prefix", str(site.parent))
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.fixture
def ctx() -> Ctx:
    return Ctx()
