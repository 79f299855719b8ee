"""Code of a model: fenced in, told how it ended, and not run at all unless the host said so."""

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import pytest

from orchestrator.errors import PromiseError
from tests.agents.saying import Saying, calls, says
from tests.workers.conftest import Bench, Stood
from workers import standstill
from workers.kinds import data as data_module
from workers.kinds import sandbox
from workers.kinds.sandbox import OUTPUT_BYTES_MAX, Limits, Ran, own_network, run_code

pytestmark = pytest.mark.anyio
Start = Callable[..., AbstractAsyncContextManager[Bench]]
QUICK = Limits(wall_s=20.0, cpu_s=2, network=not own_network())


async def ran(code: str, inputs: object = None, limits: Limits = QUICK) -> Ran:
    return await run_code(code, inputs, limits)  # type: ignore[arg-type]  # JSON


async def test_code_reads_its_inputs_and_leaves_a_result() -> None:
    code = "import json\nd = json.load(open('inputs.json'))\nprint('hi')\n"
    code += "json.dump(sum(d['xs']), open('result.json', 'w'))"
    assert await ran(code, {"xs": [1, 2, 3]}) == Ran(ok=True, printed="hi\n", result=6)


async def test_an_error_is_told_with_its_traceback() -> None:
    found = await ran("def f():\n    return 1 / 0\nf()")
    assert (found.ok, found.problem) == (False, "it ended with exit code 1")
    assert "ZeroDivisionError: division by zero" in found.printed


async def test_the_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-yours")
    found = await ran("import os\nprint(sorted(os.environ))")
    assert set(eval(found.printed)) <= {"LC_CTYPE"}


async def test_there_is_no_network() -> None:
    if not own_network():
        pytest.skip("this system gives a process no network of its own")
    code = (
        "import socket\ns = socket.socket()\ns.settimeout(2)\n"
        "try:\n    s.connect(('127.0.0.1', 9))\nexcept OSError as e:\n"
        "    print(e.errno in (99, 100, 101), len(socket.if_nameindex()))"
    )
    assert (await ran(code)).printed == "True 1\n"


async def test_time_is_bounded() -> None:
    found = await ran("while True: pass")
    assert (found.ok, found.problem) == (False, "it was ended by SIGXCPU; its time on the processor was up")
    slept = await ran("import time\ntime.sleep(60)", limits=Limits(wall_s=0.5, network=QUICK.network))
    assert (slept.ok, slept.problem) == (False, "it did not end within 0.5 s")


async def test_time_in_which_this_process_stood_still_is_not_the_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "STANDSTILL", Stood())
    code = "import time\nprint('a', flush=True)\ntime.sleep(0.1)\nprint('b')"
    slept = await ran(code, limits=Limits(wall_s=0.01, network=QUICK.network))
    assert (slept.ok, slept.printed) == (True, "a\nb\n")


async def test_memory_files_and_processes_are_bounded() -> None:
    assert "MemoryError" in (await ran("x = bytearray(10**10)")).printed
    grown = await ran("open('big', 'wb').write(b'x' * (64 << 20))")
    assert "File too large" in grown.printed or "SIGXFSZ" in grown.problem
    many = await ran("fs = [open('f%d' % n, 'w') for n in range(200)]")
    assert "Too many open files" in many.printed
    if os.geteuid() or sandbox._NOBODY:  # root's children run as nobody, whose limit counts
        assert "BlockingIOError" in (await ran("import os\nos.fork()")).printed


async def test_what_it_prints_is_cut() -> None:
    found = await ran("print('x' * 1_000_000)")
    assert found.ok
    assert len(found.printed) == OUTPUT_BYTES_MAX + len("\n[cut]")


async def test_a_result_that_is_none_is_refused() -> None:
    for text, why in (("'{'", "Expecting"), ("'NaN'", "NaN is no JSON number"), ("'[' * 100_000", "nested too deep")):
        found = await ran(f"open('result.json', 'w').write({text})")
        assert found.problem.startswith("result.json cannot be read: ")
        assert why in found.problem
    assert (await ran("import os\nos.symlink('/etc/hostname', 'result.json')")).result is None


async def test_nothing_of_it_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.tempfile, "tempdir", str(tmp_path))
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.name.startswith("pytest-"):
            parent.chmod(0o755)
    async with anyio.create_task_group() as group:
        group.start_soon(ran, "import time\nopen('mark', 'w').close()\ntime.sleep(60)")
        while not list(tmp_path.iterdir()):  # noqa: ASYNC110  # a file appears; nobody tells
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert list(tmp_path.iterdir()) == []


async def test_it_is_off_until_the_host_turns_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data_module.VARIABLE, raising=False)
    with pytest.raises(PromiseError, match=r"is off; set ORCHESTRATOR_MODEL_CODE=on"):
        data_module.code_allowed()
    monkeypatch.setenv(data_module.VARIABLE, "yes")
    with pytest.raises(PromiseError, match="use off, on, on-with-network"):
        data_module.code_allowed()
    monkeypatch.setenv(data_module.VARIABLE, "on")
    monkeypatch.setattr(data_module, "own_network", lambda: 0)
    with pytest.raises(PromiseError, match="no network of its own"):
        data_module.code_allowed()
    monkeypatch.setenv(data_module.VARIABLE, "on-with-network")
    assert data_module.code_allowed().network


async def test_the_agent_runs_code_over_the_values_of_its_step(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(data_module.VARIABLE, "on" if own_network() else "on-with-network")
    code = "import json\nd = json.load(open('inputs.json'))\nprint(max(d['prices']))"
    models = Saying([calls(("run_python", {"code": code})), says("9")])
    async with start(data_module.data, models) as bench:
        assert await bench.output(None, {"prices": [3, 9, 4]}, instruction="The highest price?") == "9"
    assert '"printed":"9\\n"' in models.prompts[1].messages[-1].content


async def test_code_that_was_turned_off_is_not_run(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(data_module.VARIABLE, "off")
    async with start(data_module.data, Saying([])) as bench:
        failed = await bench.failure("run", {"code": "print(1)"})
    assert (failed.error, "is off" in failed.message) == ("terminal", True)
