"""Small undamaged models of many kinds, which are mutated. They are equal in every run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import xgboost as xgb

ROWS = 400
NAMES = ("a", "b", "c", "d")
COLOURS = ("blue", "green", "red", "white")
# Several threads would wait for each other when other processes use the same cores.
_ONE_THREAD = {"nthread": 1}
Table = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Original:
    """A model that is served by a card without a digest; `outputs` are meanings, `categorical` are columns."""

    path: Path
    runtime: str
    outputs: tuple[str, ...]
    categorical: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.name

    def card(self) -> str:
        number = "FP32" if self.runtime == "xgboost" else "FP64"
        inputs = [
            {"name": name, "datatype": "BYTES", "categories": COLOURS, "optional": True}
            if name in self.categorical
            else {"name": name, "datatype": number, "optional": True}
            for name in NAMES
        ]
        outputs = [{"name": "value"}, *({"name": kind, "meaning": kind, "on_request": True} for kind in self.outputs)]
        return json.dumps({"name": "model", "runtime": self.runtime, "inputs": inputs, "outputs": outputs, "artifact": {"uri": self.name}})


def table(rows: int, seed: int) -> Table:
    """Return rows of four columns: three of numbers, some missing, and one of category codes."""
    chance = np.random.default_rng(seed)
    values = chance.normal(size=(rows, len(NAMES)))
    values[chance.random(values.shape) < 0.1] = np.nan
    values[:, -1] = chance.integers(0, len(COLOURS), rows)
    return values.astype(np.float32).astype(np.float64)


def write(folder: Path) -> list[Original]:
    """Train all models into a folder."""
    values = table(ROWS, 0)
    target = np.nan_to_num(values).sum(axis=1)
    return [*_xgboost(folder, values, target), *_lightgbm(folder, values, target)]


def _xgboost(folder: Path, values: Table, target: Table) -> list[Original]:
    classes = np.digitize(target, [-0.5, 2.5])
    three = np.stack([target, -target, target**2], axis=1)
    every = ("margin", "contributions", "leaf")
    some = ("margin", "leaf")
    kinds: Mapping[str, tuple[dict[str, Any], Any, tuple[str, ...]]] = {
        "binary": ({"objective": "binary:logistic", "max_depth": 4}, target > 1, every),
        "classes": ({"objective": "multi:softprob", "num_class": 3, "max_depth": 3}, classes, every),
        "labels": ({"objective": "multi:softmax", "num_class": 3, "max_depth": 2, "num_parallel_tree": 2}, classes, every),
        "dart": ({"booster": "dart", "rate_drop": 0.3, "max_depth": 3}, target, every),
        "pruned": ({"tree_method": "exact", "gamma": 2.0, "max_depth": 6}, target, every),
        "vector": ({"multi_strategy": "multi_output_tree", "max_depth": 3}, three, some),
        "targets": ({"max_depth": 3}, three, every),
    }
    found = []
    for name, (parameters, wanted, outputs) in kinds.items():
        booster = xgb.train(_ONE_THREAD | parameters, xgb.DMatrix(values, wanted, feature_names=list(NAMES)), 5)
        found += [_saved(booster, folder / f"{name}.{ending}", "xgboost", outputs) for ending in ("ubj", "json")]
    frame = _frame(values)
    booster = xgb.train(_ONE_THREAD | {"max_cat_to_onehot": 1, "max_depth": 4}, xgb.DMatrix(frame, target, enable_categorical=True), 5)
    found += [_saved(booster, folder / f"categories.{ending}", "xgboost", every, ("d",)) for ending in ("ubj", "json")]
    return found


def _lightgbm(folder: Path, values: Table, target: Table) -> list[Original]:
    common = {"verbose": -1, "num_threads": 1, "num_leaves": 8, "deterministic": True}
    classes = np.digitize(target, [-0.5, 2.5])
    every = ("margin", "contributions", "leaf")
    kinds: Mapping[str, tuple[dict[str, Any], Any, tuple[str, ...]]] = {
        "binary": ({"objective": "binary"}, target > 1, every),
        "classes": ({"objective": "multiclass", "num_class": 3}, classes, every),
        "linear": ({"objective": "regression", "linear_tree": True}, target, ("margin", "leaf")),
    }
    train: Callable[..., lgb.Booster] = lgb.train
    found = []
    for name, (parameters, wanted, outputs) in kinds.items():
        data = lgb.Dataset(values, wanted, feature_name=list(NAMES), params=parameters | common)
        found.append(_saved(train(parameters | common, data, 5), folder / f"{name}.txt", "lightgbm", outputs))
    booster = train({"objective": "regression"} | common, lgb.Dataset(_frame(values), target), 5)
    return [*found, _saved(booster, folder / "categories.txt", "lightgbm", every, ("d",))]


def _frame(values: Table) -> pd.DataFrame:
    frame = pd.DataFrame(values, columns=list(NAMES))
    frame["d"] = pd.Categorical.from_codes(values[:, -1].astype(int), categories=list(COLOURS))
    return frame


def _saved(booster: Any, path: Path, runtime: str, outputs: tuple[str, ...], categorical: tuple[str, ...] = ()) -> Original:
    booster.save_model(path)
    return Original(path, runtime, outputs, categorical)
