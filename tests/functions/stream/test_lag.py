"""The age of a record, as far as its timestamp, two clocks and the readings of the partition's end say."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.stream import lag
from functions.stream.lag import Arrivals, age_seconds

# Records that arrive, and seconds that pass, from one reading to the next.
STEPS = st.lists(st.tuples(st.integers(0, 5), st.floats(0.001, 100)), min_size=1, max_size=30)
TIMESTAMPS = st.one_of(st.integers(-1, 2), st.integers(-(2**62), 2**62))


def read(steps: list[tuple[int, float]]) -> tuple[Arrivals, list[int], list[float]]:
    arrivals = Arrivals()
    ends, times = list(accumulate(step[0] for step in steps)), list(accumulate(step[1] for step in steps))
    for end, at in zip(ends, times, strict=True):
        arrivals.read(end, at)
    return arrivals, ends, times


@given(STEPS, st.data(), TIMESTAMPS, st.floats(-1e12, 1e12))
def test_age_is_never_negative_and_never_beyond_what_was_observed(
    steps: list[tuple[int, float]], data: st.DataObject, timestamp: int, wall: float
) -> None:
    arrivals, ends, times = read(steps)
    offset, now = data.draw(st.integers(0, ends[-1] + 2)), times[-1] + data.draw(st.floats(0, 100))
    arrivals.finish(data.draw(st.integers(0, offset)))
    age = age_seconds(timestamp, wall, arrivals.age_within(offset, now))
    assert age >= 0
    # It was there at the first reading beyond it, and not there at the last one before.
    there = [at for end, at in zip(ends, times, strict=True) if end > offset]
    absent = [at for end, at in zip(ends, times, strict=True) if end <= offset]
    assert not there or age >= now - there[0]
    assert not absent or age <= now - absent[-1]


@given(STEPS, st.data())
def test_right_clocks_give_the_exact_age(steps: list[tuple[int, float]], data: st.DataObject) -> None:
    arrivals, ends, times = read(steps)
    offset, now = data.draw(st.integers(0, ends[-1])), times[-1] + 5.0
    first = next((number for number, end in enumerate(ends) if end > offset), len(ends))
    arrived = data.draw(st.floats(times[first - 1] if first else 0.0, times[first] if first < len(times) else now))
    # Both clocks agree, up to the milliseconds of a timestamp.
    age = age_seconds(round((1e9 + arrived) * 1000), 1e9 + now, arrivals.age_within(offset, now))
    assert age == pytest.approx(now - arrived, abs=0.002)


def test_record_without_a_time_is_as_old_as_it_was_seen() -> None:
    arrivals, _, _ = read([(4, 10.0), (4, 10.0)])
    assert age_seconds(-1, 1e9, arrivals.age_within(2, 50.0)) == 40.0
    assert age_seconds(0, 1e9, arrivals.age_within(6, 50.0)) == 30.0
    assert age_seconds(-1, 1e9, Arrivals().age_within(0, 50.0)) == 0.0


def test_readings_are_bounded_and_reach_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "_MOST_READINGS", 8)
    arrivals, _, _ = read([(1, 1.0)] * 1000)
    assert len(arrivals._readings) <= 8
    assert arrivals.end == 1000
    least, greatest = arrivals.age_within(0, 1000.0)
    # The record arrived at second 1; no reading that is kept was made much later than half of the time ago.
    assert least >= 500
    assert greatest == float("inf")


def test_topic_that_was_created_again_starts_over() -> None:
    arrivals, _, _ = read([(100, 10.0)])
    arrivals.read(3, 20.0)
    assert arrivals.end == 3
    assert arrivals.age_within(1, 30.0) == (10.0, float("inf"))
