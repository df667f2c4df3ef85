"""Exact bounds of a probability by a number of events in a number of trials."""

from __future__ import annotations

import math


def upper_bound(events: int, trials: int, *, confidence: float = 0.95) -> float:
    """The one-sided upper bound of Clopper and Pearson: the greatest probability of an event that these events allow."""
    if events >= trials:
        return 1.0
    low, high = events / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(events, trials, middle) > 1 - confidence else (low, middle)
    return high


def at_most(events: int, trials: int, probability: float) -> float:
    """The probability of at most so many events in independent trials."""
    if probability <= 0.0:
        return 1.0
    terms = (
        math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
        + count * math.log(probability) + (trials - count) * math.log1p(-probability)
        for count in range(events + 1)
    )  # fmt: skip
    return min(math.fsum(map(math.exp, terms)), 1.0)
