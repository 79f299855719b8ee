"""The tool that changes the core finds what tests notice and what they do not, and goes on where it stopped."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SOURCE = '''"""A package."""

LIMIT = 3


def clamp(number: int, most: int = 10) -> int:
    """At most `most`."""
    if number > most:
        return most
    while number < 0:
        number += 1
    return number


def unused(flag: bool) -> bool:
    assert flag, "says what holds anyway"
    return not flag
'''
TESTS = """from pkg.calc import LIMIT, clamp


def test_clamp() -> None:
    assert LIMIT == 3
    assert [clamp(n) for n in (9, 10, 11, 50)] == [9, 10, 10, 10]
    assert [clamp(-2), clamp(-1)] == [0, 0]
"""
ALIVE = [
    "alive  pkg/calc.py:8: comparison: number > most  ->  number >= most",
    "alive  pkg/calc.py:17: not: not flag  ->  flag",
    "alive  pkg/calc.py:17: return: return not flag  ->  return None",
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "mutate.py", tmp_path / "tools")
    for folder, name, text in (("pkg", "calc.py", SOURCE), ("checks", "test_calc.py", TESTS)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    return tmp_path


def mutate(checkout: Path, *more: str) -> tuple[int, list[str]]:
    command = [sys.executable, "tools/mutate.py", "--package", "pkg", "--tests", "checks", "--patience", "0", *more]
    env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # a second for each of many processes
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, [line for line in done.stdout.splitlines() if line.startswith(("alive", "mutate"))]


def test_it_tells_what_nobody_noticed_and_goes_on_where_it_stopped(checkout: Path) -> None:
    code, said = mutate(checkout, "--sample", "3")
    assert said[-2].startswith("mutate: 3 of ")
    code, said = mutate(checkout, "--sample", "0", "--least", "100")
    assert [line for line in said if line.startswith("alive")] == ALIVE
    assert code == 1
    (results,) = (checkout / ".prove").glob("*.jsonl")
    judged = results.read_text().splitlines()
    whole = len(judged)
    hung = sum("hung" in line for line in judged)
    assert hung >= 1, "a loop that does not end any more"
    assert said[-2] == f"mutate: {whole} of {whole} mutants judged: {whole - hung - 3} killed, {hung} hung, 3 alive"
    assert said[-1] == f"mutate: score {100 * (whole - 3) / whole:.1f} %"
    assert mutate(checkout, "--sample", "0", "--least", "10", "--show") == (0, said)
    assert (checkout / "pkg" / "calc.py").read_text() == SOURCE
    assert len(results.read_text().splitlines()) == whole


def test_tests_that_fail_unchanged_judge_nothing(checkout: Path) -> None:
    (checkout / "checks" / "test_calc.py").write_text("def test_no() -> None:\n    assert False\n")
    code, said = mutate(checkout)
    assert (code, said) == (1, [])
