"""Pools whose functions do not fit are shut; and what commands say and read of a fleet."""

import anyio
import pytest

from orchestrator.cli.fleet_common import fleet_settings
from orchestrator.cli.fleet_pools import misfit_line, row_of, rows_of
from orchestrator.cli.fleet_up import bounds_of
from orchestrator.engine.fleet import announce
from orchestrator.errors import PromiseError
from orchestrator.ids import PoolName
from orchestrator.ports.fleet import Contracts, Offer, WorkerSeen
from orchestrator.ports.tasks import Backlog
from orchestrator.service.fleet_supervisor import must_be_fleet
from orchestrator.settings import Settings
from orchestrator.testing.transport_contract import POOL, key, task
from workers import Pool
from workers.gate import Gate, misfits, needs_of


def pool_with(**functions: object) -> Pool:
    pool = Pool("p")
    for name, function in functions.items():
        pool.worker(name=name)(function)  # type: ignore[arg-type]  # functions
    return pool


async def narrow(number: int) -> int: ...
async def wide(number: int | None = None, more: str = "") -> int: ...
async def asks_more(number: int, reason: str) -> int: ...
async def gives_other(number: int) -> str: ...


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        ({"work": narrow}, []),
        ({"work": wide}, []),  # takes more than steps give: serves them
        ({"work": narrow, "other": narrow}, []),
        ({"work": asks_more}, ["its work has contract"]),
        ({"work": gives_other}, ["its work has contract"]),
        ({"other": narrow}, ["it has no function work, which steps may call"]),
    ],
)
def test_a_worker_fits_where_it_serves_what_steps_were_written_against(
    mine: dict[str, object], said: list[str]
) -> None:
    found = misfits(pool_with(**mine), {"owner": needs_of([pool_with(work=narrow)])})
    assert [line[: len(wanted)] for line, wanted in zip(found, said, strict=True)] == said


def test_every_owner_must_be_served() -> None:
    needed = {"old": needs_of([pool_with(work=narrow)]), "new": needs_of([pool_with(work=asks_more)])}
    assert len(misfits(pool_with(work=narrow), needed)) == 1
    assert len(misfits(pool_with(work=asks_more), needed)) == 1
    assert misfits(pool_with(unrelated=narrow), {"owner": {"q": needs_of([pool_with(work=narrow)])["p"]}}) == []


class Port:
    """A worker port with tasks to hand out."""

    def __init__(self) -> None:
        self.tasks = [task(1), task(2)]
        self.given: list[tuple[object, float]] = []
        self.asked = anyio.Event()
        self.go = anyio.Event()

    async def fetch(self, pool: PoolName, slots: int) -> list[object]:
        self.asked.set()
        await self.go.wait()
        return [self.tasks.pop(0)]

    def take(self, pool: PoolName) -> object:
        return self.tasks.pop(0)

    def post(self, message: object) -> None: ...
    def on_revoke(self, pool: PoolName, cancel: object) -> None: ...


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_comes_while_the_gate_is_being_shut_is_handed_on() -> None:
    port, got = Port(), list[object]()
    gate = Gate(port, lambda task_key, delay_s: port.given.append((task_key, delay_s)))  # type: ignore[arg-type]  # enough of a port

    async def fetch() -> None:
        got.extend(await gate.fetch(POOL, 1))

    async with anyio.create_task_group() as group:
        group.start_soon(fetch)
        await port.asked.wait()
        gate.set(POOL, is_open=False)
        assert gate.take(POOL) is None
        port.go.set()
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert port.given == [(key(1), 1.0)]
        assert got == []
        gate.set(POOL, is_open=True)
    assert got == [task(2)]


class Board:
    """A fleet whose one worker sees an owner's needs after a while."""

    def __init__(self, *, sees: bool) -> None:
        self.sees, self.needs = sees, dict[str, Contracts]()

    async def need(self, owner: str, contracts: Contracts) -> None:
        self.needs[owner] = contracts

    async def workers(self) -> list[WorkerSeen]:
        seen = ["o"] if self.sees and self.needs else []
        return [WorkerSeen(name="w", beat_age_s=1.0, running=0, offer=Offer(seen=seen))]


@pytest.mark.anyio
@pytest.mark.parametrize("sees", [True, False])
async def test_an_owner_waits_until_workers_have_seen_its_needs_but_not_for_the_dead(sees: bool) -> None:
    board = Board(sees=sees)
    assert await announce(board, "o", {}) is sees  # type: ignore[arg-type]  # enough of a fleet
    assert board.needs == {"o": {}}


def seen(*reasons: str, leaving: bool = False) -> WorkerSeen:
    offer = Offer(concurrency={"p": 4}, refused={"p": list(reasons)} if reasons else {}, leaving=leaving)
    return WorkerSeen(name="w", beat_age_s=2.0, running=1, offer=offer)


@pytest.mark.parametrize(
    ("workers", "line"),
    [
        ([], "no worker serves it"),
        ([seen(leaving=True)], "no worker serves it"),
        ([seen("its f is old")], "none of its 1 workers fits: its f is old"),
        ([seen("its f is old"), seen()], ""),
    ],
)
def test_pools_say_why_nobody_takes_a_task(workers: list[WorkerSeen], line: str) -> None:
    assert misfit_line(row_of("p", None, workers, {})) == line


@pytest.mark.anyio
async def test_a_row_holds_backlog_workers_and_dead_letters() -> None:
    class Full(Board):
        async def backlog(self) -> list[Backlog]:
            return [Backlog(pool=PoolName("p"), waiting=3, running=1, oldest_wait_s=1.23456, by_lane={"normal": 3})]

        async def workers(self) -> list[WorkerSeen]:
            return [seen()]

        async def dead(self) -> dict[str, int]:
            return {"q": 2}

    rows = await rows_of(Full(sees=True), ("r",))  # type: ignore[arg-type]  # enough of a fleet

    assert [(row["pool"], row["waiting"], row["dead_letters"], len(row["workers"])) for row in rows] == [  # type: ignore[arg-type]  # lists
        ("p", 3, 0, 1), ("q", 0, 2, 0), ("r", 0, 0, 0),
    ]  # fmt: skip
    assert rows[0]["workers"] == [
        {
            "name": "w",
            "beat_age_s": 2.0,
            "running": 1,
            "concurrency": 4,
            "digests": {},
            "refused": [],
            "unready": {},
            "leaving": False,
        }
    ]


def test_servers_of_the_environment_stand_in_and_are_named_without_passwords(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:secret@db/runs")
    monkeypatch.setenv("REDIS_URL", "redis://:secret@queue:6379/0")

    settings = fleet_settings(None, None)
    flagged = fleet_settings("postgresql://other/runs", None)

    assert (settings.store, settings.transport) == ("postgresql://ada:secret@db/runs", "redis://:secret@queue:6379/0")
    assert flagged.store == "postgresql://other/runs"
    said = capsys.readouterr().err
    assert said.splitlines()[:2] == [
        "store: postgresql://db/runs (from DATABASE_URL)",
        "transport: redis://queue:6379/0 (from REDIS_URL)",
    ]
    assert "secret" not in said


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        (Settings(store="sqlite:///x.db", transport="redis://q"), "belongs to one process"),
        (Settings(store="postgresql://h/d", transport="memory:"), "ends with its process"),
        (Settings(store="postgresql://h/d", transport="amqp://q"), "is not known"),
    ],
)
def test_a_supervisor_wants_what_several_processes_can_share(settings: Settings, remedy: str) -> None:
    with pytest.raises(PromiseError, match=remedy):
        must_be_fleet(settings)


def test_flags_change_the_bounds_of_a_pool_and_mistakes_are_named() -> None:
    settings = Settings(pools=("tests.fleet.fleet_pools",))
    bounds = {one.pool: one for one in bounds_of(settings, ["bursting=1..9"], ["steady=7"], 5.0)}

    assert [(b.least, b.most, b.slots, b.cooldown_s) for b in (bounds["bursting"], bounds["steady"])] == [
        (1, 9, 2, 5.0), (1, 4, 7, 5.0),
    ]  # fmt: skip
    for scale, concurrency in (
        (["bursting=3"], []),
        (["nobody=0..1"], []),
        ([], ["steady=x"]),
        (["bursting=5..2"], []),
    ):
        with pytest.raises(PromiseError):
            bounds_of(settings, scale, concurrency, 5.0)
