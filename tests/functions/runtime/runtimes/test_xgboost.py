from __future__ import annotations

import math
import subprocess
import sys
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.contract.signature import Kind
from functions.runtime.errors import InvalidModel
from functions.runtime.runtimes import Model, xgboost
from tests.functions.runtime.runtimes.predictions import assert_threads_agree, predict, rows, same_to_the_bit

Table = tuple[np.ndarray, np.ndarray]
KINDS: tuple[Kind, ...] = ("value", "margin", "contributions", "leaf")


def binary(target: np.ndarray) -> np.ndarray:
    return (target > 0.3).astype(int)


def classes(target: np.ndarray) -> np.ndarray:
    return np.floor(target * 2.9).astype(int)


def positive(target: np.ndarray) -> np.ndarray:
    return target + 0.1


def two(target: np.ndarray) -> np.ndarray:
    return np.column_stack([target, 1 - target])


def both(target: np.ndarray) -> np.ndarray:
    return np.column_stack([target > 0.3, target < 0.6]).astype(int)


def same(target: np.ndarray) -> np.ndarray:
    return target


def grades(target: np.ndarray) -> np.ndarray:
    return np.asarray(np.floor(target * 4))


VECTOR = {"multi_strategy": "multi_output_tree"}
THREE = {"num_class": 3}
ALPHAS = {"quantile_alpha": [0.1, 0.5, 0.9]}
# parameters, what becomes of the target, the meaning and the classes of the value, the shapes of a row's value and
# margin
CASES: dict[str, tuple[dict[str, Any], Callable[[np.ndarray], np.ndarray], str, int, tuple[int, ...], tuple[int, ...]]] = {
    "binary:logistic": ({}, binary, "probability", 1, (), ()),
    "binary:logitraw": ({}, binary, "margin", 0, (), ()),
    "binary:hinge": ({}, binary, "label", 1, (), ()),
    "multi:softprob": (THREE, classes, "probability", 3, (3,), (3,)),
    "multi:softmax": (THREE, classes, "label", 3, (), (3,)),
    "reg:squarederror": ({}, same, "value", 0, (), ()),
    "reg:squaredlogerror": ({}, same, "value", 0, (), ()),
    "reg:logistic": ({}, same, "value", 0, (), ()),
    "reg:pseudohubererror": ({}, same, "value", 0, (), ()),
    "reg:absoluteerror": ({}, same, "value", 0, (), ()),
    "reg:gamma": ({}, positive, "value", 0, (), ()),
    "reg:tweedie": ({}, positive, "value", 0, (), ()),
    "reg:quantileerror": ({"quantile_alpha": 0.3}, same, "value", 0, (), ()),
    "count:poisson": ({}, lambda y: np.floor(y * 10), "value", 0, (), ()),
    "survival:cox": ({}, positive, "value", 0, (), ()),
    "survival:aft": ({}, positive, "value", 0, (), ()),
    "rank:pairwise": ({}, grades, "value", 0, (), ()),
    "rank:ndcg": ({}, grades, "value", 0, (), ()),
    "rank:map": ({}, binary, "value", 0, (), ()),
    "several quantiles": ({"objective": "reg:quantileerror", **ALPHAS}, same, "value", 0, (3,), (3,)),
    "several targets": ({"objective": "reg:squarederror"}, two, "value", 0, (2,), (2,)),
    "several targets in a tree": ({"objective": "reg:squarederror", **VECTOR}, two, "value", 0, (2,), (2,)),
    "several targets in a tree of a forest": (
        {"objective": "reg:squarederror", "num_parallel_tree": 3, **VECTOR},
        two,
        "value",
        0,
        (2,),
        (2,),
    ),
    "several targets in a forest": ({"objective": "reg:squarederror", "num_parallel_tree": 2}, two, "value", 0, (2,), (2,)),
    "several labels": ({"objective": "binary:logistic"}, both, "probability", 1, (2,), (2,)),
    "several labels in a tree": ({"objective": "binary:logistic", **VECTOR}, both, "probability", 1, (2,), (2,)),
    "classes in a tree": ({"objective": "multi:softprob", **THREE, **VECTOR}, classes, "probability", 3, (3,), (3,)),
    "dart": ({"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.3}, binary, "probability", 1, (), ()),
    "dart of classes": ({"objective": "multi:softprob", "booster": "dart", **THREE}, classes, "probability", 3, (3,), (3,)),
    "a forest": ({"objective": "multi:softprob", "num_parallel_tree": 3, "subsample": 0.5, **THREE}, classes, "probability", 3, (3,), (3,)),
}


def expected(booster: xgb.Booster, data: Any, kind: Kind) -> np.ndarray:
    """Predict as the package's estimators do: in place for values and margins, up to the best iteration."""
    try:
        rounds = (0, booster.best_iteration + 1)
    except AttributeError:
        rounds = (0, 0)
    if kind in ("value", "margin"):
        return booster.inplace_predict(data, predict_type=kind, iteration_range=rounds)
    matrix = xgb.DMatrix(data, enable_categorical=isinstance(data, pd.DataFrame))
    return booster.predict(matrix, iteration_range=rounds, **{"pred_leaf" if kind == "leaf" else "pred_contribs": True})


def train(case: str, table: Table, count: int = 12) -> xgb.Booster:
    parameters, become, *_ = CASES[case]
    features, target = table[0], become(table[1])
    objective = parameters.get("objective", case)
    if objective == "survival:aft":
        matrix = xgb.DMatrix(features, label_lower_bound=target, label_upper_bound=target + 1)
    else:
        matrix = xgb.DMatrix(features, target)
    if objective.startswith("rank"):
        matrix.set_group([100] * 6)
    return xgb.train({"objective": objective, "max_depth": 4, **parameters}, matrix, count)


@pytest.mark.parametrize("case", CASES)
def test_a_prediction_is_that_of_the_package_to_the_bit(case: str, table: Table, tmp_path: Path) -> None:
    booster = train(case, table)
    booster.save_model(tmp_path / "model.ubj")

    model = xgboost.load(tmp_path / "model.ubj")

    _, _, meaning, count, value, margin = CASES[case]
    signature = model.signature
    assert (signature.meaning, signature.classes, signature.width, signature.typecode) == (meaning, count, 5, "f")
    assert (signature.kinds["value"], signature.kinds["margin"]) == (value, margin)
    for kind in signature.kinds:
        assert same_to_the_bit(predict(model, table[0], kind), expected(booster, table[0], kind)), kind
        assert same_to_the_bit(predict(model, table[0][:1], kind), expected(booster, table[0][:1], kind)), kind
    # The library has no contributions of trees with several outputs.
    assert set(signature.kinds) == set(KINDS) - ({"contributions"} if "in a tree" in case else set())


@pytest.mark.parametrize("case", ["binary:logistic", "multi:softmax", "dart", "a forest", "several targets", "several targets in a tree"])
def test_every_kind_honours_early_stopping(case: str, table: Table, tmp_path: Path) -> None:
    parameters, become, *_ = CASES[case]
    features, target = table[0], become(table[1])
    fitted, held = xgb.DMatrix(features[:100], target[:100]), xgb.DMatrix(features[100:], target[100:])
    wanted = {"objective": case, "max_depth": 6, "eta": 1.0, **parameters}
    booster = xgb.train(wanted, fitted, 50, evals=[(held, "held")], early_stopping_rounds=5, verbose_eval=False)
    assert booster.best_iteration + 1 < booster.num_boosted_rounds()
    booster.save_model(tmp_path / "model.ubj")

    model = xgboost.load(tmp_path / "model.ubj")

    for kind in model.signature.kinds:
        assert same_to_the_bit(predict(model, features, kind), expected(booster, features, kind)), kind
    assert not same_to_the_bit(predict(model, features, "margin"), booster.inplace_predict(features, predict_type="margin"))


def test_a_model_cut_before_its_best_iteration_uses_all_trees(table: Table, tmp_path: Path) -> None:
    booster = train("binary:logistic", table)
    booster.set_attr(best_iteration="11")
    booster[:3].save_model(tmp_path / "model.ubj")

    model = xgboost.load(tmp_path / "model.ubj")

    assert same_to_the_bit(predict(model, table[0]), booster[:3].inplace_predict(table[0]))


def test_a_model_in_json_predicts_the_same(table: Table, tmp_path: Path) -> None:
    booster = train("multi:softprob", table)
    booster.save_model(tmp_path / "model.json")
    model = xgboost.load(tmp_path / "model.json")
    assert same_to_the_bit(predict(model, table[0]), booster.inplace_predict(table[0]))


@pytest.mark.parametrize("case", ["multi:softprob", "dart of classes", "several targets in a tree"])
def test_one_model_predicts_in_several_threads_at_once(case: str, table: Table, tmp_path: Path) -> None:
    train(case, table).save_model(tmp_path / "model.ubj")
    alone, shared = xgboost.load(tmp_path / "model.ubj"), xgboost.load(tmp_path / "model.ubj")
    assert_threads_agree(shared, alone, table[0])


def test_a_thread_that_ends_leaves_the_model_intact(table: Table, tmp_path: Path) -> None:
    booster = train("binary:logistic", table)
    booster.save_model(tmp_path / "model.ubj")
    model = xgboost.load(tmp_path / "model.ubj")
    for _ in range(20):
        with ThreadPoolExecutor(1) as short:
            assert same_to_the_bit(short.submit(predict, model, table[0]).result(), booster.inplace_predict(table[0]))
    assert same_to_the_bit(predict(model, table[0]), booster.inplace_predict(table[0]))


def test_doubles_predict_as_the_floats_they_round_to(table: Table, tmp_path: Path) -> None:
    train("multi:softprob", table).save_model(tmp_path / "model.ubj")
    model = xgboost.load(tmp_path / "model.ubj")
    doubles = array("d", np.nextafter(table[0].astype(np.float64), math.inf).tobytes())
    assert model.signature.doubles
    for kind in model.signature.kinds:
        assert model.predict(doubles, 600, kind) == model.predict(array("f", doubles), 600, kind)


def test_a_prediction_is_not_changed_by_the_next(table: Table, tmp_path: Path) -> None:
    train("binary:logistic", table).save_model(tmp_path / "model.ubj")
    model = xgboost.load(tmp_path / "model.ubj")
    first = model.predict(rows(model, table[0][:1]), 1).values
    kept = first[:]
    model.predict(rows(model, table[0][1:9]), 8)
    assert first == kept


@pytest.fixture(scope="module")
def frame(table: Table) -> pd.DataFrame:
    """Strings, numbers and integers as categories, some missing."""
    random = np.random.default_rng(3)
    texts = pd.Categorical.from_codes(random.integers(-1, 3, 600), ["sea", "air", "rail"])
    numbers = pd.Categorical(random.choice([30, 4, 17], 600))
    return pd.DataFrame({"mode": texts, "size": table[0][:, 0], "zone": numbers})


def coded(frame: pd.DataFrame) -> np.ndarray:
    """The rows for the runtime: a category as its position, a missing one as NaN."""
    codes = {name: frame[name].cat.codes.replace(-1, math.nan) for name in ("mode", "zone")}
    return np.asarray(frame.assign(**codes), np.float32)


@pytest.mark.parametrize("onehot", [1, 100])
def test_codes_mean_the_categories_of_the_frame(onehot: int, frame: pd.DataFrame, table: Table, tmp_path: Path) -> None:
    matrix = xgb.DMatrix(frame, table[1], enable_categorical=True)
    booster = xgb.train({"max_depth": 5, "max_cat_to_onehot": onehot}, matrix, 10)
    booster.save_model(tmp_path / "model.ubj")

    model = xgboost.load(tmp_path / "model.ubj")

    assert model.signature.features == ("mode", "size", "zone")
    assert model.signature.categorical == {"mode": ("sea", "air", "rail"), "zone": (4, 17, 30)}
    # Elsewhere the same categories can have another order; the package recodes them to the model's.
    turned = frame.assign(mode=frame["mode"].cat.reorder_categories(["air", "rail", "sea"]))
    for kind in KINDS:
        assert same_to_the_bit(predict(model, coded(frame), kind), expected(booster, frame, kind)), kind
        assert same_to_the_bit(predict(model, coded(frame), kind), expected(booster, turned, kind)), kind


def test_a_model_of_codes_has_unknown_categories(table: Table, tmp_path: Path) -> None:
    features = np.column_stack([np.floor(table[0][:, 0] * 7), table[0][:, 1]]).astype(np.float32)
    for names, wanted in ((["kind", "size"], "kind"), (None, "f0")):
        matrix = xgb.DMatrix(features, table[1], feature_names=names, feature_types=["c", "q"], enable_categorical=True)
        booster = xgb.train({"max_depth": 4, "max_cat_to_onehot": 1}, matrix, 10)
        booster.save_model(tmp_path / "model.ubj")

        model = xgboost.load(tmp_path / "model.ubj")

        assert model.signature.features == tuple(names or ())
        assert model.signature.categorical == {wanted: None}
        assert same_to_the_bit(predict(model, features), booster.predict(matrix))


def test_categories_that_the_library_truncates_are_unknown(frame: pd.DataFrame, table: Table, tmp_path: Path) -> None:
    accented = frame.assign(mode=frame["mode"].cat.rename_categories({"sea": "mer", "air": "avion", "rail": "métro"}))
    xgb.train({}, xgb.DMatrix(accented, table[1], enable_categorical=True), 2).save_model(tmp_path / "model.ubj")
    categories = xgboost.load(tmp_path / "model.ubj").signature.categorical
    assert categories == {"mode": None, "zone": (4, 17, 30)}


@cache
def some_model() -> tuple[Model, xgb.Booster]:
    """One model for all examples."""
    features = np.random.default_rng(1).random((200, 5), dtype=np.float32) * 100 - 50
    booster = xgb.train({"max_depth": 4}, xgb.DMatrix(features, features.sum(1)), 5)
    with TemporaryDirectory() as folder:
        booster.save_model(Path(folder) / "model.ubj")
        return xgboost.load(Path(folder) / "model.ubj"), booster


@given(st.lists(st.lists(st.floats(width=32), min_size=5, max_size=5), min_size=1, max_size=9))
def test_no_number_is_refused(values: list[list[float]]) -> None:
    model, booster = some_model()
    features = np.array(values, dtype=np.float32)
    assert same_to_the_bit(predict(model, features), booster.inplace_predict(features))
    finite = np.clip(features, np.finfo(np.float32).min, np.finfo(np.float32).max)
    for kind in KINDS[2:]:  # the package refuses infinity here
        assert same_to_the_bit(predict(model, features, kind), expected(booster, finite, kind))


def test_short_rows_are_refused() -> None:
    model, _ = some_model()
    with pytest.raises(ValueError, match="2 rows of 5 features have 10 values, not 9"):
        model.predict(array("f", bytes(36)), 2)


def test_a_file_that_is_not_a_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    for text in ("", "{", "hello", '{"learner": 1}'):
        path.write_text(text)
        with pytest.raises(InvalidModel, match=r"model\.json is not an XGBoost model.*; save it by Booster\.save_model\.$") as caught:
            xgboost.load(path)
        assert "\n" not in str(caught.value)


def test_a_linear_model_is_refused(table: Table, tmp_path: Path) -> None:
    features = np.nan_to_num(table[0])
    xgb.train({"booster": "gblinear"}, xgb.DMatrix(features, table[1]), 2).save_model(tmp_path / "model.json")
    with pytest.raises(InvalidModel, match=r"model\.json is a linear model \(gblinear\); train one of trees"):
        xgboost.load(tmp_path / "model.json")


def test_nothing_heavy_is_imported(table: Table, tmp_path: Path) -> None:
    train("binary:logistic", table).save_model(tmp_path / "model.ubj")
    code = (
        "import sys; from pathlib import Path; from functions.runtime.runtimes import runtime\n"
        f"runtime('xgboost').load(Path({str(tmp_path / 'model.ubj')!r}))\n"
        "print(sorted({'numpy', 'scipy', 'pandas', 'xgboost'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
