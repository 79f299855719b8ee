"""The pool that sends: what is due arrives, failures come again, and a slow receiver holds up nobody."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.memory.webhooks import MemoryWebhooks
from orchestrator.ids import RunId, TenantId
from orchestrator.ports.webhooks import DeliveryQuery, Webhooks
from orchestrator.service.webhooks.addresses import Allowed
from orchestrator.service.webhooks.dispatcher import CONCURRENCY, EACH_MAX, POLL_S, Dispatcher
from orchestrator.service.webhooks.retrying import ATTEMPTS_MAX, CEILINGS_S
from orchestrator.service.webhooks.sending import Answer, Sender
from orchestrator.testing.webhooks_contract import TENANT, endpoint, play

pytestmark = pytest.mark.anyio


class LoopClock:
    """The clock of the loop, which jumps in tests."""

    def now_s(self) -> float:
        return 1_000_000.0 + anyio.current_time()


class Scripted(Sender):
    """Receivers that answer as a test says, by address: an answer after so many seconds."""

    def __init__(self, said: dict[str, tuple[float, Answer]]) -> None:
        super().__init__(Allowed())
        self.said = said
        self.sent: list[tuple[str, str]] = []
        self.under_way: dict[str, int] = {}
        self.most: dict[str, int] = {}

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        takes_s, answer = self.said[url]
        self.under_way[url] = self.under_way.get(url, 0) + 1
        self.most[url] = max(self.most.get(url, 0), self.under_way[url])
        await anyio.sleep(takes_s)
        self.under_way[url] -= 1
        self.sent.append((url, headers["webhook-id"]))
        return answer


WELL = Answer(status=204)


@asynccontextmanager
async def sending(store: Webhooks, sender: Sender, poll_s: float = POLL_S) -> AsyncIterator[Dispatcher]:
    dispatcher = Dispatcher(store, sender, LoopClock(), poll_s=poll_s)
    async with anyio.create_task_group() as group:
        group.start_soon(dispatcher.run)
        yield dispatcher
        group.cancel_scope.cancel()


def url(name: str) -> str:
    return endpoint(name).url


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Days pass at once on the jumping clock; on the other loop they would be days."""
    import trio.testing

    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


async def test_a_slow_receiver_holds_up_nobody() -> None:
    journal = MemoryJournal()
    store = MemoryWebhooks(journal)
    await store.put(endpoint("slow"))
    for number in range(100):
        await play(journal, f"slow-{number}")
    await store.put(endpoint("quick", created_at_s=2.0))
    for number in range(50):
        await play(journal, f"run-{number}")
    sender = Scripted({url("slow"): (14.0, WELL), url("quick"): (0.01, WELL)})

    async with sending(store, sender):
        await anyio.sleep(10.0)

    assert [one for one, _ in sender.sent] == [url("quick")] * 50
    assert sender.most == {url("slow"): EACH_MAX, url("quick"): EACH_MAX}


async def test_a_bug_in_sending_costs_one_attempt_and_not_the_service() -> None:
    class Broken(Scripted):
        async def send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
            if url.endswith("broken"):
                raise RuntimeError("what nobody thought of")
            return await super().send(url, headers, body)

    journal = MemoryJournal()
    store = MemoryWebhooks(journal)
    for name in ("broken", "well"):
        await store.put(endpoint(name, url=url(name)))
    await play(journal, "run-1")
    sender = Broken({url("well"): (0.0, WELL)})
    async with sending(store, sender) as dispatcher:
        while dispatcher.sent < 2:  # noqa: ASYNC110  # nothing tells of it
            await anyio.sleep(0.1)
    found = await store.deliveries(DeliveryQuery(tenant=TENANT))
    assert {one.endpoint_id: (one.state, one.detail) for one in found} == {
        "broken": ("pending", "RuntimeError: a bug of the sender"),
        "well": ("delivered", ""),
    }


async def test_no_more_is_under_way_than_the_pool_allows() -> None:
    journal = MemoryJournal()
    store = MemoryWebhooks(journal)
    for number in range(20):
        await store.put(endpoint(f"ep-{number}"))
    for number in range(10):
        await play(journal, f"run-{number}")
    sender = Scripted({url(f"ep-{number}"): (1.0, WELL) for number in range(20)})
    seen = 0

    async with sending(store, sender):
        for _ in range(60):
            await anyio.sleep(0.25)
            seen = max(seen, sum(sender.under_way.values()))

    assert seen == CONCURRENCY
    assert len(sender.sent) == len(set(sender.sent)) == 200


async def test_what_fails_for_days_is_dead_and_can_be_sent_again() -> None:
    journal = MemoryJournal()
    store = MemoryWebhooks(journal)
    await store.put(endpoint("ep"))
    await play(journal)
    sender = Scripted({url("ep"): (0.1, Answer(problem="ConnectError"))})

    async with sending(store, sender, poll_s=30.0):
        await anyio.sleep(sum(CEILINGS_S) + 30.0 * ATTEMPTS_MAX)
        [dead] = await store.deliveries(DeliveryQuery(tenant=TENANT))
        assert (dead.state, dead.attempts, dead.detail) == ("dead", ATTEMPTS_MAX, "ConnectError")
        assert sender.sent == [(url("ep"), dead.id)] * ATTEMPTS_MAX

        sender.said[url("ep")] = (0.1, WELL)
        assert await store.requeue(TENANT, dead.id, LoopClock().now_s()) is True
        await anyio.sleep(31.0)
        [sent] = await store.deliveries(DeliveryQuery(tenant=TENANT))

    assert (sent.state, sent.attempts) == ("delivered", 1)


async def test_a_receiver_that_is_gone_is_asked_nothing_more() -> None:
    journal = MemoryJournal()
    store = MemoryWebhooks(journal)
    await store.put(endpoint("ep"))
    await play(journal)
    sender = Scripted({url("ep"): (0.1, Answer(status=410))})

    async with sending(store, sender):
        await anyio.sleep(5.0)
        await play(journal, "run-2")
        await anyio.sleep(60.0)

    assert len(sender.sent) == 1
    [held] = await store.endpoints(TenantId("default"))
    assert (held.state, held.reason) == ("disabled", "the receiver answered 410 Gone")


async def test_callbacks_are_signed_with_the_secret_of_now_and_wait_while_there_is_none() -> None:
    journal = MemoryJournal()
    store = MemoryWebhooks(journal)
    await store.put(endpoint("cb", run_id=RunId("run-1"), secrets=()))
    await play(journal)
    sender = Scripted({url("cb"): (0.1, WELL)})

    async with sending(store, sender):
        await anyio.sleep(1.0)
        [waiting] = await store.deliveries(DeliveryQuery(tenant=TENANT))
        assert (waiting.state, waiting.detail) == ("pending", "there is no webhook whose secret could sign")
        await store.put(endpoint("signs", events=("callback",)))
        await anyio.sleep(120.0)
        [sent] = await store.deliveries(DeliveryQuery(tenant=TENANT))

    assert sent.state == "delivered"
    assert sender.sent == [(url("cb"), waiting.id)]
