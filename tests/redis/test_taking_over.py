"""A run changes owners: its tasks go on, and what came for the owner before is heard, once, and in its order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import pytest

from orchestrator.adapters.redis.heritage import left_unread
from orchestrator.adapters.redis.inbox import Word
from orchestrator.adapters.redis.owner import RedisTransport
from orchestrator.adapters.redis.wire import Wire
from orchestrator.errors import TransportUnreachable
from orchestrator.ports.tasks import (
    OwnerReply,
    OwnerRequest,
    SpendRequest,
    StepTask,
    TaskFailed,
    TaskMessage,
    TaskSpent,
)
from orchestrator.testing.transport_contract import done, key, until
from orchestrator.testing.transport_contract import task as effect
from tests.redis.test_fencing import LEASE_S, task
from tests.redis.test_forgetting import Place, own_server, place

__all__ = ["own_server", "place"]
pytestmark = pytest.mark.anyio
SPENT = TaskSpent(key=key(1), worker="worker", charge="c1", usd=0.5)


@dataclass
class Heir:
    """An owner that takes over, and what it has heard; all of that is journaled at once."""

    transport: RedisTransport
    heard: list[TaskMessage]
    stream: str

    async def resumed(self) -> None:
        await until(lambda: self.transport._resuming is not None and self.transport._resuming.done())


@asynccontextmanager
async def heir(place: Place, name: str = "second") -> AsyncIterator[Heir]:
    transport = await RedisTransport.open(
        place.server.url, owner=name, namespace=place.namespace, lease_s=LEASE_S
    )  # fmt: skip
    heard: list[TaskMessage] = []
    transport.bind(heard.append)
    transport.bind_journaled(lambda: len(heard), lambda: len(heard))
    try:
        yield Heir(transport, heard, f"{place.namespace}:in:{name}")
    finally:
        await transport.close()


async def dies(place: Place, transport: RedisTransport) -> None:
    """It reads no more and does not leave; what a worker says to it now, nobody reads."""
    transport._tasks.pop().cancel()
    place.port.post(SPENT)
    await until(lambda: not place.port._outbox)


async def gives_up(place: Place, message: TaskMessage) -> None:
    """The owner hears this when it drives the run no more, and leaves it to whoever does next."""
    place.owner.bind_journaled(lambda: 0, lambda: 0)
    place.port.post(message)
    await until(lambda: place.messages == [message])
    place.owner.leave(message)
    place.owner.let_go(key(1))
    await until(lambda: waiting(place, f"{place.namespace}:in:owner") == b":0")


def meanwhile(monkeypatch: pytest.MonkeyPatch, first: Callable[[str], Awaitable[None]]) -> None:
    """What happens, to whom, before what other owners have not read is read."""

    async def slowly(wire: Wire, namespace: str, me: str) -> list[Word]:
        await first(me)
        return await left_unread(wire, namespace, me)

    monkeypatch.setattr("orchestrator.adapters.redis.heritage.left_unread", slowly)


async def answered(place: Place, to: RedisTransport) -> None:
    """The answer is with the new owner."""
    place.port.post(done(1))
    await until(lambda: to._inbox._at != "0-0")


def waiting(place: Place, stream: str) -> bytes:
    count = place.server.command("XLEN", stream)
    assert isinstance(count, bytes)
    return count


async def test_a_new_owner_reads_what_came_for_the_one_before(place: Place) -> None:
    await dies(place, place.owner)
    place.port.post(done(1))
    await until(lambda: not place.port._outbox)
    async with heir(place) as second:
        second.transport.resume(task(1))

        await second.resumed()
        assert second.heard == [SPENT, done(1)]
        assert await second.transport.reconcile() == 0


async def test_what_a_living_owner_could_not_use_is_left_to_the_next(place: Place) -> None:
    failed = TaskFailed(key=key(1), worker="worker", error="rate_limit", message="later")
    await gives_up(place, failed)
    async with heir(place) as second:
        second.transport.resume(task(1))

        await second.resumed()
        assert second.heard == [failed]
        assert await second.transport.reconcile() == 0


@pytest.mark.parametrize("before", ["gave the run up", "was frozen"])
async def test_what_the_first_owner_heard_is_heard_before_what_the_second_did_not_read(
    place: Place, before: str
) -> None:
    if before == "was frozen":
        await dies(place, place.owner)
    else:
        await gives_up(place, SPENT)
    async with heir(place, "between") as between, heir(place, "last") as last:
        between.transport.bind_journaled(lambda: 1, lambda: 0)
        between.transport.resume(task(1))
        await between.resumed()
        between.transport._tasks.pop().cancel()  # dead, before anything of it is journaled
        place.port.post(done(1))
        await until(lambda: not place.port._outbox)
        place.owner.let_go(key(1))
        await place.owner.reconcile()  # the first one lives

        last.transport.resume(task(1))

        await last.resumed()
        assert between.heard == [SPENT]
        assert last.heard == [SPENT, done(1)]


async def test_words_of_a_task_are_heard_in_their_order(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await dies(place, place.owner)
    there: list[bytes] = []
    async with heir(place) as second:

        async def first(_me: str) -> None:
            await answered(place, second.transport)
            await second.transport._inbox._clean_once()
            there.append(waiting(place, second.stream))

        meanwhile(monkeypatch, first)
        second.transport.resume(task(1))

        await until(lambda: len(second.heard) == 2)
        assert second.heard == [SPENT, done(1)]
        assert there == [b":1"]  # what waits is not journaled, and stays in the server
        await until(lambda: waiting(place, second.stream) == b":0")


@pytest.mark.parametrize("made", [task, effect])
async def test_what_was_answered_is_not_looked_for_while_the_answer_waits(
    place: Place, monkeypatch: pytest.MonkeyPatch, made: Callable[[int], StepTask]
) -> None:
    await anyio.sleep(LEASE_S + 0.2)  # for so long the server has forgotten nothing
    await dies(place, place.owner)
    again: list[int] = []
    async with heir(place) as second:

        async def first(_me: str) -> None:
            if not again:
                await answered(place, second.transport)
                again.append(await second.transport.reconcile())  # the three seconds are over just now

        meanwhile(monkeypatch, first)
        second.transport.resume(made(1))
        await second.resumed()

        assert again == [0]
        assert second.heard == [SPENT, done(1)]


async def test_words_that_cannot_be_read_hold_nothing_up(place: Place) -> None:
    await place.owner._aside.call("XADD", f"{place.namespace}:in:other", "*", "t", b"\xff", "b", "x")
    await place.owner._aside.call("ZADD", f"{place.namespace}:owners", 1, "other")
    async with heir(place) as second:
        second.transport.resume(task(1))
        await second.resumed()
        place.port.post(done(1))
        await until(lambda: second.heard == [done(1)])


async def test_our_own_bug_holds_nothing_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await anyio.sleep(LEASE_S + 0.2)  # for so long the server has forgotten nothing
    await dies(place, place.owner)
    async with heir(place) as second:

        async def first(_me: str) -> None:
            if not second.heard:
                await answered(place, second.transport)
            raise KeyError("ours")

        meanwhile(monkeypatch, first)
        second.transport.resume(task(1))
        second.transport.resume(task(2))  # which is nowhere, so that whoever reconciles reads what was left, too

        await until(lambda: second.heard == [done(1)])
        await until(lambda: waiting(place, second.stream) == b":0")
        await second.transport.reconcile()


async def test_answers_and_revocations_reach_a_server_that_is_full(place: Place) -> None:
    async def granted(_request: OwnerRequest) -> OwnerReply:
        return OwnerReply(granted=True)

    place.owner.bind_answer(granted)
    place.server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        with anyio.fail_after(30):
            reply = await place.port.ask(SpendRequest(key=key(1), charge="c1", usd=1.0))
        place.owner.revoke(key(1))
        await until(lambda: place.cancelled == [key(1)])
    finally:
        place.server.command("CONFIG", "SET", "maxmemory", "0")
    assert reply == OwnerReply(granted=True)


async def test_a_server_that_is_full_holds_nothing_up(place: Place) -> None:
    late = TaskFailed(key=key(7), worker="worker", error="rate_limit", message="later")
    async with heir(place) as second:
        place.server.command("CONFIG", "SET", "maxmemory", "1")
        try:
            second.transport.leave(late)
            second.transport.resume(task(1))
            place.port.post(done(1))
            await until(lambda: done(1) in second.heard)
        finally:
            place.server.command("CONFIG", "SET", "maxmemory", "0")
        assert second.heard == [late, done(1)]  # what was left is whoever's looks for it


async def test_a_run_is_let_go_in_the_middle_and_the_next_owner_hears_all_in_order(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dies(place, place.owner)
    async with heir(place, "between") as between, heir(place, "last") as last:
        between.transport.bind(between.transport.leave)  # as an engine does that drives the run no more

        async def first(me: str) -> None:
            if me == "between":
                between.transport.let_go(key(1))
                await answered(place, between.transport)

        meanwhile(monkeypatch, first)
        between.transport.resume(task(1))
        await between.resumed()
        await until(lambda: not between.transport._left)
        last.transport.resume(task(1))

        await last.resumed()
        assert [word for at, word in enumerate(last.heard) if word not in last.heard[:at]] == [SPENT, done(1)]


async def test_the_server_is_away_in_the_middle(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await dies(place, place.owner)
    tries: list[bytes] = []
    async with heir(place) as second:

        async def first(_me: str) -> None:
            if not tries:
                await answered(place, second.transport)
                second.transport.resume(task(2))
            tries.append(waiting(place, second.stream))
            if len(tries) < 4:
                raise TransportUnreachable("here", "away")

        meanwhile(monkeypatch, first)
        second.transport.resume(task(1))

        await until(lambda: len(second.heard) == 2)
        assert second.heard == [SPENT, done(1)]
        assert tries == [b":1"] * 4
        await until(lambda: waiting(place, second.stream) == b":0")


async def test_an_owner_that_leaves_in_the_middle_loses_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await dies(place, place.owner)
    reached = asyncio.Event()
    async with heir(place, "last") as last:
        async with heir(place, "between") as between:

            async def first(me: str) -> None:
                if me == "between":
                    await answered(place, between.transport)
                    reached.set()
                    await anyio.sleep_forever()

            meanwhile(monkeypatch, first)
            between.transport.resume(task(1))
            await reached.wait()
        last.transport.resume(task(1))

        await until(lambda: len(last.heard) == 2)
        assert between.heard == []
        assert last.heard == [SPENT, done(1)]


async def test_what_nobody_wants_is_revoked_once_it_is_ours(place: Place) -> None:
    async with heir(place) as second:
        second.transport.resume(task(1))
        second.transport.revoke(key(1))  # a person cancels the run that was just taken over

        await until(lambda: place.cancelled == [key(1)])
        assert second.transport._sent == {}


async def test_what_is_revoked_while_its_answer_waits_leaves_nothing_behind(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dies(place, place.owner)
    async with heir(place) as second:

        async def first(_me: str) -> None:
            await answered(place, second.transport)
            second.transport.revoke(key(1))

        meanwhile(monkeypatch, first)
        second.transport.resume(task(1))

        await until(lambda: len(second.heard) == 2)
        assert second.heard == [SPENT, done(1)]
        assert second.transport._sent == {}
        await until(lambda: waiting(place, second.stream) == b":0")


@pytest.mark.parametrize("again", ["send", "resume"])
async def test_what_was_revoked_and_is_asked_for_again_is_done(place: Place, again: str) -> None:
    async with heir(place) as second:
        second.transport.resume(task(1))
        second.transport.revoke(key(1))  # a check was not answered in time, or the run was parked
        getattr(second.transport, again)(task(1))
        await second.resumed()
        place.port.post(done(1))

        await until(lambda: second.heard == [done(1)])
        assert place.cancelled == []


async def test_what_was_revoked_is_revoked_although_the_owner_leaves(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with heir(place) as second:
        reached, closing = asyncio.Event(), asyncio.Event()

        async def first(_me: str) -> None:
            reached.set()
            await closing.wait()

        meanwhile(monkeypatch, first)
        second.transport.resume(task(1))
        await reached.wait()
        second.transport.revoke(key(1))
        closing.set()  # heard once this waits, which is where it leaves
    await until(lambda: place.cancelled == [key(1)])


async def test_a_run_that_is_let_go_while_the_server_is_away_leaves_nothing_waiting(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dies(place, place.owner)
    tries: list[int] = []
    async with heir(place) as second:
        second.transport.bind(second.transport.leave)

        async def first(_me: str) -> None:
            tries.append(1)
            if len(tries) == 1:
                await answered(place, second.transport)
                raise TransportUnreachable("here", "away")

        meanwhile(monkeypatch, first)
        second.transport.resume(task(1))
        await until(lambda: second.transport._resumed == {key(1)} and tries != [])
        second.transport.let_go(key(1))
        await second.resumed()

        assert not second.transport._early.expecting
        await until(lambda: waiting(place, second.stream) == b":0")
