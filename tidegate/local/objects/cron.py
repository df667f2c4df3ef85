"""Cron schedules as Knative's PingSource reads them, which is the syntax of the Go library robfig/cron v3.

Libraries of Python read another syntax: cronsim and croniter take 7 for Sunday, `L` and `#`, and move a run that falls
into the missing hour of a clock change, as Debian's cron does; APScheduler counts weekdays from Monday. A schedule
that works here must work alike on a cluster.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from common.errors import RemediedError

# As in robfig/cron, a schedule without a time within this many years is never due.
_YEARS = 5
# Offsets of time zones, and the times at which they change, are multiples of this.
_QUARTER = timedelta(minutes=15)
_SECOND = timedelta(seconds=1)
# No clock change is larger, except those that skip a day: such a day is then searched by quarters of an hour.
_LARGEST_CHANGE = timedelta(hours=3)

_NUMBER = re.compile(r"\+?[0-9]{1,9}")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DESCRIPTORS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}


class InvalidSchedule(RemediedError, ValueError):
    """A schedule, or its time zone, is invalid. `field` is the one of the PingSource: `schedule` or `timezone`."""

    def __init__(self, message: str, *, remedy: str, field: str = "schedule") -> None:
        super().__init__(message, remedy=remedy)
        self.field = field


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The name of a field, its least and greatest value, and names for its values from the least on."""

    name: str
    least: int
    greatest: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """Return the value of a number or a name. Raises ValueError."""
        if text.lower() in self.names:
            return self.least + self.names.index(text.lower())
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"{text!r} is not a number" if not self.names else f"{text!r} is neither a number nor a name")
        return int(text)


_FIELDS = (
    _Bounds("second", 0, 59),
    _Bounds("minute", 0, 59),
    _Bounds("hour", 0, 23),
    _Bounds("day of month", 1, 31),
    _Bounds("month", 1, 12, _MONTHS),
    _Bounds("day of week", 0, 6, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class _Field:
    """The values of a field. `star` is whether `*` or `?` without a step is among them."""

    values: frozenset[int]
    star: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A parsed schedule in its time zone."""

    seconds: _Field
    minutes: _Field
    hours: _Field
    days: _Field
    months: _Field
    weekdays: _Field
    zone: tzinfo

    def next(self, after: datetime) -> datetime | None:
        """Return the first time after another one at which the schedule is due, in UTC; None without one in five years.

        It is the first second whose local time matches. So a local time that a clock change skips is not due on that
        day, and one that it repeats is due twice.
        """
        time = after.astimezone(UTC).replace(microsecond=0) + _SECOND
        last_year = time.astimezone(self.zone).year + _YEARS
        while (local := time.astimezone(self.zone)).year <= last_year:
            if not self._is_day(local):
                time = self._start_of_next_day(time, local)
            elif local.hour not in self.hours.values:
                time = _next_quarter(time)
            elif local.minute not in self.minutes.values:
                time += timedelta(seconds=60 - local.second)
            elif local.second not in self.seconds.values:
                time += _SECOND
            else:
                return time
        return None

    def _is_day(self, local: datetime) -> bool:
        if local.month not in self.months.values:
            return False
        day, weekday = local.day in self.days.values, local.isoweekday() % 7 in self.weekdays.values
        # As in cron: either of two restrictions suffices, but `*` restricts nothing.
        return (day and weekday) if self.days.star or self.weekdays.star else (day or weekday)

    def _start_of_next_day(self, time: datetime, local: datetime) -> datetime:
        midnight = timedelta(days=1) - timedelta(hours=local.hour, minutes=local.minute, seconds=local.second)
        return max(time + midnight - _LARGEST_CHANGE, _next_quarter(time))


def parse(schedule: str, timezone: str = "") -> Schedule:
    """Parse a PingSource's schedule: five fields, six with seconds first, or a descriptor such as `@hourly`.

    Without a time zone it is in UTC, which is the zone of Knative's pods. Raises InvalidSchedule.
    """
    if "@every" in schedule:
        raise InvalidSchedule(
            "the descriptor @every is not supported by PingSources", remedy="write the schedule as fields, such as */5 * * * *"
        )
    zone, text = _zone_and_fields(schedule, timezone)
    fields = _split(text, schedule)
    seconds, minutes, hours, days, months, weekdays = (_field(item, bounds, schedule) for item, bounds in zip(fields, _FIELDS, strict=True))
    return Schedule(seconds=seconds, minutes=minutes, hours=hours, days=days, months=months, weekdays=weekdays, zone=zone)


def _zone_and_fields(schedule: str, timezone: str) -> tuple[tzinfo, str]:
    """Return the time zone, which a schedule may also have as a prefix `CRON_TZ=`, and the rest of the schedule."""
    if timezone:
        return _zone(timezone, "timezone"), schedule.strip()
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        name, _, text = schedule.partition("=")[2].partition(" ")
        return _zone(name, "schedule"), text.strip()
    return UTC, schedule.strip()


def _zone(name: str, field: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        message = f"the time zone {name[:80]!r} is unknown"
        raise InvalidSchedule(message, remedy="name one of the IANA database, such as Europe/Berlin", field=field) from None


def _split(text: str, schedule: str) -> list[str]:
    if text.startswith("@"):
        if text not in _DESCRIPTORS:
            raise InvalidSchedule(f"the descriptor {text[:80]!r} is unknown", remedy=f"use one of {', '.join(_DESCRIPTORS)}")
        text = _DESCRIPTORS[text]
    fields = text.split()
    if len(fields) not in (5, 6):
        raise InvalidSchedule(
            f"the schedule {schedule[:80]!r} has {len(fields)} fields",
            remedy="write minute, hour, day of month, month and day of week, and before them seconds if needed",
        )
    return fields if len(fields) == 6 else ["0", *fields]


def _field(text: str, bounds: _Bounds, schedule: str) -> _Field:
    try:
        ranges = [_range(item, bounds) for item in text.split(",") if item]
        if not ranges:
            raise ValueError("it is empty")
    except ValueError as error:
        message = f"the {bounds.name} {text[:80]!r} of the schedule {schedule[:80]!r} is invalid: {error}"
        raise InvalidSchedule(message, remedy=_remedy(bounds)) from None
    return _Field(frozenset().union(*(item.values for item in ranges)), any(item.star for item in ranges))


def _remedy(bounds: _Bounds) -> str:
    names = f" or {bounds.names[0]} to {bounds.names[-1]}" if bounds.names else ""
    return (
        f"write {bounds.least} to {bounds.greatest}{names}, ranges such as {bounds.least}-{bounds.least + 2}, lists, or steps such as */2"
    )


def _range(text: str, bounds: _Bounds) -> _Field:
    """Parse `*`, `?`, a number or a range, each with an optional step. Raises ValueError."""
    base, *steps = text.split("/")
    low, *high = base.split("-")
    star = low in ("*", "?")
    if len(steps) > 1 or (len(high) > 1 and not star):
        raise ValueError(f"{text!r} has too many {'slashes' if len(steps) > 1 else 'hyphens'}")
    first = bounds.least if star else bounds.number(low)
    # `5/10` means from 5 on, every 10.
    open_ended = star or (steps and not high)
    last = bounds.greatest if open_ended else bounds.number(high[0]) if high else first
    step = _step(steps[0]) if steps else 1
    if not bounds.least <= first <= last <= bounds.greatest:
        raise ValueError(
            f"{text!r} is not between {bounds.least} and {bounds.greatest}" if first <= last else f"{text!r} ends before it begins"
        )
    return _Field(frozenset(range(first, last + 1, step)), star and step == 1)


def _step(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) == 0:
        raise ValueError(f"the step {text!r} is not a positive number")
    return int(text)


def _next_quarter(time: datetime) -> datetime:
    passed = timedelta(minutes=time.minute % 15, seconds=time.second)
    return time + _QUARTER - passed
