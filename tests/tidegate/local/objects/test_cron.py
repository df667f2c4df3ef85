"""Schedules against times that robfig/cron v3.0.1 gave, and against a search minute by minute."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.local.objects.cron import InvalidSchedule, parse

# Schedule, time zone, a time, and up to four next times, printed by a Go program with Knative's parser options.
ROBFIG = [
    ("*/5 * * * *", "", "2026-11-27T11:30:00Z", "2026-11-27T11:35:00Z 2026-11-27T11:40:00Z 2026-11-27T11:45:00Z 2026-11-27T11:50:00Z"),
    ("30 2 * * *", "", "2026-11-27T11:30:00Z", "2026-11-28T02:30:00Z 2026-11-29T02:30:00Z 2026-11-30T02:30:00Z 2026-12-01T02:30:00Z"),
    (
        "30 2 * * *",
        "Europe/Berlin",
        "2026-11-27T11:30:00Z",
        "2026-11-28T01:30:00Z 2026-11-29T01:30:00Z 2026-11-30T01:30:00Z 2026-12-01T01:30:00Z",
    ),
    (
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        "2026-03-30T00:30:00Z 2026-03-31T00:30:00Z 2026-04-01T00:30:00Z 2026-04-02T00:30:00Z",
    ),
    (
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        "2026-10-25T00:30:00Z 2026-10-25T01:30:00Z 2026-10-26T01:30:00Z 2026-10-27T01:30:00Z",
    ),
    (
        "*/20 * * * *",
        "Europe/Berlin",
        "2026-10-24T23:59:30Z",
        "2026-10-25T00:00:00Z 2026-10-25T00:20:00Z 2026-10-25T00:40:00Z 2026-10-25T01:00:00Z",
    ),
    (
        "0 2,3 * * *",
        "America/New_York",
        "2026-03-08T05:00:00Z",
        "2026-03-08T07:00:00Z 2026-03-09T06:00:00Z 2026-03-09T07:00:00Z 2026-03-10T06:00:00Z",
    ),
    ("@hourly", "", "2026-11-27T11:30:59Z", "2026-11-27T12:00:00Z 2026-11-27T13:00:00Z 2026-11-27T14:00:00Z 2026-11-27T15:00:00Z"),
    (
        "@daily",
        "Asia/Kathmandu",
        "2026-11-27T11:30:00Z",
        "2026-11-27T18:15:00Z 2026-11-28T18:15:00Z 2026-11-29T18:15:00Z 2026-11-30T18:15:00Z",
    ),
    ("@weekly", "", "2026-11-27T11:30:00Z", "2026-11-29T00:00:00Z 2026-12-06T00:00:00Z 2026-12-13T00:00:00Z 2026-12-20T00:00:00Z"),
    ("@monthly", "", "2026-11-27T11:30:00Z", "2026-12-01T00:00:00Z 2027-01-01T00:00:00Z 2027-02-01T00:00:00Z 2027-03-01T00:00:00Z"),
    (
        "@yearly",
        "Pacific/Chatham",
        "2026-11-27T11:30:00Z",
        "2026-12-31T10:15:00Z 2027-12-31T10:15:00Z 2028-12-31T10:15:00Z 2029-12-31T10:15:00Z",
    ),
    (
        "10-20/5 */6 * * * *",
        "",
        "2026-11-27T11:30:00Z",
        "2026-11-27T11:30:10Z 2026-11-27T11:30:15Z 2026-11-27T11:30:20Z 2026-11-27T11:36:10Z",
    ),
    ("0 9 13 * FRI", "", "2026-11-27T11:30:00Z", "2026-12-04T09:00:00Z 2026-12-11T09:00:00Z 2026-12-13T09:00:00Z 2026-12-18T09:00:00Z"),
    ("0 9 */2 * fri", "", "2026-11-27T11:30:00Z", "2026-11-29T09:00:00Z 2026-12-01T09:00:00Z 2026-12-03T09:00:00Z 2026-12-04T09:00:00Z"),
    (
        "0 9 ? jan-mar mon-wed",
        "",
        "2026-11-27T11:30:00Z",
        "2027-01-04T09:00:00Z 2027-01-05T09:00:00Z 2027-01-06T09:00:00Z 2027-01-11T09:00:00Z",
    ),
    ("50/5 0 1 * ?", "", "2026-11-27T11:30:00Z", "2026-12-01T00:50:00Z 2026-12-01T00:55:00Z 2027-01-01T00:50:00Z 2027-01-01T00:55:00Z"),
    ("0 0 29 2 *", "", "2026-11-27T11:30:00Z", "2028-02-29T00:00:00Z 2032-02-29T00:00:00Z 2036-02-29T00:00:00Z 2040-02-29T00:00:00Z"),
    ("0 0 30 2 *", "", "2026-11-27T11:30:00Z", "never"),
    (
        "CRON_TZ=Asia/Tokyo 0 9 * * *",
        "",
        "2026-11-27T11:30:00Z",
        "2026-11-28T00:00:00Z 2026-11-29T00:00:00Z 2026-11-30T00:00:00Z 2026-12-01T00:00:00Z",
    ),
    (
        "0 0 * * *",
        "America/Sao_Paulo",
        "2018-11-03T12:00:00Z",
        "2018-11-05T02:00:00Z 2018-11-06T02:00:00Z 2018-11-07T02:00:00Z 2018-11-08T02:00:00Z",
    ),
    ("*-3 * * * *", "", "2026-11-27T11:30:00Z", "2026-11-27T11:31:00Z 2026-11-27T11:32:00Z"),
]

# Zones with clock changes of 30, 60 and 120 minutes, at midnight and at other times, and with odd offsets.
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Asia/Kathmandu", "Australia/Lord_Howe", "Antarctica/Troll"]
DAY = 24 * 60
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Drawn:
    """A field of a schedule, with the values that it means."""

    text: str
    values: frozenset[int]
    star: bool = False


def _fields(least: int, greatest: int) -> st.SearchStrategy[Drawn]:
    number = st.integers(least, greatest)
    everything = frozenset(range(least, greatest + 1))
    return st.one_of(
        st.sampled_from([Drawn("*", everything, star=True), Drawn("?", everything, star=True)]),
        st.integers(2, 20).map(lambda step: Drawn(f"*/{step}", frozenset(range(least, greatest + 1, step)))),
        st.frozensets(number, min_size=1, max_size=3).map(lambda values: Drawn(",".join(map(str, values)), values)),
        st.tuples(number, number, st.integers(1, 4)).map(_between),
    )


def _between(drawn: tuple[int, int, int]) -> Drawn:
    low, high = sorted(drawn[:2])
    return Drawn(f"{low}-{high}/{drawn[2]}", frozenset(range(low, high + 1, drawn[2])))


def _local_minutes(start: datetime, zone: ZoneInfo, count: int) -> list[datetime]:
    first = start.replace(second=0) + timedelta(minutes=1)
    return [(first + timedelta(minutes=number)).astimezone(zone) for number in range(count)]


@pytest.mark.parametrize(("schedule", "zone", "after", "expected"), ROBFIG, ids=[f"{row[0]} {row[1]} {row[2]}" for row in ROBFIG])
def test_a_schedule_is_due_when_robfig_cron_says_so(schedule: str, zone: str, after: str, expected: str) -> None:
    time: datetime | None = datetime.fromisoformat(after)
    for text in expected.split():
        assert time is not None
        time = parse(schedule, zone).next(time)
        assert (f"{time:%Y-%m-%dT%H:%M:%SZ}" if time else "never") == text


@given(
    fields=st.tuples(_fields(0, 59), _fields(0, 23), _fields(1, 31), _fields(1, 12), _fields(0, 6)),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    # The days on which these zones change their clocks, and others.
    day=st.sampled_from(["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01", "2027-02-27", "2026-12-31"]),
    minute=st.integers(-DAY, DAY),
)
def test_a_schedule_is_due_at_the_first_local_minute_that_matches(
    fields: tuple[Drawn, Drawn, Drawn, Drawn, Drawn], zone: ZoneInfo, day: str, minute: int
) -> None:
    minutes, hours, days, months, weekdays = fields
    after = datetime.fromisoformat(f"{day}T00:00:00Z") + timedelta(minutes=minute, seconds=30)

    def matches(local: datetime) -> bool:
        by_day, by_weekday = local.day in days.values, local.isoweekday() % 7 in weekdays.values
        is_day = by_day and by_weekday if days.star or weekdays.star else by_day or by_weekday
        return local.minute in minutes.values and local.hour in hours.values and local.month in months.values and is_day

    candidates = _local_minutes(after, zone, 2 * DAY)
    expected = next((local.astimezone(UTC) for local in candidates if matches(local)), None)
    found = parse(" ".join(field.text for field in fields), str(zone)).next(after)
    if expected is None:
        assert found is None or found > candidates[-1]
    else:
        assert found == expected


@given(seconds=_fields(0, 59), minutes=_fields(0, 59), start=st.integers(0, 365 * 86400).map(lambda s: JANUARY + timedelta(seconds=s)))
def test_seconds_are_an_optional_first_field(seconds: Drawn, minutes: Drawn, start: datetime) -> None:
    candidates = (start + timedelta(seconds=number) for number in range(1, 3601))
    expected = next(time for time in candidates if time.second in seconds.values and time.minute in minutes.values)
    assert parse(f"{seconds.text} {minutes.text} * * * *").next(start) == expected


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("", "has 0 fields"),
        ("* * * *", "has 4 fields"),
        ("* * * * * * *", "has 7 fields"),
        ("60 * * * *", "the minute '60' of the schedule '60 * * * *' is invalid: '60' is not between 0 and 59"),
        ("0 0 0 * *", "the day of month '0'"),
        ("0 0 * * 7", "the day of week '7'"),
        ("0 0 * * fri-mon", "'fri-mon' ends before it begins"),
        ("0 0 L * *", "'L' is not a number"),
        ("0 0 * * 5#2", "'5#2' is neither a number nor a name"),
        ("1-2-3 * * * *", "too many hyphens"),
        ("1/2/3 * * * *", "too many slashes"),
        ("*/0 * * * *", "the step '0' is not a positive number"),
        ("*/-1 * * * *", "the step '-1' is not a positive number"),
        (", * * * *", "it is empty"),
        ("٣ * * * *", "is not a number"),
        ("@every 5m", "@every is not supported"),
        ("@Hourly", "the descriptor '@Hourly' is unknown"),
        ("CRON_TZ=Nowhere 0 9 * * *", "the time zone 'Nowhere' is unknown"),
        ("TZ=UTC", "has 0 fields"),
    ],
)
def test_a_schedule_that_is_none_is_rejected_with_its_field(schedule: str, problem: str) -> None:
    with pytest.raises(InvalidSchedule) as error:
        parse(schedule)
    assert problem in error.value.message
    assert error.value.field == "schedule"
    assert error.value.remedy


@pytest.mark.parametrize("zone", ["Nowhere", "../../etc/passwd", "/etc/localtime", "Europe", "x" * 500, "a\0b", " "])
def test_a_time_zone_that_is_none_is_rejected(zone: str) -> None:
    with pytest.raises(InvalidSchedule, match="time zone") as error:
        parse("0 9 * * *", zone)
    assert error.value.field == "timezone"


@given(st.text(max_size=40), st.text(max_size=10))
def test_any_text_is_a_schedule_or_is_rejected(schedule: str, zone: str) -> None:
    try:
        found = parse(schedule, zone)
    except InvalidSchedule:
        return
    time = found.next(datetime(2026, 11, 27, tzinfo=UTC))
    assert time is None or time > datetime(2026, 11, 27, tzinfo=UTC)
