"""The lane: every item has one end, no group is handed over twice, whatever dies and wherever."""

from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest
import trio.testing

from orchestrator.adapters.memory.batches import MemoryBatches
from orchestrator.models.batch.lane import BatchLane, Pace
from orchestrator.ports.batches import BatchEntry, BatchItem, BatchOutcome
from orchestrator.ports.model_errors import ModelBadRequest, ModelUnavailable
from orchestrator.testing.batches_contract import item
from tests.batch.service import Died, FakeService, answer, down

PACE = Pace(gather_s=10.0, poll_s=30.0, lease_s=60.0, items_max=50, grace_s=40.0)


pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """The lane waits for minutes: only where the clock jumps."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


def lane(service: FakeService, store: MemoryBatches, owner: str = "o", **pace: float) -> BatchLane:
    changed = replace(PACE, **pace)  # type: ignore[arg-type]  # numbers
    return BatchLane({"l": service}, store, owner=owner, pace=changed, now_s=anyio.current_time)


def asked(name: str, wait_s: float = 3_600.0) -> BatchItem:
    now_s = anyio.current_time()
    return item(name, asked_at_s=now_s, until_s=now_s + wait_s)


async def outcomes(of: BatchLane, names: list[str], wait_s: float = 3_600.0) -> dict[str, BatchEntry]:
    found: dict[str, BatchEntry] = {}

    async def one(name: str) -> None:
        found[name] = await of.outcome(asked(name, wait_s))

    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(one, name)
    return found


NAMES = [f"i{n}" for n in range(20)]


async def test_items_are_handed_over_together_and_matched_by_their_ids() -> None:
    service = FakeService()
    found = await outcomes(lane(service, MemoryBatches()), NAMES)
    assert {name: one.reply.text for name, one in found.items() if one.reply} == {name: f"Ω {name}" for name in NAMES}
    assert [len(one.items) for one in service.batches.values()] == [20]


async def test_a_full_group_does_not_wait_for_others_to_gather() -> None:
    service = FakeService()
    began = anyio.current_time()
    await outcomes(lane(service, MemoryBatches(), items_max=8, gather_s=10.0), NAMES)
    assert sorted(len(one.items) for one in service.batches.values()) == [4, 8, 8]
    assert anyio.current_time() - began < 100.0


async def test_partial_failure_is_told_item_by_item() -> None:
    def work(one: BatchItem) -> BatchOutcome | None:
        number = int(one.id[1:])
        if number == 3:
            return None
        return BatchOutcome(id=one.id, error="status_400") if number == 5 else answer(one)

    found = await outcomes(lane(FakeService(work=work), MemoryBatches()), NAMES)
    assert {name: (one.state, one.error) for name, one in found.items() if one.state != "answered"} == {
        "i3": ("failed", "missing"),
        "i5": ("failed", "status_400"),
    }


async def test_what_is_given_back_untouched_is_handed_over_once_more_and_then_left() -> None:
    service = FakeService(work=lambda one: BatchOutcome(id=one.id, error="batch_expired", untouched=True))
    found = await outcomes(lane(service, MemoryBatches()), ["a"])
    assert (found["a"].state, found["a"].error, found["a"].sent) == ("failed", "untouched", 2)
    assert len(service.batches) == 2


async def test_a_group_that_is_refused_fails_at_once() -> None:
    found = await outcomes(lane(FakeService(ends="refused"), MemoryBatches()), ["a", "b"])
    assert {one.error for one in found.values()} == {"refused"}

    def trouble(call: str, after: bool) -> None:
        if call == "submit":
            raise ModelBadRequest("m", "no")

    found = await outcomes(lane(FakeService(trouble=trouble), MemoryBatches()), ["a"])
    assert (found["a"].state, found["a"].error) == ("failed", ModelBadRequest.kind)


async def test_after_its_time_an_item_is_late_its_group_is_cancelled_and_what_came_by_then_counts() -> None:
    never = FakeService(rounds=10_000)
    found = await outcomes(lane(never, MemoryBatches()), ["a", "b"], wait_s=100.0)
    assert {one.state for one in found.values()} == {"answered"}
    assert never.calls.count("cancel") == 1

    lost = FakeService(rounds=10_000, trouble=lambda call, after: None)
    lost.work = lambda one: None if one.id == "a" else answer(one)
    found = await outcomes(lane(lost, MemoryBatches()), ["a", "b"], wait_s=100.0)
    assert {name: one.error for name, one in found.items()} == {"a": "missing", "b": ""}


async def test_a_service_that_cannot_be_asked_costs_no_more_than_the_deadline() -> None:
    def trouble(call: str, after: bool) -> None:
        raise ModelUnavailable("m", "down", 1.0)

    service, began = FakeService(trouble=trouble), anyio.current_time()
    found = await outcomes(lane(service, MemoryBatches()), ["a"], wait_s=200.0)
    assert (found["a"].state, found["a"].error) == ("failed", "late")
    assert anyio.current_time() - began == pytest.approx(240.0, abs=35.0)
    assert service.batches == {}


@pytest.mark.parametrize("after", [False, True])
async def test_a_submission_whose_answer_was_lost_is_looked_for_before_it_is_made_again(after: bool) -> None:
    service = FakeService(trouble=down("m", "submit", after=after))
    found = await outcomes(lane(service, MemoryBatches()), NAMES)
    assert all(one.state == "answered" for one in found.values())
    assert len(service.batches) == 1
    assert service.calls.count("submit") == (1 if after else 2)
    assert service.calls.count("find") == 1


CALLS = ("submit", "state", "outcomes")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", CALLS)
async def test_whoever_comes_after_a_death_goes_on_and_hands_nothing_over_twice(call: str, after: bool) -> None:
    def dies(name: str, late: bool) -> None:
        if (name, late) == (call, after):
            raise Died

    service, store = FakeService(trouble=dies), MemoryBatches()
    with pytest.raises(BaseExceptionGroup):
        await outcomes(lane(service, store, owner="first"), NAMES)
    service.trouble = lambda call, after: None
    found = await outcomes(lane(service, store, owner="second"), NAMES)
    assert {name: one.reply.text for name, one in found.items() if one.reply} == {name: f"Ω {name}" for name in NAMES}
    assert len(service.batches) == 1


async def test_two_processes_on_one_store_share_the_work() -> None:
    service, store = FakeService(), MemoryBatches()
    first, second = lane(service, store, owner="first"), lane(service, store, owner="second")
    found: dict[str, BatchEntry] = {}

    async def part(of: BatchLane, names: list[str]) -> None:
        found.update(await outcomes(of, names))

    async with anyio.create_task_group() as group:
        group.start_soon(part, first, NAMES[:10])
        group.start_soon(part, second, NAMES[10:])
    assert all(one.reply is not None for one in found.values())
    assert sum(len(one.items) for one in service.batches.values()) == len(NAMES)
    assert len({one.key for one in service.batches.values()}) == len(service.batches)


async def test_who_stops_waiting_takes_a_waiting_item_back_and_leaves_one_that_is_worked_on() -> None:
    service, store = FakeService(rounds=5), MemoryBatches()
    of = lane(service, store)
    with anyio.move_on_after(5.0):
        await of.outcome(asked("a"))
    assert [one.state for one in await store.look(["a"])] == ["withdrawn"]
    with anyio.move_on_after(50.0):
        await of.outcome(asked("a"))
    assert [one.state for one in await store.look(["a"])] == ["sent"]
    assert (await of.outcome(asked("a"))).state == "answered"
    assert len(service.batches) == 1


async def test_a_word_of_the_service_ends_the_wait() -> None:
    service = FakeService(rounds=0)
    of = lane(service, MemoryBatches(), poll_s=3_000.0)
    began = anyio.current_time()
    found: list[BatchEntry] = []

    async def wait() -> None:
        found.append(await of.outcome(asked("a", 9_000.0)))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.sleep(20.0)
        assert [len(one.items) for one in service.batches.values()] == [1]
        assert found == []
        of.heard()
    assert [one.state for one in found] == ["answered"]
    assert anyio.current_time() - began < 25.0


@pytest.mark.parametrize("count", [2, 200])
async def test_however_many_wait_the_service_is_looked_at_once_a_poll(count: int) -> None:
    service, store = FakeService(rounds=5), MemoryBatches()
    found = await outcomes(lane(service, store, items_max=500), [f"i{n}" for n in range(count)])
    assert all(one.state == "answered" for one in found.values())
    assert service.calls == ["submit", *["state"] * 6, "outcomes"]


async def test_when_the_one_who_looks_after_all_leaves_the_next_one_goes_on() -> None:
    service, store = FakeService(rounds=3), MemoryBatches()
    of = lane(service, store)
    async with anyio.create_task_group() as group:
        first = anyio.CancelScope()

        async def leaves() -> None:
            with first:
                await of.outcome(asked("first"))

        group.start_soon(leaves)
        await anyio.sleep(1.0)
        found: list[BatchEntry] = []

        async def stays() -> None:
            found.append(await of.outcome(asked("second")))

        group.start_soon(stays)
        await anyio.sleep(25.0)
        first.cancel()
    assert [one.state for one in found] == ["answered"]
    assert len(service.batches) == 1


async def test_a_word_is_heard_at_every_endpoint_also_while_a_look_is_under_way() -> None:
    one, other = FakeService(rounds=0), FakeService(rounds=0)
    of = BatchLane(
        {"l": one, "m": other},
        MemoryBatches(),
        owner="o",
        pace=replace(PACE, poll_s=3_000.0),
        now_s=anyio.current_time,
    )
    found: list[str] = []

    async def wait(name: str, line: str) -> None:
        found.append((await of.outcome(replace(asked(name, 9_000.0), line=line))).state)

    async with anyio.create_task_group() as group:
        group.start_soon(wait, "a", "l")
        group.start_soon(wait, "b", "m")
        await anyio.sleep(20.0)
        of.heard()
        await anyio.sleep(5.0)
        assert found == ["answered", "answered"]


async def test_a_hand_over_that_takes_longer_than_its_lease_is_not_taken_over_by_another_process() -> None:
    class Slow(FakeService):
        async def submit(self, key: str, items: Sequence[BatchItem]) -> str:
            await anyio.sleep(200.0)
            return await super().submit(key, items)

    service, store = Slow(), MemoryBatches()
    first, second = lane(service, store, owner="first"), lane(service, store, owner="second")
    async with anyio.create_task_group() as group:
        group.start_soon(outcomes, first, ["a"])
        await anyio.sleep(15.0)
        group.start_soon(outcomes, second, ["a"])
    assert len(service.batches) == 1
    assert service.calls.count("find") == 0


async def asked_by(of: BatchLane, askers: dict[str, anyio.CancelScope]) -> None:
    """Ask for one item of each asker, until its scope is cancelled."""

    async def one(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            await of.outcome(asked(name), name)

    async with anyio.create_task_group() as group:
        for name, scope in askers.items():
            group.start_soon(one, name, scope)


async def test_a_group_of_which_nobody_wants_anything_is_cancelled_and_no_other() -> None:
    service, store = FakeService(rounds=10_000), MemoryBatches()
    of, scopes = lane(service, store), {name: anyio.CancelScope() for name in ("a", "b", "c")}
    async with anyio.create_task_group() as group:
        group.start_soon(asked_by, of, scopes)
        await anyio.sleep(20.0)
        for name in ("a", "b"):
            of.unwanted(name)
            scopes[name].cancel()
        await anyio.sleep(1.0)
        assert service.calls.count("cancel") == 0  # c still wants something of it
        of.unwanted("c")
        scopes["c"].cancel()
    assert service.calls.count("cancel") == 1
    assert [(one.state, one.error) for one in await store.look(["a", "b", "c"])] == [("failed", "unwanted")] * 3


async def test_who_only_stops_waiting_leaves_the_group_to_whoever_goes_on() -> None:
    service, store = FakeService(rounds=10_000), MemoryBatches()
    of, scopes = lane(service, store), {name: anyio.CancelScope() for name in ("a", "b")}
    async with anyio.create_task_group() as group:
        group.start_soon(asked_by, of, scopes)
        await anyio.sleep(20.0)
        of.unwanted("a")
        for scope in scopes.values():
            scope.cancel()
    assert service.calls.count("cancel") == 0
    assert [one.state for one in await store.look(["b"])] == ["sent"]
