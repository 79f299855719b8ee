"""What any transport must do. An adapter subclasses `TransportContract` and supplies the `link` fixture."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import anyio
import anyio.lowlevel

from orchestrator.ids import PoolName, RunId, StepId, TenantId
from orchestrator.ports.tasks import (
    LANES,
    Backlog,
    Lane,
    OwnerReply,
    OwnerRequest,
    SpendRequest,
    StepTask,
    TaskDone,
    TaskEvidence,
    TaskFailed,
    TaskKey,
    TaskMessage,
    TaskProgress,
    TaskSpent,
    TaskStarted,
)
from orchestrator.ports.transport import Transport, WorkerPort

POOL = PoolName("pool")
OTHER = PoolName("other")
WAIT_S = 30.0  #: a transport with a network between gets this long, on a busy machine too


@dataclass(kw_only=True)
class Link:
    """Both ends of one transport, bound, and what has come out of them."""

    owner: Transport
    workers: WorkerPort
    now_s: float = 1_000.0  #: what the adapter's clock says
    messages: list[TaskMessage] = field(default_factory=list)
    asked: list[OwnerRequest] = field(default_factory=list)
    cancelled: list[TaskKey] = field(default_factory=list)
    replies: list[OwnerReply] = field(default_factory=list)

    def bind(self) -> None:
        """Bind the owner, and a pool that notes what is cancelled."""
        self.owner.bind(self.messages.append)
        self.owner.bind_answer(self._answer)
        self.workers.on_revoke(POOL, self.cancelled.append)

    async def _answer(self, request: OwnerRequest) -> OwnerReply:
        self.asked.append(request)
        return self.replies.pop(0)


def key(number: int) -> TaskKey:
    """One of many keys."""
    return TaskKey(RunId("run"), StepId("step"), number, 1)


def task(number: int, lane: Lane = "normal", pool: PoolName = POOL) -> StepTask:
    """A task with every field set to something that can be recognised."""
    return StepTask(
        key=key(number),
        tenant=TenantId("tenant"),
        pool=pool,
        lane=lane,
        function="function",
        instruction=None,
        args={"number": number, "nested": {"list": [1, 2.5, None, True, "ä"]}},
        output_schema={"type": "integer"},
        constraints=("one", "two"),
        tier="strong",
        reasons=("too short",),
        idempotency_key="key",
        timeout_s=60.0,
        plan="plan",
        sent_at_s=1_000.0 + number,
    )


def done(number: int) -> TaskDone:
    """The answer of a task."""
    return TaskDone(key=key(number), worker="worker", output={"number": number}, started_at_s=1.0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something that was sent has arrived."""
    with anyio.fail_after(WAIT_S):
        while not condition():  # noqa: ASYNC110  # what is awaited is no event of this process
            await anyio.sleep(0.001)


class TransportContract:
    """The suite. `link` gives a fresh, bound `Link`."""

    #: A waiting task of any lane is among the next so many taken, whatever the other lanes hold.
    starvation_takes = 24

    async def fetch_all(self, link: Link, count: int, pool: PoolName = POOL) -> list[StepTask]:
        """`count` tasks, in the order they are handed out, one at a time."""
        found: list[StepTask] = []
        with anyio.fail_after(WAIT_S):
            while len(found) < count:
                found += await link.workers.fetch(pool, 1)
        return found

    async def quiet(self, link: Link) -> bool:
        """Whether nothing waits in the pool."""
        return all(row.waiting == 0 for row in await link.owner.backlog())

    async def test_a_task_arrives_whole_and_once(self, link: Link) -> None:
        link.owner.send(task(1))

        assert await self.fetch_all(link, 1) == [task(1)]
        assert link.workers.take(POOL) is None

    async def test_fetch_waits_until_a_task_comes(self, link: Link) -> None:
        found: list[StepTask] = []

        async def fetch() -> None:
            found.extend(await link.workers.fetch(POOL, 4))

        async with anyio.create_task_group() as group:
            group.start_soon(fetch)
            await anyio.wait_all_tasks_blocked()
            assert found == []
            link.owner.send(task(1))

        assert found == [task(1)]

    async def test_fetch_gives_at_most_the_slots_asked_for(self, link: Link) -> None:
        for number in range(5):
            link.owner.send(task(number))

        found: list[StepTask] = []
        with anyio.fail_after(WAIT_S):
            while len(found) < 5:
                part = await link.workers.fetch(POOL, 2)
                assert 1 <= len(part) <= 2
                found += part

        assert found == [task(number) for number in range(5)]

    async def test_many_fetchers_share_the_tasks_without_overlap(self, link: Link) -> None:
        found: list[int] = []

        async def fetch() -> None:
            while True:
                for got in await link.workers.fetch(POOL, 3):
                    found.append(got.key.branch)
                    link.workers.post(done(got.key.branch))
                if len(found) >= 100:
                    group.cancel_scope.cancel()

        with anyio.fail_after(WAIT_S):
            async with anyio.create_task_group() as group:
                for _ in range(7):
                    group.start_soon(fetch)
                for number in range(100):
                    link.owner.send(task(number))
                    if number % 10 == 0:
                        await anyio.lowlevel.checkpoint()

        assert sorted(found) == list(range(100))

    async def test_a_cancelled_fetch_loses_nothing(self, link: Link) -> None:
        found: list[StepTask] = []

        async def fetch() -> None:
            found.extend(await link.workers.fetch(POOL, 1))

        async with anyio.create_task_group() as group:
            group.start_soon(fetch)
            await anyio.wait_all_tasks_blocked()
            link.owner.send(task(1))  # the wake-up and the cancellation meet
            group.cancel_scope.cancel()

        found = found or await self.fetch_all(link, 1)
        assert found == [task(1)]
        assert link.workers.take(POOL) is None

    async def test_pools_are_apart(self, link: Link) -> None:
        link.owner.send(task(1))
        link.owner.send(task(2, pool=OTHER))

        assert await self.fetch_all(link, 1, OTHER) == [task(2, pool=OTHER)]
        assert link.workers.take(OTHER) is None
        assert await self.fetch_all(link, 1) == [task(1)]

    async def test_higher_lanes_come_first_and_each_lane_keeps_its_order(self, link: Link) -> None:
        for number, lane in enumerate(("batch", "normal", "high", "low", "high", "normal")):
            link.owner.send(task(number, lane))  # type: ignore[arg-type]  # the literals are lanes

        found = await self.fetch_all(link, 6)

        assert [got.key.branch for got in found] == [2, 4, 1, 5, 3, 0]

    async def test_no_lane_starves_under_a_flood_of_the_others(self, link: Link) -> None:
        for starving in LANES[1:]:
            link.owner.send(task(-1, starving))
            others: list[Lane] = [lane for lane in LANES if lane != starving]
            numbers = iter(range(10_000))
            for lane in others * 3:
                link.owner.send(task(next(numbers), lane))
            for _ in range(self.starvation_takes):
                (got,) = await self.fetch_all(link, 1)
                link.workers.post(done(got.key.branch))
                if got.lane == starving:
                    break
                link.owner.send(task(next(numbers), got.lane))
            else:
                raise AssertionError(f"lane {starving} got nothing in {self.starvation_takes} takes")
            while (rest := link.workers.take(POOL)) is not None:
                link.workers.post(done(rest.key.branch))

    async def test_equal_histories_give_equal_orders(self, link: Link) -> None:
        orders = []
        for start in (0, 1_000):
            for number in range(96):
                link.owner.send(task(start + number, LANES[number * 7 % len(LANES)]))
            found = await self.fetch_all(link, 96)
            for got in found:
                link.workers.post(done(got.key.branch))
            orders.append([got.key.branch - start for got in found])

        assert orders[0] == orders[1]

    async def test_a_task_sent_twice_is_handed_out_once(self, link: Link) -> None:
        link.owner.send(task(1))
        link.owner.send(task(1))
        assert await self.fetch_all(link, 1) == [task(1)]
        link.owner.send(task(1))  # still running

        assert link.workers.take(POOL) is None

    async def test_an_answered_key_can_be_sent_again(self, link: Link) -> None:
        link.owner.send(task(1))
        await self.fetch_all(link, 1)
        link.workers.post(done(1))
        await until(lambda: link.messages == [done(1)])

        link.owner.send(task(1))

        assert await self.fetch_all(link, 1) == [task(1)]

    async def test_a_revoked_waiting_task_is_never_handed_out(self, link: Link) -> None:
        for number in range(3):
            link.owner.send(task(number))
        link.owner.revoke(key(1))
        link.owner.revoke(key(1))

        found = await self.fetch_all(link, 2)

        assert [got.key.branch for got in found] == [0, 2]
        assert link.workers.take(POOL) is None
        assert link.cancelled == []

    async def test_a_revoked_task_can_be_sent_again(self, link: Link) -> None:
        link.owner.send(task(1))
        link.owner.revoke(key(1))
        link.owner.send(task(1))

        assert await self.fetch_all(link, 1) == [task(1)]
        assert link.workers.take(POOL) is None

    async def test_a_revoked_running_task_is_cancelled_once(self, link: Link) -> None:
        link.owner.send(task(1))
        await self.fetch_all(link, 1)

        link.owner.revoke(key(1))
        link.owner.revoke(key(1))

        await until(lambda: len(link.cancelled) >= 1)
        assert link.cancelled == [key(1)]

    async def test_a_late_answer_after_a_revocation_is_harmless(self, link: Link) -> None:
        link.owner.send(task(1))
        link.owner.send(task(2))
        await self.fetch_all(link, 2)
        link.owner.revoke(key(1))

        link.workers.post(done(1))
        link.workers.post(done(2))

        await until(lambda: done(2) in link.messages)
        assert [(row.waiting, row.running) for row in await link.owner.backlog() if row.pool == POOL] == [(0, 0)]

    async def test_revoking_what_nobody_knows_changes_nothing(self, link: Link) -> None:
        link.owner.revoke(key(9))
        link.owner.send(task(9))

        assert await self.fetch_all(link, 1) == [task(9)]
        assert link.cancelled == []

    async def test_messages_reach_the_owner_whole_and_in_order(self, link: Link) -> None:
        link.owner.send(task(1))
        await self.fetch_all(link, 1)
        said: list[TaskMessage] = [
            TaskStarted(key=key(1), worker="worker", at_s=5.0),
            TaskProgress(key=key(1), worker="worker", fraction=0.5, message="half"),
            TaskProgress(key=key(1), worker="worker", journal=False),
            TaskEvidence(key=key(1), worker="worker", tool="search", result={"found": [1]}),
            TaskSpent(key=key(1), worker="worker", charge="c1", usd=0.5, tokens=7),
            TaskFailed(key=key(1), worker="worker", error="rate_limit", message="slow down", retry_after_s=3.0),
        ]

        for message in said:
            link.workers.post(message)

        await until(lambda: len(link.messages) == len(said))
        assert link.messages == said

    async def test_a_worker_gets_the_owners_word_on_money(self, link: Link) -> None:
        granted, refused = OwnerReply(granted=True), OwnerReply(granted=False, limit="usd", left=0.25)
        link.replies = [granted, refused]
        link.owner.send(task(1))
        await self.fetch_all(link, 1)
        request = SpendRequest(key=key(1), charge="c1", usd=0.5, tokens=7)

        replies = [await link.workers.ask(request), await link.workers.ask(replace(request, charge="c2"))]

        assert replies == [granted, refused]
        assert link.asked == [request, replace(request, charge="c2")]

    async def test_the_backlog_counts_exactly(self, link: Link) -> None:
        for number, lane in enumerate(("high", "high", "normal", "normal", "normal", "low", "batch")):
            link.owner.send(task(number, lane))  # type: ignore[arg-type]  # the literals are lanes
        await self.fetch_all(link, 3)  # 0, 1 and 2 run
        link.owner.revoke(key(3))
        link.owner.revoke(key(1))
        link.workers.post(done(0))
        link.now_s = 1_010.0
        await until(lambda: done(0) in link.messages)

        rows = [row for row in await link.owner.backlog() if row.pool == POOL]

        lanes = {"high": 0, "normal": 1, "low": 1, "batch": 1}
        assert rows == [Backlog(pool=POOL, waiting=3, running=1, oldest_wait_s=6.0, by_lane=lanes)]
