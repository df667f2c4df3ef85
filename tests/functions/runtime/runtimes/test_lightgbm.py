from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from functions.runtime.contract.signature import Kind
from functions.runtime.errors import InvalidModel
from functions.runtime.runtimes import lightgbm
from functions.runtime.runtimes.shared_library import library
from tests.functions.runtime.runtimes.predictions import assert_threads_agree, predict, same_to_the_bit

Table = tuple[np.ndarray, np.ndarray]
KINDS: dict[Kind, dict[str, bool]] = {
    "value": {},
    "margin": {"raw_score": True},
    "contributions": {"pred_contrib": True},
    "leaf": {"pred_leaf": True},
}


def own(predictions: np.ndarray, data: lgb.Dataset) -> tuple[np.ndarray, np.ndarray]:
    return predictions - data.get_label(), np.ones_like(predictions)


# parameters, what becomes of the target, the objective and the meaning, and the classes of the value
CASES: dict[str, tuple[dict[str, Any], Callable[[np.ndarray], np.ndarray], tuple[str, str, int]]] = {
    "binary": ({}, lambda y: y > 0.3, ("binary", "probability", 1)),
    "multiclass": ({"num_class": 3}, lambda y: np.floor(y * 2.9), ("multiclass", "probability", 3)),
    "multiclassova": ({"num_class": 3}, lambda y: np.floor(y * 2.9), ("multiclassova", "probability", 3)),
    "regression": ({}, lambda y: y, ("regression", "value", 0)),
    "regression of roots": ({"objective": "regression", "reg_sqrt": True}, lambda y: y, ("regression", "value", 0)),
    "regression_l1": ({}, lambda y: y, ("regression_l1", "value", 0)),
    "poisson": ({}, lambda y: np.floor(y * 10), ("poisson", "value", 0)),
    "gamma": ({}, lambda y: y + 0.1, ("gamma", "value", 0)),
    "quantile": ({"alpha": 0.9}, lambda y: y, ("quantile", "value", 0)),
    "cross_entropy": ({}, lambda y: y, ("cross_entropy", "value", 0)),
    "lambdarank": ({}, lambda y: np.floor(y * 4), ("lambdarank", "value", 0)),
    "own": ({"objective": own}, lambda y: y, ("custom", "value", 0)),
    "dart": ({"objective": "binary", "boosting": "dart"}, lambda y: y > 0.3, ("binary", "probability", 1)),
    "forest": (
        {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        lambda y: y > 0.3,
        ("binary", "probability", 1),
    ),
    "linear leaves": ({"objective": "regression", "linear_tree": True}, lambda y: y, ("regression", "value", 0)),
}


def train(case: str, table: Table, path: Path) -> lgb.Booster:
    """Train and save a model, and load it by the package."""
    parameters, become, _ = CASES[case]
    groups = [100] * 6 if case == "lambdarank" else None
    data = lgb.Dataset(table[0].astype(np.float64), become(table[1]), group=groups)
    lgb.train({"objective": case, "num_leaves": 7, "verbose": -1, "num_threads": 1, **parameters}, data, 12).save_model(path)
    return lgb.Booster(model_file=path)


@pytest.mark.parametrize("case", CASES)
def test_a_prediction_is_that_of_the_package_to_the_bit(case: str, table: Table, tmp_path: Path) -> None:
    booster = train(case, table, tmp_path / "model.txt")

    model = lightgbm.load(tmp_path / "model.txt")

    signature = model.signature
    assert (signature.objective, signature.meaning, signature.classes) == CASES[case][2]
    assert (signature.width, signature.features, signature.typecode) == (5, (), "d")
    for kind in signature.kinds:
        assert same_to_the_bit(predict(model, table[0], kind), booster.predict(table[0], **KINDS[kind])), kind
        assert same_to_the_bit(predict(model, table[0][:1], kind), booster.predict(table[0][:1], **KINDS[kind])), kind
    # The library has no contributions of linear leaves.
    assert set(signature.kinds) == set(KINDS) - ({"contributions"} if case == "linear leaves" else set())


def test_the_best_iteration_is_the_saved_one(table: Table, tmp_path: Path) -> None:
    features, target = table
    fitted, held = lgb.Dataset(features[:100], target[:100]), lgb.Dataset(features[100:], target[100:])
    parameters = {"learning_rate": 0.5, "min_data_in_leaf": 2, "verbose": -1, "num_threads": 1}
    stop = lgb.early_stopping(5, verbose=False)
    booster = lgb.train(parameters, fitted, 50, valid_sets=[held], callbacks=[stop], keep_training_booster=True)
    assert 0 < booster.best_iteration < booster.current_iteration()
    booster.save_model(tmp_path / "model.txt")

    model = lightgbm.load(tmp_path / "model.txt")

    for kind, options in KINDS.items():
        assert same_to_the_bit(predict(model, features, kind), booster.predict(features, **options)), kind


@pytest.fixture(scope="module")
def frame(table: Table) -> pd.DataFrame:
    """Strings and integers as categories, some missing, one column with a single value."""
    random = np.random.default_rng(3)
    texts = pd.Categorical.from_codes(random.integers(-1, 3, 600), ["sea", "métro", "rail"])
    numbers = pd.Categorical(random.choice([30, 4, 17], 600))
    return pd.DataFrame({"mode": texts, "size": table[0][:, 0], "zone": numbers, "unit": pd.Categorical(["m"] * 600)})


CATEGORICAL = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1}


def test_codes_mean_the_categories_of_the_frame(frame: pd.DataFrame, table: Table, tmp_path: Path) -> None:
    lgb.train(CATEGORICAL, lgb.Dataset(frame, table[1]), 10).save_model(tmp_path / "model.txt")
    booster = lgb.Booster(model_file=tmp_path / "model.txt")

    model = lightgbm.load(tmp_path / "model.txt")

    assert model.signature.features == ("mode", "size", "zone", "unit")
    assert model.signature.categorical == {"mode": ("sea", "métro", "rail"), "zone": (4, 17, 30), "unit": ("m",)}
    codes = {name: frame[name].cat.codes.replace(-1, math.nan) for name in ("mode", "zone", "unit")}
    # Elsewhere the same categories can have another order; the package recodes them to the model's.
    turned = frame.assign(mode=frame["mode"].cat.reorder_categories(["métro", "rail", "sea"]))
    for kind, options in KINDS.items():
        found = predict(model, frame.assign(**codes).to_numpy(np.float64), kind)
        assert same_to_the_bit(found, booster.predict(frame, **options)), kind
        assert same_to_the_bit(found, booster.predict(turned, **options)), kind


def test_an_ordered_category_is_known_where_no_other_column_fits(frame: pd.DataFrame, table: Table, tmp_path: Path) -> None:
    """An ordered category is a number to LightGBM, not a categorical feature."""
    grade = pd.Categorical(["low", "high"] * 300, categories=["low", "high"], ordered=True)
    ordered = frame.assign(unit=grade)
    lgb.train(CATEGORICAL, lgb.Dataset(ordered, table[1] + grade.codes), 10).save_model(tmp_path / "model.txt")
    model = lightgbm.load(tmp_path / "model.txt")
    assert model.signature.categorical == {"mode": ("sea", "métro", "rail"), "zone": (4, 17, 30), "unit": ("low", "high")}
    codes = {name: ordered[name].cat.codes.replace(-1, math.nan) for name in ("mode", "zone", "unit")}
    found = predict(model, ordered.assign(**codes).to_numpy(np.float64))
    assert same_to_the_bit(found, lgb.Booster(model_file=tmp_path / "model.txt").predict(ordered))


# Columns that could hold the codes of three categories, and some that could not.
COULD_BE = [0, 1, 2] * 200
COULD_NOT_BE = {
    "negative": [-1, 0, 1] * 200,
    "larger": [0, 1, 3] * 200,
    "fraction": [0.5, 1, 2] * 200,
    "between": [0, 0.3, 0.7, 2] * 150,  # its extremes are integers, but trees split it elsewhere
}


@pytest.mark.parametrize("name", [*COULD_NOT_BE, "could"])
def test_categories_are_assigned_only_where_one_column_fits(name: str, table: Table, tmp_path: Path) -> None:
    """`categorical_feature` can make a number a category and a category a number: the file is the same."""
    plan = pd.Categorical(["basic", "family", "pro"] * 200)
    frame = pd.DataFrame({name: COULD_NOT_BE.get(name, COULD_BE), "plan": np.random.default_rng(1).permutation(plan)})
    frame["plan"] = frame["plan"].astype("category")
    target = table[1] + frame[name] * 0.3 + frame["plan"].cat.codes.to_numpy() % 2
    path = tmp_path / "model.txt"
    lgb.train(CATEGORICAL, lgb.Dataset(frame, target), 20).save_model(path)
    known = lightgbm.load(path).signature.categorical
    assert known == {"plan": None if name == "could" else ("basic", "family", "pro")}


@pytest.mark.parametrize("unused", [[], ["unused"]])
@pytest.mark.parametrize("order", [["store", "plan"], ["plan", "store"]])
def test_a_category_by_number_never_gets_another_column_s(order: list[str], unused: list[str], table: Table, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    plan = pd.Categorical(random.choice(["basic", "family", "pro"], 600), categories=["basic", "family", "pro", *unused])
    frame = pd.DataFrame({"store": random.integers(0, 3, 600), "plan": plan})[order]
    target = table[1] + (frame["store"] == 1) * 2 - (frame["plan"] == "pro")
    for stores in (frame["store"], frame["store"] + 100):
        data = lgb.Dataset(frame.assign(store=stores), target, categorical_feature=["store"])
        lgb.train(CATEGORICAL, data, 20).save_model(tmp_path / "model.txt")
        found = lightgbm.load(tmp_path / "model.txt").signature
        assert found.categorical["store"] is None
        assert found.largest_codes == {"store": int(stores.max())}
    # The numbers of stores cannot be codes of three categories, so the plan's are certain.
    assert found.categorical == {"store": None, "plan": ("basic", "family", "pro", *unused)}


@pytest.mark.parametrize(
    ("values", "known"),
    [
        ([2.0, 1.5, 17.25], (1.5, 2.0, 17.25)),
        ([True, False], (False, True)),
        (np.array([3, 2**63, 2**64 - 1], np.uint64), (3, 2**63, 2**64 - 1)),
        ([1.5, math.inf], None),
    ],
)
def test_categories_have_the_type_of_the_frame(values: Any, known: Any, table: Table, tmp_path: Path) -> None:
    column = pd.Categorical(np.random.default_rng(1).choice(np.array(values), 600))
    data = lgb.Dataset(pd.DataFrame({"size": table[0][:, 0], "kind": column}), table[1] + column.codes)
    lgb.train(CATEGORICAL, data, 3).save_model(tmp_path / "model.txt")
    assert repr(lightgbm.load(tmp_path / "model.txt").signature.categorical) == repr({"kind": known})


def test_categories_of_several_types_are_known_unless_ambiguous(table: Table, tmp_path: Path) -> None:
    for values, known in ((["a", 2, True], ("a", 2, True)), (["2", 2, True], None)):
        codes = np.arange(600) % 3
        column = pd.Categorical.from_codes(codes, categories=pd.Index(values, dtype=object))
        data = lgb.Dataset(pd.DataFrame({"size": table[0][:, 0], "kind": column}), table[1] + codes)
        lgb.train(CATEGORICAL, data, 3).save_model(tmp_path / "model.txt")
        assert lightgbm.load(tmp_path / "model.txt").signature.categorical == {"kind": known}


def test_a_model_of_codes_has_unknown_categories(table: Table, tmp_path: Path) -> None:
    features = np.column_stack([np.floor(table[0][:, 0] * 7), table[0][:, 1]])
    named = lgb.Dataset(features, table[1], feature_name=["kind", "size"], categorical_feature=[0])
    for data, wanted in ((named, "kind"), (lgb.Dataset(features, table[1], categorical_feature=[0]), "f0")):
        lgb.train(CATEGORICAL, data, 5).save_model(tmp_path / "model.txt")
        booster = lgb.Booster(model_file=tmp_path / "model.txt")

        model = lightgbm.load(tmp_path / "model.txt")

        assert model.signature.features == (("kind", "size") if wanted == "kind" else ())
        assert model.signature.categorical == {wanted: None}
        assert same_to_the_bit(predict(model, features), booster.predict(features))


def test_infinities_and_large_codes_are_not_refused(table: Table, tmp_path: Path) -> None:
    booster = train("binary", table, tmp_path / "model.txt")
    model = lightgbm.load(tmp_path / "model.txt")
    features = np.array([[math.inf] * 5, [-math.inf] * 5, [math.nan] * 5, [1e300] * 5])
    for kind, options in KINDS.items():
        assert same_to_the_bit(predict(model, features, kind), booster.predict(features, **options)), kind


@pytest.mark.parametrize("case", ["multiclass", "dart", "linear leaves"])
def test_one_model_predicts_in_several_threads_at_once(case: str, table: Table, tmp_path: Path) -> None:
    train(case, table, tmp_path / "model.txt")
    alone, shared = lightgbm.load(tmp_path / "model.txt"), lightgbm.load(tmp_path / "model.txt")
    assert_threads_agree(shared, alone, table[0])


def test_short_rows_are_refused(table: Table, tmp_path: Path) -> None:
    train("binary", table, tmp_path / "model.txt")
    with pytest.raises(ValueError, match="2 rows of 5 features have 10 values, not 9"):
        lightgbm.load(tmp_path / "model.txt").predict(array("d", bytes(72)), 2)


@pytest.mark.parametrize("text", ["", "{}", "tree\n", "tree\nversion=v4\nnum_class=1\n", "tree\nnum_class=x\nlabel_index=0\n"])
def test_a_file_that_is_not_a_model_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text(text)
    with pytest.raises(InvalidModel, match=r"model\.txt is not a LightGBM model in its text format: .*; save it by Booster") as caught:
        lightgbm.load(tmp_path / "model.txt")
    assert "\n" not in str(caught.value)


def test_a_file_with_windows_line_ends_is_read(table: Table, tmp_path: Path) -> None:
    """The library crashes on it: the sizes of the trees do not count carriage returns."""
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1}
    booster = lgb.train(parameters, lgb.Dataset(table[0], table[1] > 0.3), 5)
    booster.save_model(tmp_path / "model.txt")
    (tmp_path / "crlf.txt").write_bytes((tmp_path / "model.txt").read_bytes().replace(b"\n", b"\r\n"))
    model = lightgbm.load(tmp_path / "crlf.txt")
    lightgbm.check(tmp_path / "crlf.txt", (tmp_path / "crlf.txt").read_bytes())
    rows = array("d", table[0][:9].astype(np.float64).tobytes())
    assert model.predict(rows, 9).values.tolist() == np.asarray(booster.predict(table[0][:9])).tolist()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"cannot read the model artifact .*model\.txt: No such file"):
        lightgbm.load(tmp_path / "model.txt")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    lightgbm._library.cache_clear()
    library.cache_clear()
    try:
        with pytest.raises(InvalidModel, match=r'the package lightgbm is not installed; pip install "tidegate\[lightgbm\]"'):
            lightgbm.load(tmp_path / "model.txt")
    finally:
        lightgbm._library.cache_clear()
        library.cache_clear()


def test_nothing_heavy_is_imported_and_nothing_printed(table: Table, tmp_path: Path) -> None:
    train("binary", table, tmp_path / "model.txt")
    code = (
        "import sys; from array import array; from pathlib import Path; from functions.runtime.runtimes import runtime\n"
        f"model = runtime('lightgbm').load(Path({str(tmp_path / 'model.txt')!r}))\n"
        "model.predict(array('d', bytes(40)), 1)\n"
        "print(sorted({'numpy', 'scipy', 'pandas', 'lightgbm'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
