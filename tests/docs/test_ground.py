"""What tests/conftest.py promises to every other test."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.sizes import CI, PROVE

HOUR_S = 3600.0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_loopback_is_allowed(anyio_backend: str) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with await anyio.connect_tcp("localhost", port):
            pass


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("example.test", 80)])
def test_the_network_is_not(address: tuple[str, int]) -> None:
    with socket.socket() as sock, pytest.raises(pytest.fail.Exception, match="reached for the network"):
        sock.connect(address)


def test_names_are_not_looked_up() -> None:
    with pytest.raises(pytest.fail.Exception, match="looked up a name"):
        socket.create_connection(("example.test", 80))


@pytest.mark.anyio
async def test_an_hour_passes_at_once_on_the_jumping_clock(anyio_backend: tuple[str, dict[str, object]]) -> None:
    if anyio_backend[0] == "asyncio":
        assert anyio_backend[1] == {}
        return
    before = anyio.current_time()
    await anyio.sleep(HOUR_S)
    assert anyio.current_time() - before == pytest.approx(HOUR_S)


def test_a_proof_is_nowhere_smaller_than_the_daily_set() -> None:
    counts = [name for name in CI.__slots__ if name not in {"name", "crash_stride"}]
    assert [name for name in counts if getattr(PROVE, name) <= getattr(CI, name)] == []
    assert PROVE.crash_stride == 1


@pytest.mark.parametrize(("wanted", "code"), [("", 0), ("full", 0), ("ful", 1)])
def test_a_misspelt_proof_is_refused(wanted: str, code: int, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import tests.sizes"],
        cwd=root,
        env=os.environ | {"ORCHESTRATOR_PROVE": wanted},
        capture_output=True,
        check=False,
    )
    assert done.returncode == code
