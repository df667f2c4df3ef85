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
    """The trained versions of the model, by name."""

    def __init__(self, models: Path, versions: Sequence[str]) -> None:
        self._boosters = {version: xgb.Booster(model_file=models / version / "model.ubj") for version in versions}

    @classmethod
    def of(cls, *folders: Path) -> Offline:
        """The versions in these folders, each of which has the version's name."""
        found = cls(Path(), ())
        found._boosters = {folder.name: xgb.Booster(model_file=folder / "model.ubj") for folder in folders}
        return found

    def scores(self, version: str, records: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """The scores of records by one version, (records,) float32."""
        booster = self._boosters[version]
        names = list(booster.feature_names or ())
        rows = np.array([[features[name] for name in names] for features in map(transform, records)], dtype=np.float32)
        matrix = xgb.DMatrix(rows, feature_names=names, feature_types=booster.feature_types, enable_categorical=True)
        scores: NDArray[np.float32] = booster.predict(matrix)
        return scores
