"""Small suites for the tests of the harness."""

import json
from pathlib import Path

import pytest

from benchmarks.architectures.command import Options


@pytest.fixture
def suite_file(tmp_path: Path) -> Path:
    """Four classes, few instances, a sweep of one line."""
    data = {
        "families": {"map-reduce": 2, "chain": 2, "knot": 2, "toolbox": 2},
        "info": 0,
        "sweep": {
            "families": ["map-reduce"],
            "count": 2,
            "architectures": ["single", "ours"],
            "values": {"detect": [0.1, 0.9]},
        },
    }
    path = tmp_path / "small.json"
    path.write_text(json.dumps(data))
    return path


@pytest.fixture
def options(suite_file: Path, tmp_path: Path) -> Options:
    """The small suite, into a folder of its own."""
    return Options(suite=str(suite_file), output=tmp_path / "out", seed=3)
