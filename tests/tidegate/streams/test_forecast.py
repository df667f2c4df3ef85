"""Rates, trend and forecast from samples."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tidegate.streams.forecast import State, duration, forecast, shown_lag
from tidegate.streams.samples import PartitionSample, Sample

RATES = st.floats(0, 10_000)


def sample(at: float, position: int, end: int, seconds: float | None = 0.0) -> Sample:
    return Sample(at=at, partitions={0: PartitionSample(position=position, end=end, seconds=seconds)})


def moving(*, backlog: int, rate_in: float, rate_out: float, times: list[float]) -> list[Sample]:
    """Samples of a stream whose records come and go at constant rates."""
    found = []
    for at in times:
        end = backlog + round(rate_in * at)
        found.append(sample(100 + at, min(end, round(rate_out * at)), end))
    return found


@st.composite
def histories(draw: st.DrawFn) -> list[Sample]:
    """Samples whose offsets only grow, of two partitions."""
    at, state = 0.0, {0: [0, 0], 1: [0, 0]}
    found = []
    for _ in range(draw(st.integers(1, 12))):
        at += draw(st.floats(0.01, 100))
        for offsets in state.values():
            offsets[1] += draw(st.integers(0, 10_000))
            offsets[0] = draw(st.integers(offsets[0], offsets[1]))
        partitions = {
            number: PartitionSample(position=position, end=end, seconds=draw(st.none() | st.floats(0, 1e7)))
            for number, (position, end) in state.items()
        }
        found.append(Sample(at=at, partitions=partitions))
    return found


@given(histories())
def test_forecast_is_consistent_whatever_the_samples(samples: list[Sample]) -> None:
    found = forecast(samples)
    last = samples[-1]
    assert (found.records, found.seconds) == (last.records, last.seconds)
    assert found.rate_in is None or found.rate_in >= 0
    assert found.rate_out is None or found.rate_out >= 0
    assert (found.state is State.CAUGHT_UP) == (last.records == 0)
    assert (found.caught_up_in is not None) == (found.state is State.CATCHING_UP)
    assert found.caught_up_in is None or found.caught_up_in > 0
    assert found.state is State.UNKNOWN or found.sentence
    assert "-" not in found.sentence
    assert shown_lag(found)


@given(RATES, RATES, st.integers(1, 10**9), st.lists(st.floats(0.5, 60), min_size=1, max_size=10))
def test_constant_rates_are_found_and_the_forecast_is_when_the_lag_ends(
    rate_in: float, rate_out: float, backlog: int, steps: list[float]
) -> None:
    times = [0.0]
    for step in steps:
        times.append(times[-1] + step)
    assume(backlog + rate_in * times[-1] > rate_out * times[-1] + 1)
    found = forecast(moving(backlog=backlog, rate_in=rate_in, rate_out=rate_out, times=times))
    assert found.rate_in == pytest.approx(rate_in, abs=4)
    assert found.rate_out == pytest.approx(rate_out, abs=4)
    if rate_out > 1.1 * rate_in + 10:
        assert found.state is State.CATCHING_UP
        assert found.caught_up_in == pytest.approx(found.records / (rate_out - rate_in), rel=0.9)
    if rate_out and rate_in > 1.1 * rate_out + 10 and rate_out > 10:
        assert found.state is State.FALLING_BEHIND


@given(st.integers(100, 5_000), st.floats(0.3, 2.0))
def test_steps_of_commits_look_like_the_rate_behind_them(rate: int, interval: float) -> None:
    """The offsets of a worker that keeps up move at each commit only."""
    times = [0.5 * number for number in range(13)]
    samples = [sample(at, int(at / interval) * round(rate * interval), 10**7 + round(rate * at)) for at in times]
    found = forecast(samples)
    assert found.rate_out is not None
    assert found.rate_out == pytest.approx(rate, rel=0.4)


def test_states_have_a_sentence() -> None:
    def said(first: Sample, second: Sample) -> str:
        return forecast([first, second]).sentence

    assert said(sample(0, 0, 100), sample(10, 5_000, 5_000)) == "caught up"
    assert said(sample(0, 0, 190_000), sample(10, 10_000, 190_000)) == "caught up in about 3 min"
    assert said(sample(0, 0, 5_000), sample(10, 1_000, 7_200)) == "falling behind by 120 events/s"
    assert said(sample(0, 0, 50), sample(10, 1_000, 1_051)) == "keeping up"
    assert said(sample(0, 7, 50), sample(10, 7, 1_057)) == "not moving: 1,050 events wait"
    assert said(sample(0, 0, 10**10), sample(10, 1_000, 10**10)) == "catching up, for more than a week"
    assert forecast([sample(0, 0, 5)]).sentence == ""


def test_trend_of_the_lag_in_seconds() -> None:
    assert shown_lag(forecast([sample(0, 0, 9, 10.0), sample(5, 1, 99, 15.0)])) == "15 s, growing"
    assert shown_lag(forecast([sample(0, 0, 9, 600.0), sample(5, 1, 99, 300.0)])) == "5 min, shrinking"
    assert shown_lag(forecast([sample(0, 0, 9, 0.5), sample(5, 1, 99, 0.6)])) == "less than 1 s, steady"
    assert shown_lag(forecast([sample(0, 0, 9, 8.0), sample(5, 1, 99, None)])) == "unknown"
    assert shown_lag(forecast([sample(0, 0, 9, 8.0), sample(5, 9, 9, 0.0)])) == "0 s"


def test_samples_before_a_new_partition_or_a_reset_are_left_out() -> None:
    more = Sample(at=20.0, partitions={0: PartitionSample(position=5, end=9), 1: PartitionSample(position=0, end=0)})
    assert forecast([sample(0, 0, 9), more]).rate_in is None
    # A reset by hand: the group goes back.
    found = forecast([sample(0, 0, 1000), sample(10, 900, 1000), sample(20, 0, 1000), sample(30, 100, 1000)])
    assert (found.rate_in, found.rate_out) == (0.0, 10.0)


@given(st.floats(0, 1e7))
def test_duration_has_at_most_two_units(seconds: float) -> None:
    assert re.fullmatch(r"\d+ (s|min|h|d)( \d+ (min|h))?", duration(seconds))


def test_durations_of_each_size() -> None:
    assert [duration(seconds) for seconds in (0.2, 45, 99.6, 3600, 7500, 86_400, 350_000)] == [
        "0 s",
        "45 s",
        "2 min",
        "1 h",
        "2 h 5 min",
        "1 d",
        "4 d 1 h",
    ]
