"""Tasks of public benchmarks: the answers of their authors pass their graders, and bent ones do not."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from benchmarks.architectures.host import HOSTS
from benchmarks.architectures.simulated import bent
from benchmarks.architectures.tasks import ENVIRONMENT, TaskHost

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.tasks
FAMILIES = [name for name, module in HOSTS.items() if module != "generated_host"]
INSTALL_S = 240  #: at most; some ten seconds of processor time
LENIENT = {"dojo-banking"}  #: a check by state may not look at every argument of a call


@pytest.fixture(scope="module")
def packages() -> None:
    """The environment with the task packages. In CI it is made from its lock, and a wheel that is missing fails."""
    if os.environ.get(ENVIRONMENT):
        return
    if os.environ.get("CI") == "true":
        subprocess.run([str(ROOT / "tools" / "bench-tasks.sh")], check=True, timeout=INSTALL_S)
    elif not (ROOT / ".venv-tasks" / ".locked").exists():
        pytest.skip("no task packages; tools/bench-tasks.sh installs them")


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("family", FAMILIES)
def test_answers_of_the_authors_pass_and_bent_ones_do_not(family: str) -> None:
    with TaskHost() as host:
        cases = host.cases(family, 7, 3)
        golds = host.golds([case.id for case in cases])
        for case in cases:
            gold = {unit.id: golds[case.id][unit.id] for unit in case.units}
            wrong = gold | {case.units[-1].id: bent(gold[case.units[-1].id], 1)}

            assert host.grade(case.id, [case.answer(gold)], [gold]) == (True, [dict.fromkeys(gold, True)])
            passed, steps = host.grade(case.id, [case.answer(wrong)], [wrong])
            assert not passed or family in LENIENT
            assert steps[0][case.units[-1].id] is False
            assert not host.grade(case.id, [None], [{}])[0]


@pytest.mark.usefixtures("packages")
def test_the_same_seed_gives_the_same_tasks() -> None:
    with TaskHost() as one, TaskHost() as two:
        for family in FAMILIES:
            first, second = one.cases(family, 9, 2), two.cases(family, 9, 2)
            assert json.dumps([case.to_json() for case in first]) == json.dumps([case.to_json() for case in second])
