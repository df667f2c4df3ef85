"""The usual rule: each minute, compare the canary's rate of errors with a limit; roll back at the fifth failed check."""

from __future__ import annotations

import numpy as np

FAILED_CHECKS = 5


def share_rolled_back(
    *, runs: int, checks: int, requests: int, rate: float, limit: float, in_a_row: bool, random: np.random.Generator
) -> float:
    """The share of rollouts that are rolled back, where the canary has so many requests a minute."""
    failed = random.binomial(requests, rate, (runs, checks)) > limit * requests
    if not in_a_row:
        return float(np.mean(failed.sum(axis=1) >= FAILED_CHECKS))
    row = np.zeros(runs, dtype=np.int64)
    rolled_back = np.zeros(runs, dtype=np.bool_)
    for check in failed.T:
        row = np.where(check, row + 1, 0)
        rolled_back |= row >= FAILED_CHECKS
    return float(np.mean(rolled_back))
