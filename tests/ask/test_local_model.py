"""The local model: found or named as missing, served for one block, and never left behind."""

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import anyio
import pytest

from orchestrator.adapters.local_model import weights
from orchestrator.adapters.local_model.server import LocalModel, local_model
from orchestrator.errors import PromiseError
from tests.ask.conftest import with_variable
from tests.cli.conftest import COMMAND

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]
PATIENCE_S = 60.0


def gone(pid: int) -> bool:
    """Whether a process has ended: there is none of that number, or only what its parent has not looked at."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def asked(model: LocalModel, path: str, body: object = None, key: str | None = None) -> tuple[int, dict[str, object]]:
    """Status and document of one request."""
    request = urllib.request.Request(
        model.base_url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key or model.api_key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {}


async def test_without_the_package_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE", "no-such-package-anywhere")
    with pytest.raises(PromiseError, match=r"no model on this machine; install it: pip install .*\[local\]"):
        async with local_model():
            pass


async def test_without_the_engine_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "ENGINE", "no_such_module_anywhere")
    with pytest.raises(PromiseError, match=r"engine of the local model is not installed; install it: pip install"):
        async with local_model():
            pass


async def test_weights_that_are_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(PromiseError, match=r"no file .*missing\.gguf"):
        async with local_model(tmp_path / "missing.gguf"):
            pass


async def test_weights_other_than_those_published_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "changed_weights-0.1.2.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: changed-weights\nVersion: 0.1.2\n")
    (package / "RECORD").write_text("changed.gguf,,\n")
    (tmp_path / "changed.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(weights, "PACKAGE", "changed-weights")
    with pytest.raises(PromiseError, match=r"is not the file that changed-weights 0\.1\.2 was published with"):
        async with local_model():
            pass


async def test_a_file_that_is_no_model_ends_with_what_the_engine_says(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"no model")
    with pytest.raises(PromiseError, match=r"(?s)the local model did not start; its log ends with: .+"):
        async with local_model(tmp_path / "broken.gguf"):
            pass


@pytest.mark.model
async def test_a_model_serves_its_key_alone_for_as_long_as_the_block(smollm2: Path) -> None:
    async with local_model(smollm2) as model:
        messages = [{"role": "user", "content": "Say hello."}]
        body = {"messages": messages, "max_tokens": 8, "temperature": 0}
        status, document = asked(model, "/chat/completions", body)
        assert status == 200
        assert document["usage"]["completion_tokens"] > 0  # type: ignore[index]  # a document of the API
        assert asked(model, "/chat/completions", body, key="sk-somebody-else")[0] == 401
        assert model.base_url.startswith("http://127.0.0.1:")
        command_line = Path(f"/proc/{model.pid}/cmdline").read_text()
        assert model.api_key not in command_line  # which every user of the machine can read
    assert gone(model.pid)


@pytest.mark.model
async def test_an_error_in_the_block_ends_the_model_too(smollm2: Path) -> None:
    async def fail() -> None:
        async with local_model(smollm2) as model:
            raise KeyError(model.pid)

    with pytest.raises(KeyError) as raised:
        await fail()
    assert gone(raised.value.args[0])


@pytest.mark.model
@pytest.mark.crash
async def test_a_model_does_not_outlive_a_killed_parent(smollm2: Path) -> None:
    keeper = subprocess.Popen(  # noqa: ASYNC220  # a process to be killed, not to be awaited
        [sys.executable, Path(__file__).with_name("keeper.py"), smollm2], stdout=subprocess.PIPE, text=True
    )
    with keeper:
        assert keeper.stdout is not None
        assert select.select([keeper.stdout], [], [], PATIENCE_S)[0], "the model did not start"
        pid = int(keeper.stdout.readline())
        assert not gone(pid)
        watched = os.pidfd_open(pid)
        try:
            keeper.send_signal(signal.SIGKILL)
            assert select.select([watched], [], [], PATIENCE_S)[0], "the model is an orphan"
        finally:
            os.close(watched)


def holds_a_model(pid: int) -> bool:
    try:
        return b"local_model/child.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False  # it has ended


@pytest.mark.model
@pytest.mark.crash
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_a_question_that_is_ended_leaves_no_model_behind(
    smollm2: Path, tmp_path: Path, number: signal.Signals
) -> None:
    mark = {"ORCHESTRATOR_TEST_MARK": str(tmp_path), "ORCHESTRATOR_DRAIN_S": "0"}
    env = os.environ | mark | {"ORCHESTRATOR_LOCAL_WEIGHTS": str(smollm2)}
    child = subprocess.Popen(  # noqa: ASYNC220  # a process to be ended, not to be awaited
        [COMMAND, "ask", "--local", "Name three colours."],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    name, value = "ORCHESTRATOR_TEST_MARK", str(tmp_path)
    with child:
        assert child.stderr is not None
        lines = iter(child.stderr)
        assert any("running" in line for line in lines), "the run did not start"
        # Beside the command and the model there may be children that read documents, for a moment.
        assert len([pid for pid in with_variable(name, value) if holds_a_model(pid)]) == 1
        child.send_signal(number)
        for _ in lines:
            pass
        assert child.wait(PATIENCE_S) in {128 + number, -number}
    end_s = time.monotonic() + PATIENCE_S
    while with_variable(name, value):
        assert time.monotonic() < end_s, "the model is an orphan"
        await anyio.sleep(0.05)
