"""Averages of e-values that are known by their logarithms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

# A double ends at e**709.
_MOST = 690.0


def e_value(logs: Sequence[float]) -> float:
    """The mean of e-values by their logarithms, at most e**690."""
    highest = max(logs)
    log = highest + math.log(sum(math.exp(value - highest) for value in logs) / len(logs))
    return math.exp(min(log, _MOST))


def average(e_values: Iterable[float]) -> float:
    """One e-value of several: the mean is one whatever the dependence between them; 1 if there are none."""
    values = list(e_values)
    return sum(values) / len(values) if values else 1.0
