"""The memory transport keeps the transport's contract, and says so when nobody owns a run."""

import pytest

from orchestrator.adapters.memory.transport import MemoryTransport
from orchestrator.errors import PromiseError
from orchestrator.ports.tasks import SpendRequest
from orchestrator.testing.transport_contract import POOL, Link, TransportContract, done, key, task

pytestmark = pytest.mark.anyio


class TestMemoryTransport(TransportContract):
    @pytest.fixture
    def link(self) -> Link:
        transport = MemoryTransport(clock=lambda: link.now_s)
        link = Link(owner=transport, workers=transport)
        link.bind()
        return link


async def test_an_answer_without_an_owner_is_refused_with_a_remedy() -> None:
    transport = MemoryTransport()

    with pytest.raises(PromiseError, match="call `bind`"):
        transport.post(done(1))
    with pytest.raises(PromiseError, match="call `bind_answer`"):
        await transport.ask(SpendRequest(key=key(1), charge="c"))


async def test_revoked_tasks_do_not_pile_up_where_nobody_fetches() -> None:
    transport = MemoryTransport()
    for number in range(10_000):
        transport.send(task(number))
        if number:
            transport.revoke(key(number))

    lane = transport._pools[POOL].lanes[1]
    assert len(lane) < 200
    assert transport.take(POOL) == task(0)
    assert transport.take(POOL) is None


async def test_an_answer_to_a_task_that_still_waits_takes_it_out_of_the_queue() -> None:
    transport = MemoryTransport()
    messages: list[object] = []
    transport.bind(messages.append)
    transport.send(task(1))

    transport.post(done(1))

    assert messages == [done(1)]
    assert transport.take(POOL) is None
    assert [(row.waiting, row.running) for row in await transport.backlog()] == [(0, 0)]
