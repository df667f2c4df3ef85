from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from functions.runtime.runtimes.structure import lightgbm
from functions.runtime.runtimes.structure.fault import Fault

NAMES = ["a", "b", "c", "d"]
QUIET = {"verbose": -1, "num_threads": 1, "num_leaves": 6}


def table() -> tuple[Any, Any]:
    features = np.random.default_rng(0).random((300, 4))
    return features, features.sum(axis=1)


def trained(parameters: dict[str, Any], target: Any = None, rounds: int = 4, **of_data: Any) -> str:
    features, sums = table()
    data = lgb.Dataset(features, sums if target is None else target, feature_name=NAMES, params=QUIET | parameters, **of_data)
    return str(lgb.train(QUIET | parameters, data, rounds).model_to_string())


def of_categories() -> str:
    features, sums = table()
    codes = np.arange(300) % 7
    frame = pd.DataFrame({"a": features[:, 0], "b": pd.Categorical(codes), "c": features[:, 1], "d": pd.Categorical(codes % 2)})
    data = lgb.Dataset(frame, sums + codes % 3)
    booster = lgb.train(QUIET | {"min_data_per_group": 5, "cat_smooth": 1}, data, 4)
    return str(booster.model_to_string())


MODELS: dict[str, Callable[[], str]] = {
    "squares": lambda: trained({}),
    "binary": lambda: trained({"objective": "binary"}, table()[1] > 2),
    "classes": lambda: trained({"objective": "multiclass", "num_class": 3}, np.arange(300) % 3),
    "one versus all": lambda: trained({"objective": "multiclassova", "num_class": 3}, np.arange(300) % 3),
    "linear": lambda: trained({"linear_tree": True}),
    "forest": lambda: trained({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}),
    "dart": lambda: trained({"boosting": "dart"}),
    "monotone": lambda: trained({"monotone_constraints": [1, 0, -1, 0]}),
    "quantile": lambda: trained({"objective": "quantile", "alpha": 0.3}),
    "constant": lambda: trained({}, np.ones(300)),
    "rank": lambda: trained({"objective": "lambdarank"}, np.arange(300) % 3, group=[30] * 10),
    "own objective": lambda: trained({"objective": lambda values, data: (values - data.get_label(), np.ones_like(values))}),
    "categories": of_categories,
}


def check(text: str) -> None:
    lightgbm.check(text.encode())


@pytest.mark.parametrize("name", MODELS)
def test_a_complete_model_is_accepted(name: str) -> None:
    check(MODELS[name]())


def test_the_models_of_these_tests_have_the_tested_features() -> None:
    assert re.search(r"^num_cat=[1-9]", MODELS["categories"](), re.MULTILINE)
    assert re.search(r"^num_features=.*[1-9]", MODELS["linear"](), re.MULTILINE)


def test_a_file_of_an_older_version_is_accepted() -> None:
    """LightGBM 2.1 had no line after the trees and no end of the parameters, 2.3 had a space in a title."""
    text = MODELS["squares"]().replace("\nfeature_importances:", "\nfeature importances:")
    check(text.replace("version=v4", "version=v3"))
    text = text.replace("version=v4", "version=v2").replace("end of trees\n", "").replace("end of parameters\n", "")
    check(re.sub(r"(?m)^(leaf_weight|internal_weight|is_linear)=.*\n", "", re.sub(r"(?m)^tree_sizes=.*\n", "", text)))


def with_sizes(text: str) -> str:
    """The text with the current sizes of its trees, so that only the tested contradiction is left."""
    first, end = text.index("\nTree=0") + 1, text.index("\nend of trees") + 1
    trees = re.split(r"^(?=Tree=)", text[first:end], flags=re.MULTILINE)[1:]
    return re.sub(r"(?m)^tree_sizes=.*$", "tree_sizes=" + " ".join(str(len(tree)) for tree in trees), text)


def changed(text: str, name: str, change: Callable[[list[str]], object], tree: int = 1) -> str:
    """The text with other values of one field of a tree."""
    start = text.index(f"\nTree={tree}\n")
    match = re.compile(rf"^{name}=(.*)$", re.MULTILINE).search(text, start)
    assert match
    values = match[1].split(" ")
    change(values)
    return with_sizes(text[: match.start(1)] + " ".join(values) + text[match.end(1) :])


def put(place: int, value: str) -> Callable[[list[str]], object]:
    return lambda values: values.__setitem__(place, value)


@pytest.mark.parametrize(
    ("name", "field", "change", "reason"),
    [
        ("squares", "left_child", put(0, "5"), "left_child has 5"),
        ("squares", "left_child", put(0, "-7"), "left_child has -7"),
        ("squares", "left_child", put(0, "0"), "not the child of one node"),
        ("squares", "right_child", put(-1, "x"), "not integers"),
        ("squares", "right_child", put(-1, "1_0"), "not integers"),
        ("squares", "right_child", put(-1, "9" * 30), "not integers"),
        ("squares", "right_child", lambda values: values.pop(), "right_child has 4 values, not 5"),
        ("squares", "split_feature", put(0, "50"), "split_feature has 50, which is not between 0 and 3"),
        ("squares", "split_feature", put(0, "-1"), "split_feature has -1"),
        ("squares", "threshold", put(0, "nan"), "splits at NaN"),
        ("squares", "threshold", put(0, "0x1"), "not numbers"),
        ("squares", "threshold", lambda values: values.append("1"), "threshold has 6 values, not 5"),
        ("squares", "decision_type", put(0, "12"), "decision_type has 12"),
        ("squares", "decision_type", put(0, "1"), "splits by categories on the feature"),
        ("squares", "leaf_value", put(0, "inf"), "leaf_value has a value that is not finite"),
        ("squares", "leaf_value", put(0, "1e999"), "leaf_value has a value that is not finite"),
        ("squares", "leaf_count", lambda values: values.pop(), "leaf_count has 5 values"),
        ("squares", "internal_value", lambda values: values.pop(), "internal_value has 4 values"),
        ("squares", "num_leaves", put(0, "2000000000"), "leaf_value has 6 values, not 2000000000"),
        ("squares", "num_leaves", put(0, "-3"), "num_leaves has -3"),
        ("squares", "num_leaves", put(0, "1"), "leaf_value has 6 values, not 1"),
        ("squares", "num_cat", put(0, "3"), "categories that are not in the file"),
        ("squares", "is_linear", put(0, "7"), "is_linear has 7"),
        ("squares", "shrinkage", put(0, "nan"), "shrinkage has a value that is not finite"),
        ("categories", "cat_boundaries", put(-1, "5000000"), "cat_threshold has"),
        ("categories", "cat_boundaries", put(0, "1"), "do not ascend from 0"),
        ("categories", "cat_threshold", put(0, "-1"), "cat_threshold has -1"),
        ("linear", "leaf_features", put(0, "99"), "leaf_features has|values, not"),
        ("linear", "leaf_const", put(0, "nan"), "leaf_const has a value that is not finite"),
        ("linear", "num_features", put(0, "500"), "num_features has 500"),
    ],
)
def test_a_contradiction_in_a_tree_is_a_fault(name: str, field: str, change: Callable[[list[str]], object], reason: str) -> None:
    with pytest.raises(Fault, match=reason):
        check(changed(MODELS[name](), field, change))


def test_nodes_with_a_cycle_are_a_fault() -> None:
    """Each node and each leaf is the child of one node, and two nodes are each other's children."""
    text = changed(MODELS["squares"](), "left_child", lambda values: values.__setitem__(slice(None), ["-1", "2", "1", "-2", "4"]))
    text = changed(text, "right_child", lambda values: values.__setitem__(slice(None), ["3", "-3", "-4", "-5", "-6"]))
    with pytest.raises(Fault, match="have a cycle"):
        check(text)


@pytest.mark.parametrize(
    ("name", "pattern", "text", "reason"),
    [
        ("squares", "max_feature_idx=3", "max_feature_idx=300", "feature_names has 4 values, not 301"),
        ("squares", "feature_names=a b", "feature_names=a a", "a name twice"),
        ("squares", r"feature_infos=\[", "feature_infos=[0:1] [", "feature_infos has 5 values"),
        ("squares", "num_class=1", "num_class=0", "num_class has 0"),
        ("squares", "num_class=1", "num_class=3", "num_tree_per_iteration is not its num_class"),
        ("squares", "num_class=1\nnum_tree_per_iteration=1", "num_class=2\nnum_tree_per_iteration=2", "has no classes"),
        ("classes", "multiclass num_class:3", "multiclass num_class:9", "another number of classes"),
        ("classes", "multiclass num_class:3", "multiclass", "another number of classes"),
        ("squares", "version=v4", "version=v4\nversion=v4", "version twice"),
        ("squares", "feature_infos", "featureXinfos", "no feature_infos"),
        ("squares", "objective=", "objectivf=", "unknown field 'objectivf'"),
        ("squares", r"tree_sizes=\d", "tree_sizes=9", "tree_sizes are not those"),
        ("squares", "Tree=1\n", "Tree=7\n", "does not begin where tree_sizes says"),
        ("squares", "num_cat=0\n", "", "tree_sizes are not those|no num_cat"),
        ("squares", "num_cat=0\nsplit", "num_cbt=0\nsplit", "unknown field 'num_cbt'"),
        ("squares", "num_cat=0\n", "num_cat\x000\n", "a zero byte"),
        ("squares", "end of trees", "end of treez", "no line 'end of trees'"),
        ("squares", "end of parameters", "end of parametres", "have no end"),
        ("squares", r"\[max_depth: -1\]", "[max_depth, -1]", "not one a line"),
        ("categories", r"pandas_categorical:\[\[0", "pandas_categorical:[[0.", "pandas_categorical is not JSON"),
        ("categories", "pandas_categorical:.*", 'pandas_categorical:{"a": 1}', "not a list of lists"),
        ("categories", "\npandas", "\npandas_categorical:null\npandas", "pandas_categorical twice"),
    ],
)
def test_a_contradiction_outside_the_trees_is_a_fault(name: str, pattern: str, text: str, reason: str) -> None:
    whole = MODELS[name]()
    damaged = re.sub(pattern, lambda _: text, whole, count=1)
    assert damaged != whole
    with pytest.raises(Fault, match=reason):
        check(damaged)


@pytest.mark.parametrize("place", ["Tree=0", "Tree=1", "threshold=", "leaf_value=", "end of trees", "[boosting: gbdt]"])
def test_a_truncated_file_is_a_fault(place: str) -> None:
    text = MODELS["squares"]()
    with pytest.raises(Fault):
        check(text[: text.index(place) + len(place)])


def test_a_file_that_once_hung_a_server_is_a_fault() -> None:
    with pytest.raises(Fault, match="right_child has values that are not integers"):
        lightgbm.check((Path(__file__).parent / "damaged" / "m00746.txt").read_bytes())
