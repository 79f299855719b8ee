"""What every test stands on: both event loops, no network but loopback, named sizes."""

import ipaddress
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio.testing
from hypothesis import HealthCheck, settings

from tests.sizes import SIZES, Sizes

ROOT = Path(__file__).resolve().parent.parent

# Deadlines are off: two busy cores make one slow example normal, and time is measured by benchmarks. The default set
# draws the same examples on every machine; a proof looks further each time it is run.
settings.register_profile(
    "ci",
    max_examples=SIZES.hypothesis_examples,
    stateful_step_count=SIZES.machine_steps,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "prove",
    max_examples=SIZES.hypothesis_examples,
    stateful_step_count=SIZES.machine_steps,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(SIZES.name)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Both loops; on trio the clock jumps to the next deadline as soon as every task sleeps.

    A jumping clock does not see threads, processes or sockets at work: tests that use them override this fixture with
    `@pytest.fixture` returning "asyncio", or `@pytest.mark.parametrize("anyio_backend", ["asyncio"])`.
    """
    if request.param == "trio":
        return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return "asyncio", {}


@pytest.fixture(autouse=True)
def _task_order(request: pytest.FixtureRequest) -> None:
    """The order in which trio runs tasks that are ready: drawn by the test's name, the same each time.

    `python -m tests.orders` runs tests in many orders, each with its number as the parameter.
    """
    trio._core._run._r.seed(f"{request.node.nodeid.partition('[')[0]} {getattr(request, 'param', 0)}")


@pytest.fixture(scope="session")
def sizes() -> Sizes:
    """The counts of this session; `from tests.sizes import SIZES` where parametrisation needs them."""
    return SIZES


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


def _is_loopback(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode()
    if host in {None, "", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """A test that reaches for anything but loopback fails at that place."""

    def guarded(original: Callable[..., object]) -> Callable[..., object]:
        def connect(self: socket.socket, address: object) -> object:
            if self.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(address[0]):  # type: ignore[index] # a tuple for these families
                pytest.fail(f"a test reached for the network: {address}")
            return original(self, address)

        return connect

    lookup = socket.getaddrinfo

    def getaddrinfo(host: object, *args: object, **kwargs: object) -> object:
        if not _is_loopback(host):
            pytest.fail(f"a test looked up a name on the network: {host!r}")
        return lookup(host, *args, **kwargs)  # type: ignore[arg-type] # handed on as they came

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@pytest.fixture(scope="session")
def chromium(root: Path) -> str:
    """Path of a real Chromium; without one the test is skipped aloud, and in CI it fails."""
    found = subprocess.run([root / "tools" / "ensure-chromium.sh"], capture_output=True, text=True, check=False)
    if found.returncode:
        outcome = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        outcome(f"no Chromium: {found.stderr.strip()}")
    return found.stdout.strip().splitlines()[-1]
