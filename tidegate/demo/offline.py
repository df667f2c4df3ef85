"""Expected scores, without the serving code: XGBoost's own package on the features of the shared transform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from functions.flights.transform import transform


class Offline:
    """The trained versions of the model in these folders, each of which has its version's name."""

    def __init__(self, *folders: Path) -> None:
        self._boosters = {folder.name: xgb.Booster(model_file=folder / "model.ubj") for folder in folders}

    def scores(self, version: str, records: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """The scores of records by one version, (records,) float32."""
        booster = self._boosters[version]
        names = list(booster.feature_names or ())
        rows = np.array([[features[name] for name in names] for features in map(transform, records)], dtype=np.float32)
        matrix = xgb.DMatrix(rows, feature_names=names, feature_types=booster.feature_types, enable_categorical=True)
        scores: NDArray[np.float32] = booster.predict(matrix)
        return scores
