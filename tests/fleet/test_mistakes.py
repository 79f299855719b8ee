"""What an operator gets wrong ends with the code that says whose fault it is, a sentence that names the remedy, and no
password on the screen; what goes wrong with the machine ends no fleet."""

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from orchestrator.engine.scaling import Bounds, Load
from orchestrator.errors import PromiseError
from orchestrator.service import fleet_worker
from orchestrator.service.fleet_up import Up, _must_be_writable, _pid_of
from orchestrator.service.fleet_worker import WorkerProcess
from orchestrator.service.processes import Children
from tests.fleet.conftest import Site
from tests.servers.postgres import shared_server

SECRET = "hunter2"  #: what must not be seen
NOWHERE = f"redis://:{SECRET}@127.0.0.1:1/0"
NO_STORE = f"postgresql://me:{SECRET}@127.0.0.1:1/x"


@pytest.mark.slow
def test_every_mistake_has_its_code_and_its_remedy(site: Site) -> None:
    empty = shared_server().database()
    taken = str(site.redis.port)
    cases: list[tuple[list[str], int, str]] = [
        (["supervise", "--transport", NOWHERE], 6, "127.0.0.1:1"),
        (["supervise", "--store", NO_STORE], 6, "127.0.0.1:1"),
        (["worker", "--pool", "bursting", "--transport", NOWHERE], 6, "127.0.0.1:1"),
        (["up", "--transport", NOWHERE], 6, "127.0.0.1:1"),
        (["up", "--store", NO_STORE], 6, "127.0.0.1:1"),
        (["pools", "--transport", NOWHERE], 6, "127.0.0.1:1"),
        (["supervise", "--store", f"mysql://me:{SECRET}@host/x"], 2, "postgresql://"),
        (["worker", "--pool", "bursting", "--transport", f"amqp://me:{SECRET}@host"], 2, "redis://"),
        (["supervise", "--store", "memory:"], 2, "--store postgresql://"),
        (["worker", "--pool", "burstin"], 2, "bursting"),
        (["supervise", "--pools", "no_such_module"], 2, "no_such_module"),
        (["supervise", "--store", empty], 2, "orchestrator db upgrade"),
        (["up", "--store", empty], 2, "orchestrator db upgrade"),
        (["supervise", "--http", f"127.0.0.1:{taken}"], 2, "--http"),
        (["worker", "--pool", "bursting", "--http", f"127.0.0.1:{taken}"], 2, "--http"),
        (["up", "--scaler-events", str(site.folder / "none" / "events.jsonl")], 2, "--scaler-events"),
        (["up", "--scale", "bursting=3"], 2, "POOL=MIN..MAX"),
    ]

    with ThreadPoolExecutor(4) as threads:
        ended = [threads.submit(site.run, *words, code=code) for words, code, _ in cases]
        said = [one.result() for one in ended]

    for (words, _, remedy), done in zip(cases, said, strict=True):
        assert remedy in done.stderr, f"{words}:\n{done.stderr}"
        assert SECRET not in done.stdout + done.stderr, words
        assert "Traceback" not in done.stderr, words


@pytest.mark.slow
def test_a_server_that_evicts_keys_is_refused_by_every_process(site: Site) -> None:
    site.redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

    for words in (["supervise"], ["worker", "--pool", "bursting"]):
        done = site.run(*words, code=2)
        assert "noeviction" in done.stderr, words


def keeper_of(say: Callable[[str], None], record: Path) -> Up:
    bounds = Bounds(pool="p", least=0, most=4, slots=1, cooldown_s=1.0)
    return Up([bounds], Children({}, say), SimpleNamespace(), supervisors=1, grace_s=1.0, say=say, record=record)  # type: ignore[arg-type]  # a board that is not asked


def test_a_full_disk_ends_no_fleet_and_is_told_once() -> None:
    said: list[str] = []
    keeper = keeper_of(said.append, Path("/dev/full"))

    for size in (1, 2):
        keeper._tell("p", size - 1, size, "work", Load(waiting=size))

    assert said == [
        "pool p: 0 → 1 workers (work)",
        "/dev/full is not written: [Errno 28] No space left on device; what changes is said here alone until it is",
        "pool p: 1 → 2 workers (work)",
    ]


def test_a_file_for_events_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(PromiseError, match="name another file with --scaler-events"):
        _must_be_writable(tmp_path)


def test_a_child_that_cannot_be_started_is_tried_again_and_the_others_go_on() -> None:
    said: list[str] = []
    now_s = 0.0

    def spawn(command: list[str], **_: object) -> "subprocess.Popen[bytes]":
        raise BlockingIOError(11, "Resource temporarily unavailable")

    children = Children({}, said.append, clock=lambda: now_s, spawn=spawn)
    children.add("w-1", ["w"])
    children.look()
    now_s = 0.5
    children.look()

    why = "w-1 could not be started: [Errno 11] Resource temporarily unavailable; it is started again in"
    assert said == [f"{why} 0.5 s", f"{why} 1 s"]


def test_workers_of_other_machines_are_not_taken_for_children() -> None:
    assert _pid_of("here-12-ab12cd34-e5f6a7", "here") == 12
    assert _pid_of("there-12-ab12cd34-e5f6a7", "here") is None
    assert _pid_of("a-host-12-ab12cd34-e5f6a7", "a-host") == 12
    assert _pid_of("nonsense", "here") is None


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_worker_where_no_supervisor_is_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_worker, "LONELY_S", 0.0)
    said: list[str] = []
    needed: dict[str, object] = {}

    async def asked() -> dict[str, object]:
        return needed

    async def offered(name: str, offer: object) -> None:
        await anyio.lowlevel.checkpoint()

    fleet = SimpleNamespace(needed=asked, offer=offered)
    worker = SimpleNamespace(
        fleet=fleet, registry=[], unfit=lambda needed: {}, unready={}, name="w", where="redis://host/3"
    )
    process = WorkerProcess(worker, said.append)  # type: ignore[arg-type]  # enough of a worker
    for _ in range(3):
        await process.compare()

    assert said == ["no supervisor is at redis://host/3: is this the transport, and the database, of the fleet?"]
