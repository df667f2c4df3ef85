"""Averages of e-values that are known by their logarithms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

# A double ends at e**709.
_MOST = 690.0


def e_value(logs: Sequence[float]) -> float:
    """The mean of e-values by their logarithms, at most e**690."""
    highest = max(logs)
    log = highest + math.log(sum(math.exp(value - highest) for value in logs) / len(logs))
    return math.exp(min(log, _MOST))


def average(e_values: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """One e-value of several: a mean by fixed shares is one whatever the dependence between them; 1 if there are none."""
    return sum(shares[name] * value for name, value in e_values.items()) if e_values else 1.0
