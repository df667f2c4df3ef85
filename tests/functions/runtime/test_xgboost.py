from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb

from functions.runtime.errors import InvalidModel
from functions.runtime.models import Model, xgboost

OBJECTIVES = {
    "binary:logistic": lambda y: (y > 0.3).astype(int),
    "binary:logitraw": lambda y: (y > 0.3).astype(int),
    "reg:squarederror": lambda y: y,
    "reg:gamma": lambda y: y + 0.1,
    "count:poisson": lambda y: np.floor(y * 10),
    "multi:softprob": lambda y: np.floor(y * 2.9).astype(int),
    "multi:softmax": lambda y: np.floor(y * 2.9).astype(int),
    "survival:cox": lambda y: y + 0.1,
    "rank:pairwise": lambda y: np.floor(y * 4),
}


def predict(model: Model, features: np.ndarray) -> np.ndarray:
    values = array("f", np.ascontiguousarray(features, dtype=np.float32).tobytes())
    return np.frombuffer(model.predict(values, len(features)), dtype=np.float32)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("suffix", ["json", "ubj"])
def test_predictions_equal_those_of_the_package_to_the_bit(
    objective: str, suffix: str, table: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    features, target = table
    matrix = xgb.DMatrix(features, OBJECTIVES[objective](target))
    if objective.startswith("rank"):
        matrix.set_group([100] * 6)
    parameters = {"objective": objective, "max_depth": 4} | ({"num_class": 3} if objective.startswith("multi") else {})
    booster = xgb.train(parameters, matrix, 12)
    path = tmp_path / f"model.{suffix}"
    booster.save_model(path)

    model = xgboost.load(path, threads=1)

    assert model.signature.objective == objective
    assert (predict(model, features) == booster.inplace_predict(features).ravel()).all()


def test_early_stopping_is_honoured(table: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    features, target = table
    train, valid = xgb.DMatrix(features[:100], target[:100]), xgb.DMatrix(features[100:], target[100:])
    booster = xgb.train({"max_depth": 6, "eta": 1.0}, train, 50, evals=[(valid, "valid")], early_stopping_rounds=5, verbose_eval=False)
    assert booster.best_iteration + 1 < booster.num_boosted_rounds()
    booster.save_model(tmp_path / "model.ubj")

    served = predict(xgboost.load(tmp_path / "model.ubj", threads=1), features)

    assert (served == booster.inplace_predict(features, iteration_range=(0, booster.best_iteration + 1))).all()
    assert (served != booster.inplace_predict(features)).any()


def test_categorical_features_are_codes(table: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    features, target = table
    coded = np.column_stack([np.floor(features[:, 0] * 7), features[:, 1]]).astype(np.float32)
    matrix = xgb.DMatrix(coded, target, feature_names=["kind", "size"], feature_types=["c", "q"], enable_categorical=True)
    booster = xgb.train({"max_depth": 4, "max_cat_to_onehot": 1}, matrix, 10)
    booster.save_model(tmp_path / "model.ubj")

    model = xgboost.load(tmp_path / "model.ubj", threads=1)

    assert model.signature.features == ("kind", "size")
    assert (predict(model, coded) == booster.predict(matrix)).all()


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text('{"learner": 1}')
    with pytest.raises(InvalidModel, match=r"model\.json is no XGBoost model") as caught:
        xgboost.load(path, threads=1)
    assert "\n" not in str(caught.value)
