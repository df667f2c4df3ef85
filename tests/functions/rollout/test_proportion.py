from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rollout.evidence.proportion import Disagreement, evidence_above, evidence_below


@given(st.floats(0.001, 0.5), st.integers(0, 30), st.integers(0, 200))
def test_the_expectation_at_the_bound_is_one(bound: float, bad: int, good: int) -> None:
    """Over the next key, whatever came before."""
    for evidence in (evidence_below, evidence_above):
        before = evidence(bad, bad + good, bound=bound)
        after = bound * evidence(bad + 1, bad + good + 1, bound=bound) + (1 - bound) * evidence(bad, bad + good + 1, bound=bound)
        assert after == pytest.approx(before, rel=1e-6)


def test_a_low_and_a_high_proportion_are_shown() -> None:
    assert evidence_below(0, 500, bound=0.01) > 20
    assert evidence_below(10, 500, bound=0.01) < 0.1
    assert evidence_above(13, 130, bound=0.02) > 100
    assert evidence_above(2, 130, bound=0.02) < 1
    assert math.isfinite(evidence_above(10**9, 10**9, bound=0.02))


def test_a_key_that_differs_once_differs_and_counts_once() -> None:
    pairs = Disagreement().observe([1, 2], [2, 3])
    assert (pairs.pairs, pairs.different) == (3, 2)
    assert pairs.observe([3], [1]) == pairs
