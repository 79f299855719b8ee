"""Time in which a whole process stood still is not a guard's: nobody is stopped by a clock that ran alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.safety.stopping_guards import CROWD, LIMIT_S


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("plain", "1 ('Succeeded', [])"),
        ("crowd", f"{CROWD} ('Succeeded', [])"),
        ("asynchronous", "1 ('Succeeded', [])"),
        ("endless", "1 ('Failed', [('g', 'input', 'block', ('it said nothing within 2 s',))])"),
    ],
)
def test_a_process_that_stood_still_amid_a_look_gives_the_guard_the_rest_of_its_time(kind: str, said: str) -> None:
    command = [sys.executable, "-m", "tests.safety.stopping_guards", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        try:
            stopped = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            assert stopped is not None
            assert stopped.si_code == os.CLD_STOPPED
            time.sleep(2 * LIMIT_S)  # what is tested is that these seconds are nobody's
            process.send_signal(signal.SIGCONT)
            told, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (told.strip(), process.returncode) == (said, 0)
