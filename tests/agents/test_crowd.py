"""A thousand agents at once in one process stay within a gibibyte."""

import json
import subprocess
import sys
from pathlib import Path

AGENTS = 1_000  #: the number that is promised; it takes seconds, so it is the default size too
RSS_BYTES_MAX = 2**30


def test_a_thousand_agent_runs_at_once_in_one_process(root: Path) -> None:
    command = [sys.executable, "-m", "tests.agents.crowd", str(AGENTS)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    print(said)
    assert said["at_once"] == AGENTS
    assert said["rss_most"] < RSS_BYTES_MAX
