"""What any store of schedules must do: subclass `SchedulesContract`, supply `store`. Needs pytest."""

from dataclasses import replace

import anyio

from orchestrator.ids import TenantId
from orchestrator.ports.schedules import Schedule, Schedules

TENANT, OTHERS = TenantId("default"), TenantId("others")


def schedule(name: str = "sc-1", **changes: object) -> Schedule:
    """A schedule with something in every field."""
    made = Schedule(
        id=name,
        tenant=TENANT,
        name="every morning ☀",
        cron="0 7 * * *",
        zone="Europe/Berlin",
        plan={"name": "p", "steps": {"a": [1, 2.5, None, True]}},
        inputs={"topic": "heat pumps", "deep": {"list": [1, {"x": "é"}]}},
        budget={"usd": 1.5},
        lane="high",
        missed="all",
        missed_max=3,
        created_at_s=1.25,
        seen_s=1.25,
        owed=(2.5, 3.5),
        last_at_s=0.5,
        last_run="run-0",
        note="",
        wake_s=10.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # a test's own words


class SchedulesContract:
    """What any store of schedules must do. Subclasses supply the fixture `store`: open and empty."""

    async def test_a_schedule_comes_back_as_it_was_kept(self, store: Schedules) -> None:
        plain = schedule("sc-2", plan="named", cron=None, at_s=5.0, budget=None, owed=(), last_at_s=None, wake_s=None)
        for one in (schedule(), plain):
            assert await store.save(one) is True

        assert await store.get(TENANT, "sc-1") == schedule(version=1)
        assert await store.get(TENANT, "sc-2") == replace(plain, version=1)

    async def test_a_change_of_what_is_not_the_newest_is_refused(self, store: Schedules) -> None:
        assert await store.save(schedule()) is True
        assert await store.save(schedule()) is False
        assert await store.save(schedule(version=1, owed=())) is True
        assert await store.save(schedule(version=1, note="late")) is False
        assert await store.save(schedule("sc-9", version=4)) is False

        assert await store.get(TENANT, "sc-1") == schedule(version=2, owed=())
        assert await store.get(TENANT, "sc-9") is None

    async def test_of_many_who_change_at_once_one_does(self, store: Schedules) -> None:
        await store.save(schedule())
        said: list[bool] = []

        async def change(number: int) -> None:
            said.append(await store.save(schedule(version=1, note=str(number))))

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(change, number)

        assert sorted(said) == [False] * 19 + [True]

    async def test_schedules_are_their_tenants_own(self, store: Schedules) -> None:
        await store.save(schedule("sc-2", created_at_s=2.0))
        await store.save(schedule("sc-1"))
        await store.save(schedule("sc-3", tenant=OTHERS))

        assert [one.id for one in await store.of_tenant(TENANT)] == ["sc-1", "sc-2"]
        assert await store.get(OTHERS, "sc-1") is None
        assert await store.remove(OTHERS, "sc-1") is False
        assert await store.remove(TENANT, "sc-1") is True
        assert await store.remove(TENANT, "sc-1") is False
        assert [one.id for one in await store.of_tenant(TENANT)] == ["sc-2"]

    async def test_what_has_to_be_looked_at_comes_longest_waiting_first(self, store: Schedules) -> None:
        for name, wake_s in (("a", 5.0), ("b", 4.0), ("c", None), ("d", 6.0), ("e", 4.0)):
            await store.save(schedule(name, wake_s=wake_s, tenant=OTHERS if name == "b" else TENANT))

        assert [one.id for one in await store.due(5.0, 10)] == ["b", "e", "a"]
        assert [one.id for one in await store.due(6.0, 2)] == ["b", "e"]
        assert await store.due(3.9, 10) == []
