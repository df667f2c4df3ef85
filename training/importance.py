"""Importance of the features of an XGBoost model."""

from __future__ import annotations

from typing import cast

import xgboost as xgb


def shares_of_gain(booster: xgb.Booster) -> dict[str, float]:
    """Return each feature's share of the total gain, the largest first; features without a split are left out."""
    gains = cast("dict[str, float]", booster.get_score(importance_type="total_gain"))
    total = sum(gains.values())
    return {name: round(gain / total, 4) for name, gain in sorted(gains.items(), key=lambda item: -item[1])}
