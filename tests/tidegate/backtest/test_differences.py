from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.backtest.differences import differences, roc, same_side
from training.evaluation import auc

_scored = st.lists(st.tuples(st.booleans(), st.integers(0, 8).map(lambda eighths: eighths / 8)), min_size=2, max_size=60)


@given(_scored)
def test_area_below_the_roc_curve_is_the_auc(rows: list[tuple[bool, float]]) -> None:
    outcomes, scores = np.array([late for late, _ in rows]), np.array([score for _, score in rows])
    if outcomes.all() or not outcomes.any():
        return
    false, true = roc(outcomes, scores)
    assert np.trapezoid(true, false) == pytest.approx(auc(outcomes, scores))
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)


def test_long_roc_curve_is_thinned_out() -> None:
    random = np.random.default_rng(0)
    scores = random.random(50_000)
    outcomes = random.random(50_000) < scores
    false, true = roc(outcomes, scores)
    assert len(false) < 300
    assert np.trapezoid(true, false) == pytest.approx(auc(outcomes, scores), abs=1e-3)


def test_differences_are_the_second_minus_the_first() -> None:
    found = differences(np.array([0.5, 0.5, 0.5, 0.1]), np.array([0.5, 0.75, 0.25, 0.9]))
    assert (found.rows, found.equal) == (4, 1)
    assert found.mean == pytest.approx(0.2)
    assert found.mean_absolute == pytest.approx(0.325)
    assert found.largest == pytest.approx(0.8)
    assert found.quantiles[0.5] == pytest.approx(0.125)
    assert sum(found.histogram.counts) == 4


def test_equal_scores_have_one_bar_at_0() -> None:
    histogram = differences(np.full(9, 0.3), np.full(9, 0.3)).histogram
    assert sorted(histogram.counts)[-1] == 9
    assert histogram.edges[0] < 0 < histogram.edges[-1]


def test_decisions_agree_on_the_same_side_of_the_threshold() -> None:
    assert same_side(np.array([0.4, 0.5, 0.6, 0.1]), np.array([0.5, 0.6, 0.4, 0.2]), 0.5) == 2
