"""Task modules of users: what is wrong with one is said in its words, in time, and before anything is paid."""

import os
from pathlib import Path

import pytest

from benchmarks.architectures.families.absent import hollow
from benchmarks.architectures.host import OWN
from benchmarks.architectures.tasks import ENVIRONMENT, TaskHost, TaskHostError

GOOD = """
def make(family, seed, index):
    units = [{"id": f"u{n}", "text": f"step {n}", "needs": [], "context": 0} for n in range(2)]
    case = {"id": f"{family}/{seed}/{index}", "family": family, "klass": "coupled", "prompt": "P", "units": units}
    return case, {f"u{n}": n + seed for n in range(2)}


def right(case, gold, unit, value):
    return value == gold[unit]


def success(case, gold, final):
    return final == [gold[unit["id"]] for unit in case["units"]]


good = make


def changed(**other):
    def make(family, seed, index):
        case, gold = good(family, seed, index)
        return case | other, gold

    return make
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A family `mine` in a module of its own."""
    monkeypatch.setenv(OWN, "mine=own_tasks")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH")))))
    return tmp_path / "own_tasks.py"


def test_what_a_module_prints_is_no_answer(own: Path) -> None:
    own.write_text(GOOD + "import os\nprint('loaded')\nos.write(1, b'raw')\nos.system('echo a child')\n")

    with TaskHost() as host:
        (case,) = host.cases("mine", 3, 1)
        found = host.grade(case.id, [[3, 4]], [{"u0": 3, "u1": 9}])

    assert (case.id, case.klass) == ("mine/3/0", "coupled")
    assert found == (True, [{"u0": True, "u1": False}])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("def make(*_): raise RuntimeError('the database is down')", "the database is down .*own_tasks.py:"),
        ("def make(*_): return {}", "a pair is expected"),
        ("def make(*_): return {}, {}", "the case lacks family, id, klass, prompt, units"),
        ("make = changed(klass='hard')", "klass is 'hard'; there are decomposable"),
        ("make = changed(id='always')", "asked for was 'mine/3/0'"),
        ("make = changed(answer='7')", "a case has no answer"),
        ("make = changed(units=[])", "at least one step"),
        ("make = changed(units=[{'id': 'u0', 'text': '', 'needs': ['u1']}])", "needs 'u1', which is no earlier step"),
        ("make = changed(units=2 * [{'id': 'u0', 'text': ''}])", "two steps are called 'u0'"),
        ("make = changed(prompt=chr(0xD800))", "must be JSON"),
        ("def make(*given): return good(*given)[0], {}", "there is no answer to u0, u1"),
        ("def right(*_): return False", r"right\(\) refuses the answer to 'u0' that make\(\) gave"),
        ("def success(*_): return False", r"success\(\) refuses the answers"),
        ("def success(*_): return 1 / 0", "ZeroDivisionError.*own_tasks.py:"),
        ("import nowhere_at_all", "(?s)No module named 'nowhere_at_all'.*tools/bench-tasks.sh"),
    ],
)
def test_a_module_that_cannot_work_is_refused_when_its_tasks_are_made(own: Path, more: str, says: str) -> None:
    own.write_text(f"{GOOD}\n{more}\n")

    with TaskHost() as host, pytest.raises(TaskHostError, match=says):
        host.cases("mine", 3, 1)


def test_a_grader_that_hangs_is_stopped_and_named(own: Path) -> None:
    own.write_text(GOOD + "def success(*_):\n    print('I wait')\n    import threading\n    threading.Event().wait()\n")

    with TaskHost(patience_s=3.0) as host, pytest.raises(TaskHostError, match=r"(?s)`cases` within 3 s.*\| I wait"):
        host.cases("mine", 3, 1)


def test_a_grader_that_breaks_on_junk_calls_it_wrong_and_it_is_counted(own: Path) -> None:
    own.write_text(GOOD + "def success(case, gold, final): return len(final) == 2\n")

    with TaskHost() as host:
        assert host.grade("mine/3/0", [5], []) == (False, [])
        assert host.broke == ["TypeError: object of type 'int' has no len()"]


def test_an_interpreter_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "/nowhere/python")

    with pytest.raises(TaskHostError, match=r"(?s)/nowhere/python\) cannot be started.*remedy"), TaskHost():
        pass


def test_a_stand_in_for_an_absent_package_holds_nothing() -> None:
    fonts = hollow("FigletFont")

    assert list(fonts.getFonts()) == []  # type: ignore[attr-defined]  # every name is there
    assert issubclass(type("Own", (fonts,), {}), fonts)
