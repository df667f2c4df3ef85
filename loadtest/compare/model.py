"""The model that all servers serve, and the rows of the requests; both are seeded and equal in each run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from loadtest.compare.wire import binary_request, json_request

NAME = "bench"
PATH = f"/v2/models/{NAME}/infer"
TREES, DEPTH, FEATURES = 200, 6, 30
ROWS = 1_000
_TRAINING_ROWS = 20_000
_SEED = 2013
# Different requests of each kind, so that no server can answer from a cache.
_ONE_ROW, _MANY_ROWS = 64, 4


@dataclass(frozen=True, slots=True)
class Requests:
    """Prebuilt requests of each kind, sent in turn, and the library's own scores for each of them."""

    one: tuple[bytes, ...]
    many: tuple[bytes, ...]
    binary: tuple[bytes, ...]
    one_scores: tuple[list[float], ...]
    many_scores: tuple[list[float], ...]


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model; `folder` has the artifact, the function's card and MLServer's settings."""

    folder: Path
    artifact: Path
    requests: Requests


def xgboost_model(root: Path) -> Trained:
    """Train the model in a folder below `root`, or read an earlier one."""
    import xgboost as xgb

    folder = root / NAME
    artifact = folder / "model.ubj"
    if not artifact.is_file():
        rows, labels = _training_data()
        folder.mkdir(parents=True, exist_ok=True)
        parameters = {"objective": "binary:logistic", "max_depth": DEPTH, "eta": 0.1, "tree_method": "hist", "nthread": 1, "seed": _SEED}
        booster = xgb.train(parameters, xgb.DMatrix(rows, labels), TREES)
        booster.save_model(folder / "part.ubj")
        (folder / "part.ubj").replace(artifact)
    booster = xgb.Booster({"nthread": 1}, model_file=artifact)
    requests = _requests(lambda rows: booster.predict(xgb.DMatrix(rows)))
    _write_card(folder, "xgboost", artifact)
    settings = {"name": NAME, "implementation": "mlserver_xgboost.XGBoostModel", "parameters": {"uri": f"./{artifact.name}"}}
    (folder / "model-settings.json").write_bytes(orjson.dumps(settings))
    return Trained(folder, artifact, requests)


def lightgbm_model(root: Path) -> Trained:
    """Train a model with as many trees and leaves in LightGBM's text format."""
    import lightgbm as lgb

    folder = root / "lightgbm" / NAME
    artifact = folder / "model.txt"
    if not artifact.is_file():
        rows, labels = _training_data()
        folder.mkdir(parents=True, exist_ok=True)
        parameters = {"objective": "binary", "num_leaves": 2**DEPTH, "max_depth": DEPTH, "num_threads": 1, "seed": _SEED, "verbose": -1}
        lgb.train(parameters, lgb.Dataset(rows, labels), TREES).save_model(folder / "part.txt")
        (folder / "part.txt").replace(artifact)
    booster = lgb.Booster(model_file=artifact)
    requests = _requests(lambda rows: booster.predict(rows, num_threads=1))
    _write_card(folder, "lightgbm", artifact)
    return Trained(folder, artifact, requests)


def _training_data() -> tuple[Any, Any]:
    import numpy as np

    random = np.random.default_rng(_SEED)
    rows = random.normal(size=(_TRAINING_ROWS, FEATURES)).astype(np.float32)
    labels = rows[:, 0] * rows[:, 1] + rows[:, 2] + random.normal(size=_TRAINING_ROWS) > 0
    return rows, labels.astype(np.float32)


def _requests(predict: Callable[[Any], Any]) -> Requests:
    import numpy as np

    random = np.random.default_rng(_SEED + 1)
    # Four digits, like measured values; equal in JSON, in a binary tensor and in the library.
    ones = [np.round(random.normal(size=(1, FEATURES)), 4) for _ in range(_ONE_ROW)]
    many = [np.round(random.normal(size=(ROWS, FEATURES)), 4) for _ in range(_MANY_ROWS)]

    def predicted(rows: Any) -> list[float]:
        return [float(value) for value in predict(rows.astype(np.float32))]

    return Requests(
        tuple(json_request(PATH, rows.tolist()) for rows in ones),
        tuple(json_request(PATH, rows.tolist()) for rows in many),
        tuple(binary_request(PATH, rows.tolist()) for rows in many),
        tuple(predicted(rows) for rows in ones),
        tuple(predicted(rows) for rows in many),
    )


def _write_card(folder: Path, runtime: str, artifact: Path) -> None:
    """Write a card as for production: with a digest, and an example that the function predicts before it is ready."""
    names = [f"f{number:02}" for number in range(FEATURES)]
    card = {
        "name": NAME,
        "runtime": runtime,
        "inputs": [{"name": name, "datatype": "FP32"} for name in names],
        "outputs": [{"name": "score", "datatype": "FP32" if runtime == "xgboost" else "FP64"}],
        "artifact": {"uri": artifact.name, "sha256": hashlib.sha256(artifact.read_bytes()).hexdigest()},
        "example": dict.fromkeys(names, 0.5),
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(card, sort_keys=False), "utf-8")
