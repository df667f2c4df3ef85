"""The model in the process of a way that needs no function: as its card describes it, with XGBoost's own package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
import yaml


class Model:
    """A model from its folder, for as many rows as are given at once."""

    def __init__(self, folder: Path) -> None:
        card = yaml.safe_load((folder / "model.yaml").read_text("utf-8"))
        self._transform = import_module(card["transform"]).transform
        self._features: list[str] = card["features"]
        # More threads do not help with so few rows.
        self._booster = xgboost.Booster({"nthread": 1}, model_file=str(folder / card["artifact"]["uri"]))

    def predict(self, records: Sequence[Mapping[str, Any]]) -> list[float]:
        rows = [[features[name] for name in self._features] for features in map(self._transform, records)]
        scores: list[float] = self._booster.inplace_predict(np.array(rows, np.float32), validate_features=False).tolist()
        return scores
