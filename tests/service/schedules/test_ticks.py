"""The moments of a schedule: time zones, the two odd days of the year, and what was missed."""

from datetime import UTC, datetime
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import ScheduleRefused
from orchestrator.ports.schedules import Schedule
from orchestrator.service.schedules.ticks import check_cron, due, newest, next_s, ticks_after, woken, zone_of
from orchestrator.testing.schedules_contract import schedule

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
CRONS = ["* * * * *", "*/5 * * * *", "30 2 * * *", "0 */3 * * *", "15 1,2,3 * * SUN", "0 0 29 2 *", "0 7 * * MON-FRI"]
ZONES = ["UTC", BERLIN, NEW_YORK, "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns"]


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def moments(cron: str, zone: str, after: str, count: int) -> list[str]:
    """As UTC, to the minute."""
    found = islice(ticks_after(cron, zone, at(after, zone)), count)
    return [datetime.fromtimestamp(one, UTC).strftime("%m-%d %H:%M") for one in found]


def test_fields_are_read_in_the_zone_of_the_schedule() -> None:
    assert moments("0 7 * * MON-FRI", BERLIN, "2026-07-03 12:00", 2) == ["07-06 05:00", "07-07 05:00"]
    assert moments("0 7 * * MON-FRI", BERLIN, "2026-12-04 12:00", 2) == ["12-07 06:00", "12-08 06:00"]


def test_what_falls_into_the_gap_of_spring_comes_right_after_it() -> None:
    # 29 March 2026: 02:00 becomes 03:00 in Berlin.
    assert moments("30 2 * * *", BERLIN, "2026-03-28 00:00", 3) == ["03-28 01:30", "03-29 01:00", "03-30 00:30"]


def test_a_fixed_time_comes_once_when_an_hour_is_lived_twice() -> None:
    # 25 October 2026: 03:00 becomes 02:00 in Berlin; 02:30 there is 00:30 and again 01:30 UTC.
    assert moments("30 2 * * *", BERLIN, "2026-10-24 12:00", 2) == ["10-25 00:30", "10-26 01:30"]


def test_what_comes_every_so_many_minutes_goes_on_through_the_hour_that_is_lived_twice() -> None:
    found = list(islice(ticks_after("*/30 * * * *", BERLIN, at("2026-10-25 01:00", BERLIN)), 8))

    assert [b - a for a, b in pairwise(found)] == [1_800.0] * 7


@given(cron=st.sampled_from(CRONS), zone=st.sampled_from(ZONES), start=st.integers(1_750_000_000, 1_850_000_000))
def test_moments_ascend_and_are_the_same_from_wherever_the_walk_begins(cron: str, zone: str, start: int) -> None:
    found = list(islice(ticks_after(cron, zone, float(start)), 6))

    assert found == sorted(set(found))
    assert all(one > start for one in found)
    for number, one in enumerate(found[:-1]):
        assert next(ticks_after(cron, zone, one)) == found[number + 1]
        between = (one + found[number + 1]) // 2
        assert next(ticks_after(cron, zone, between)) == found[number + 1]


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("", "has not five fields"),
        ("* * * *", "has not five fields"),
        ("* * * * * *", "has not five fields"),
        ("61 * * * *", "Bad minute"),
        ("x * * * *", "Bad minute"),
        ("0 0 31 2 *", "Bad day-of-month"),
        ("@daily", "has not five fields"),
        ("*/0 * * * *", "Bad minute"),
        ("0" * 300 + " * * * *", "has not five fields"),
    ],
)
def test_what_never_comes_is_refused(cron: str, says: str) -> None:
    with pytest.raises(ScheduleRefused, match=says):
        check_cron(cron, "UTC", 0.0)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "", "x" * 999, "Europe/Berlin\0"])
def test_a_zone_that_is_not_there_is_refused(zone: str) -> None:
    with pytest.raises(ScheduleRefused, match="no time zone"):
        zone_of(zone)


def every_minute(**changes: object) -> Schedule:
    return schedule(cron="* * * * *", zone="UTC", owed=(), **changes)


@pytest.mark.parametrize(
    ("missed", "seen_s", "now_s", "starts"),
    [
        ("skip", 0.0, 59.0, ()),
        ("skip", 0.0, 60.0, (60.0,)),
        ("skip", 0.0, 119.0, (60.0,)),
        ("skip", 0.0, 600.0, (600.0,)),
        ("skip", 0.0, 659.9, (600.0,)),
        ("last", 0.0, 60.0, (60.0,)),
        ("last", 0.0, 659.0, (600.0,)),
        ("last", 600.0, 659.0, ()),
        ("all", 0.0, 659.0, (480.0, 540.0, 600.0)),
        ("all", 540.0, 659.0, (600.0,)),
    ],
)
def test_what_was_missed_is_started_as_the_schedule_says(
    missed: str, seen_s: float, now_s: float, starts: tuple[float, ...]
) -> None:
    assert due(every_minute(missed=missed, missed_max=3, seen_s=seen_s), now_s) == starts


def test_a_daily_schedule_that_was_missed_is_skipped_or_started_late() -> None:
    seen_s, now_s = at("2026-05-01 08:00"), at("2026-05-04 12:00")
    morning = [at(f"2026-05-0{day} 07:00") for day in (2, 3, 4)]

    def starts(missed: str) -> tuple[float, ...]:
        return due(schedule(cron="0 7 * * *", zone="UTC", missed=missed, missed_max=10, seen_s=seen_s), now_s)

    assert [starts(missed) for missed in ("skip", "last", "all")] == [(), (morning[2],), tuple(morning)]


@given(
    cron=st.sampled_from(CRONS),
    zone=st.sampled_from(ZONES),
    seen=st.integers(1_750_000_000, 1_760_000_000),
    hours=st.integers(0, 24 * 40),
    limit=st.integers(1, 5),
)
def test_the_newest_moments_are_the_end_of_all_moments(cron: str, zone: str, seen: int, hours: int, limit: int) -> None:
    until_s = seen + hours * 3_600.0 + 7
    every = []
    for one in ticks_after(cron, zone, float(seen)):
        if one > until_s or len(every) > 60_000:
            break
        every.append(one)

    assert newest(schedule(cron=cron, zone=zone, seen_s=float(seen)), until_s, limit) == every[-limit:]


def test_ten_years_without_anybody_watching_cost_a_few_thousand_moments() -> None:
    until_s = at("2036-01-01 00:00")
    found = newest(every_minute(seen_s=at("2026-01-01 00:00")), until_s, 100)

    assert found == [until_s - 60.0 * back for back in reversed(range(100))]


def test_one_moment_comes_once_and_a_paused_schedule_sleeps() -> None:
    once = schedule(cron=None, at_s=100.0, seen_s=50.0, owed=())

    assert [due(once, now_s) for now_s in (99.0, 100.0, 9_999.0)] == [(), (100.0,), (100.0,)]
    assert woken(once).wake_s == 100.0
    assert woken(schedule(cron=None, at_s=100.0, seen_s=100.0, owed=())).wake_s is None
    assert woken(schedule(cron=None, at_s=100.0, seen_s=50.0, owed=(), state="paused")).wake_s is None
    assert woken(schedule(cron=None, at_s=100.0, seen_s=100.0, owed=(100.0,), state="done")).wake_s == 100.0
    assert next_s(every_minute(), 61.0) == 120.0
