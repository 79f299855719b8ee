"""A pool refuses at registration what it could not keep, and a registry knows each pool once."""

import functools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType

import anyio
import anyio.lowlevel
import pytest

from orchestrator.adapters.memory.transport import MemoryTransport
from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.ports.tasks import OwnerReply, OwnerRequest, TaskDone, TaskMessage
from orchestrator.testing.transport_contract import task
from tests.workers import sample_pool
from workers import Pool, Registry, WorkContext, Workers, worker_id


def test_the_decorator_returns_the_function_with_its_description() -> None:
    pool = Pool("p")

    @pool.worker
    async def plain(ctx: WorkContext, a: int, b: str = "") -> int:
        return a

    @pool.worker(name="other", isolation="thread", honours_key=True)
    def named(a: int) -> int:
        return a

    assert named(3) == 3
    first, second = plain.__worker__, named.__worker__  # type: ignore[attr-defined]  # set by the decorator
    assert (first.pool, first.name, first.parameters, first.context, first.isolation) == (
        "p",
        "plain",
        ("a", "b"),
        "ctx",
        "async",
    )
    assert (second.name, second.parameters, second.context, second.isolation) == ("other", ("a",), None, "thread")
    assert (first.contract.effect_key, second.contract.effect_key) == (False, True)
    assert list(pool.functions.values()) == [first, second]
    assert pool.agent_handler is None
    assert repr(pool) == "Pool('p', functions=['other', 'plain'], handler=False)"


def test_a_context_is_known_by_its_type_too() -> None:
    pool = Pool("p")

    @pool.worker
    async def f(context: WorkContext, a: int) -> None: ...

    assert (f.__worker__.context, f.__worker__.parameters) == ("context", ("a",))  # type: ignore[attr-defined]  # decorated


def test_a_handler_takes_instruction_and_data_and_there_is_one() -> None:
    pool = Pool("p")

    with pytest.raises(PromiseError, match=r"a handler takes \(ctx, instruction, args\)"):

        @pool.handler
        async def wrong(ctx: WorkContext, question: str) -> None: ...

    @pool.handler(isolation="thread")
    def right(ctx: WorkContext, instruction: str, args: dict[str, JsonValue]) -> None: ...

    assert pool.agent_handler is right.__worker__  # type: ignore[attr-defined]  # set by the decorator
    with pytest.raises(PromiseError, match="already has a handler"):
        pool.handler(right)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pool("no spaces"), "pool name 'no spaces'"),
        (lambda: Pool("p", concurrency=0), "concurrency is 0"),
        (lambda: Pool("p", scale=(3, 2)), "scale is (3, 2)"),
        (lambda: Pool("p", scale=(0, 0)), "scale is (0, 0)"),
        (lambda: Pool("p", isolation="fork"), "isolation 'fork' is unknown; use async, thread, process"),
        (lambda: Pool("p", child_bytes_max=0), "child_bytes_max is 0"),
        (lambda: Pool("p").worker(name="a b")(noop), "function name 'a b'"),
        (lambda: Pool("p").worker(isolation="fork")(noop), "isolation 'fork' is unknown"),
        (lambda: Pool("p").worker(isolation="thread")(noop), "is async def and needs no thread"),
        (lambda: Pool("p").worker(blocking), 'would block the event loop; use isolation="thread"'),
        (lambda: Pool("p").worker(isolation="process")(local()), "a child process cannot import"),
        (lambda: Pool("p").worker(functools.partial(noop)), "is no plain function"),
        (lambda: Pool("p").worker(stream), "is a generator; return one value"),
        (lambda: Pool("p").worker(isolation="thread")(generator), "is a generator"),
    ],
)
def test_what_cannot_be_kept_is_refused_at_registration(make: Callable[[], object], message: str) -> None:
    with pytest.raises(PromiseError) as caught:
        make()

    assert message in str(caught.value)


def test_a_function_name_is_taken_once() -> None:
    pool = Pool("p")
    pool.worker(noop)

    with pytest.raises(PromiseError, match="already has a function 'noop'"):
        pool.worker(noop)


async def noop() -> None: ...


def blocking() -> None: ...


def local() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


async def stream() -> AsyncIterator[int]:
    yield 1


def generator() -> Iterator[int]:
    yield 1


# ---- registry


def test_a_registry_is_a_catalogue() -> None:
    pool = Pool("p")
    pool.worker(noop)
    registry: PoolCatalogue = Registry([pool, pool])

    assert list(registry.pools()) == ["p"]
    assert registry.functions("p") == {"noop": pool.functions["noop"].contract}
    assert registry.functions("nowhere") == {}
    assert not registry.has_agent("p")
    assert not registry.has_agent("nowhere")
    pool.handler(handle)
    assert registry.has_agent("p")


async def handle(ctx: WorkContext, instruction: str, args: dict[str, JsonValue]) -> None: ...


def test_two_pools_of_one_name_are_refused() -> None:
    with pytest.raises(PromiseError, match="two pools are named 'p'"):
        Registry([Pool("p"), Pool("p")])


def test_pools_come_from_modules() -> None:
    registry = Registry.from_modules([sample_pool.__name__, sample_pool.__name__])

    assert list(registry) == [sample_pool.children, sample_pool.small_children]
    assert len(registry) == 2
    assert registry.get("children") is sample_pool.children
    with pytest.raises(PromiseError, match="no pool is named 'x'; known are children, small-children"):
        registry.get("x")


def test_a_module_that_cannot_be_used_is_named_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_pools.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "empty_pools", ModuleType("empty_pools"))

    with pytest.raises(PromiseError, match=r"'no\.such\.module' cannot be imported: ModuleNotFoundError.*without \.py"):
        Registry.from_modules(["no.such.module"])
    with pytest.raises(PromiseError, match="'broken_pools' cannot be imported: ZeroDivisionError"):
        Registry.from_modules(["broken_pools"])
    with pytest.raises(PromiseError, match="'empty_pools' holds no Pool"):
        Registry.from_modules(["empty_pools"])


# ---- all pools of a process


def test_each_process_start_has_its_own_worker_id() -> None:
    assert worker_id() != worker_id()


@pytest.mark.anyio
async def test_workers_open_a_host_per_pool_and_drain_them_together() -> None:
    one, two = Pool("pool"), Pool("other")
    gate = anyio.Event()

    async def function(number: int, nested: JsonValue) -> int:
        if number == 9:
            await gate.wait()
        return number

    one.worker(function)
    two.worker(function)
    transport = MemoryTransport()
    messages: list[TaskMessage] = []
    transport.bind(messages.append)

    async def granted(_request: OwnerRequest) -> OwnerReply:
        return OwnerReply(granted=True)

    transport.bind_answer(granted)  # the tasks have a key, so their beginning is asked for
    async with anyio.create_task_group() as group:
        workers = Workers(Registry([one, two]), transport, worker="w")
        workers.open(group)
        transport.send(task(1))
        transport.send(task(2, pool=two.name))  # type: ignore[arg-type]  # a pool's name
        transport.send(task(9))
        with anyio.fail_after(10):
            while len([m for m in messages if isinstance(m, TaskDone)]) < 2:
                await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert workers.running == 1
        assert await workers.drain(0.001) == [task(9).key]
        assert workers.running == 0

    assert sorted(m.output for m in messages if isinstance(m, TaskDone)) == [1, 2]
