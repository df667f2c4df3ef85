from __future__ import annotations

import numpy as np
import pytest
import xgboost as xgb

from training.importance import shares_of_gain


def test_shares_of_gain_add_up_with_the_largest_first() -> None:
    rows = np.random.default_rng(1).random((500, 3))
    data = xgb.DMatrix(rows, 10 * rows[:, 1] + rows[:, 0], feature_names=["little", "much", "none"])
    shares = shares_of_gain(xgb.train({"max_depth": 2, "seed": 1, "nthread": 1}, data, 5))
    assert next(iter(shares)) == "much"
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert sum(shares.values()) == pytest.approx(1, abs=0.001)


def test_model_without_splits_has_no_shares() -> None:
    data = xgb.DMatrix(np.zeros((10, 1)), np.zeros(10), feature_names=["x"])
    assert shares_of_gain(xgb.train({"nthread": 1}, data, 1)) == {}
