"""Rates, trend and forecast of a stream, from samples. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from statistics import linear_regression

from tidegate.streams.samples import Sample

# Commits come in steps, so that small differences of rates say nothing.
_LEAST_DIFFERENCE = 1.0
_LEAST_SHARE = 0.05
# Beyond this, a forecast from some seconds says nothing.
_MOST_SECONDS = 7 * 86_400.0


class State(Enum):
    """What a stream does."""

    CAUGHT_UP = "caught-up"
    CATCHING_UP = "catching-up"
    KEEPING_UP = "keeping-up"
    FALLING_BEHIND = "falling-behind"
    STANDING = "standing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Rates are events per second; both are None of fewer than two samples.

    `seconds_change` is by how much the lag in seconds grows each second: negative while the stream catches up.
    """

    state: State
    rate_in: float | None
    rate_out: float | None
    records: int
    seconds: float | None
    seconds_change: float | None
    caught_up_in: float | None

    @property
    def sentence(self) -> str:
        """What will become of the lag at these rates, for a person."""
        match self.state:
            case State.CAUGHT_UP:
                return "caught up"
            case State.KEEPING_UP:
                return "keeping up"
            case State.STANDING:
                return f"not moving: {self.records:,} events wait"
            case State.FALLING_BEHIND:
                return f"falling behind by {_number((self.rate_in or 0.0) - (self.rate_out or 0.0))} events/s"
            case State.CATCHING_UP if self.caught_up_in is not None and self.caught_up_in <= _MOST_SECONDS:
                return f"caught up in about {duration(self.caught_up_in)}"
            case State.CATCHING_UP:
                return "catching up, for more than a week"
        return ""


def forecast(samples: Sequence[Sample]) -> Forecast:
    """Return the forecast after the last of some samples, in the order of their times.

    Samples before a change that no stream makes, such as of its number of partitions, are left out.
    """
    samples = _comparable(samples)
    last = samples[-1]
    rate_in, rate_out = (_rate(samples, count) for count in (lambda one: one.produced, lambda one: one.finished))
    state = _state(last.records, rate_in, rate_out)
    return Forecast(
        state=state,
        rate_in=rate_in,
        rate_out=rate_out,
        records=last.records,
        seconds=last.seconds,
        seconds_change=_seconds_change(samples),
        caught_up_in=last.records / (rate_out - rate_in)
        if state is State.CATCHING_UP and rate_in is not None and rate_out is not None
        else None,
    )


def _comparable(samples: Sequence[Sample]) -> Sequence[Sample]:
    first = 0
    for number, (before, after) in enumerate(pairwise(samples), 1):
        grows = after.produced >= before.produced and after.finished >= before.finished and after.at > before.at
        if before.partitions.keys() != after.partitions.keys() or not grows:
            first = number
    return samples[first:]


def _rate(samples: Sequence[Sample], count: Callable[[Sample], int]) -> float | None:
    """Return the slope of a straight line through the counts: the steps of commits weigh less in it than in a difference."""
    if len(samples) < 2:
        return None
    return max(0.0, _slope([(sample.at, float(count(sample) - count(samples[0]))) for sample in samples]))


def _seconds_change(samples: Sequence[Sample]) -> float | None:
    known = [(sample.at, sample.seconds) for sample in samples if sample.seconds is not None]
    return _slope(known) if len(known) >= 2 else None


def _slope(points: Sequence[tuple[float, float]]) -> float:
    start = points[0][0]
    return linear_regression([at - start for at, _ in points], [value for _, value in points]).slope


def _state(records: int, rate_in: float | None, rate_out: float | None) -> State:
    if not records:
        return State.CAUGHT_UP
    if rate_in is None or rate_out is None:
        return State.UNKNOWN
    if not rate_out:
        return State.STANDING
    least = max(_LEAST_DIFFERENCE, _LEAST_SHARE * max(rate_in, rate_out))
    if rate_out - rate_in > least:
        return State.CATCHING_UP
    return State.FALLING_BEHIND if rate_in - rate_out > least else State.KEEPING_UP


def duration(seconds: float) -> str:
    """Return a duration in its two largest units at most: `45 s`, `3 min`, `2 h 5 min`, `4 d 1 h`."""
    if seconds < 99.5:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def shown_rate(value: float | None) -> str:
    """Return a rate for a table; a dash if it is unknown."""
    return "-" if value is None else "0" if not value else _number(value)


def shown_lag(found: Forecast) -> str:
    """Return the lag in seconds with its trend over the observation, for a table."""
    if found.seconds is None:
        return "unknown"
    if not found.seconds and not found.records:
        return "0 s"
    change = found.seconds_change
    trend = "" if change is None else ", growing" if change > _LEAST_SHARE else ", shrinking" if change < -_LEAST_SHARE else ", steady"
    return f"{'less than 1 s' if found.seconds < 1 else duration(found.seconds)}{trend}"
