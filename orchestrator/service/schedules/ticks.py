"""The moments of a schedule, and which of them are to be started: pure rules over times."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from orchestrator.errors import ScheduleRefused
from orchestrator.ports.schedules import Schedule

FIELDS: Final = 5
CRON_CHARS_MAX: Final = 200
LATE_S: Final = 60.0  #: a moment that is over for longer was missed
_WINDOWS_S: Final = (3_600.0, 86_400.0, 31 * 86_400.0, 1_000 * 86_400.0)  #: how far back moments are looked for
_OWN: Final = ("localtime", "posixrules", "posix/", "right/")  #: of one machine, or with leap seconds counted in
YEARS: Final = (1970, 9_000)  #: in which clocks and time zones can be worked out


def zone_of(name: str) -> ZoneInfo:
    """A time zone.

    Raises:
        ScheduleRefused: there is none of this name here.
    """
    found: ZoneInfo | None = None
    if not name.startswith(_OWN):
        with suppress(ValueError, OSError, KeyError):
            found = ZoneInfo(name)
    if found is None:
        raise ScheduleRefused(
            f"there is no time zone {name!r:.80} here",
            "use an IANA name such as Europe/Berlin; the package tzdata has all",
        )
    return found


def check_cron(cron: str, zone: str, now_s: float) -> None:
    """Refuse what is no cron expression, or one that never comes.

    Raises:
        ScheduleRefused: with what is wrong.
    """
    if len(cron) > CRON_CHARS_MAX or len(cron.split()) != FIELDS:
        raise ScheduleRefused(
            f"{cron!r:.80} has not five fields", "write minute, hour, day of month, month, day of week: 0 7 * * MON-FRI"
        )
    try:
        first = next(ticks_after(cron, zone, now_s), None)
    except (CronSimError, ValueError) as error:
        raise ScheduleRefused(f"{cron!r:.80} is no cron expression: {error}", "write such as 0 7 * * MON-FRI") from None
    if first is None:
        raise ScheduleRefused(f"{cron!r:.80} never comes", "name a day that there is")


def ticks_after(cron: str, zone: str, after_s: float) -> Iterator[float]:
    """Moments after `after_s`, in order, in seconds since the epoch; ends where the calendar does.

    Where clocks are put forward, what would fall into the gap comes right after it; where they are put back, a fixed
    time comes once, and what comes every so many minutes goes on coming. That is how Debian's cron does it.
    """
    tz = UTC if zone == "UTC" else zone_of(zone)
    before_s = after_s
    for moment in CronSim(cron, datetime.fromtimestamp(after_s, tz)):
        at_s = moment.timestamp()
        if moment.year > YEARS[1]:
            return
        if at_s > before_s:  # local time repeats itself in autumn, and the walk begins in local time
            before_s = at_s
            yield at_s


def newest(schedule: Schedule, until_s: float, limit: int) -> list[float]:
    """The newest moments after `seen_s`, up to and with `until_s`: at most `limit`, oldest first.

    Looks back step by step, so that a year without anybody watching costs no more than the moments that count.
    """
    if schedule.at_s is not None:
        return [schedule.at_s] if schedule.seen_s < schedule.at_s <= until_s else []
    assert schedule.cron is not None, "a schedule has one of the two"
    found: list[float] = []
    for window_s in _WINDOWS_S:
        begin_s = max(schedule.seen_s, until_s - window_s)
        found = []
        for at_s in ticks_after(schedule.cron, schedule.zone, begin_s):
            if at_s > until_s:
                break
            found.append(at_s)
        if len(found) > limit or begin_s == schedule.seen_s:
            break
    return found[-limit:]


def due(schedule: Schedule, now_s: float) -> tuple[float, ...]:
    """The moments to start, of those that came since `seen_s`.

    One that came within `LATE_S` is on time. Of those missed before, `skip` starts none, `all` the newest `missed_max`;
    `last` starts the newest moment alone, missed or not. A schedule for one moment starts late under all but `skip`.
    """
    found = newest(schedule, now_s, schedule.missed_max if schedule.missed == "all" else 2)
    on_time = [at_s for at_s in found if at_s > now_s - LATE_S]
    match schedule.missed:
        case "skip":
            return tuple(on_time)
        case "last":
            return tuple(found[-1:])
        case "all":
            return tuple(found)


def next_s(schedule: Schedule, after_s: float) -> float | None:
    """The next moment; None: there is none, or the schedule is not active."""
    if schedule.state != "active":
        return None
    if schedule.at_s is not None:
        return schedule.at_s if schedule.at_s > after_s else None
    assert schedule.cron is not None, "a schedule has one of the two"
    return next(ticks_after(schedule.cron, schedule.zone, after_s), None)


def woken(schedule: Schedule) -> Schedule:
    """The schedule with the moment at which it has to be looked at next: at once while it owes a start."""
    return replace(schedule, wake_s=schedule.owed[0] if schedule.owed else next_s(schedule, schedule.seen_s))
