from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb

from functions.runtime.runtimes.structure import xgboost
from functions.runtime.runtimes.structure.fault import Fault

NAMES = ["a", "b", "c", "d"]
VERSION = (int(xgb.__version__.split(".")[0]), int(xgb.__version__.split(".")[1]))
Change = Callable[[dict[str, Any]], object]


def check(data: bytes) -> None:
    xgboost.check(data, lambda: VERSION)


def table() -> tuple[Any, Any]:
    chance = np.random.default_rng(0)
    features = chance.random((300, 4), dtype=np.float32)
    features[chance.random(features.shape) < 0.1] = np.nan
    return features, np.nan_to_num(features).sum(axis=1)


def trained(parameters: dict[str, Any], rounds: int = 4, target: Any = None) -> xgb.Booster:
    features, sums = table()
    matrix = xgb.DMatrix(features, sums if target is None else target, feature_names=NAMES)
    return xgb.train(parameters if "booster" in parameters else {"max_depth": 3} | parameters, matrix, rounds)


def of_categories(**parameters: Any) -> xgb.Booster:
    features, sums = table()
    codes = np.arange(300) % 7
    colours = np.array(["blue", "green", "red", "white", "grey", "pink", "black"])[codes]
    frame = pd.DataFrame({"a": features[:, 0], "b": pd.Categorical(colours), "c": pd.Categorical(codes), "d": features[:, 1]})
    return xgb.train({"max_cat_to_onehot": 1, **parameters}, xgb.DMatrix(frame, sums + codes % 3, enable_categorical=True), 4)


def refreshed() -> xgb.Booster:
    features, sums = table()
    parameters = {"process_type": "update", "updater": "refresh", "verbosity": 0}
    return xgb.train(parameters, xgb.DMatrix(features, -sums, feature_names=NAMES), 4, xgb_model=trained({}))


def document(booster: xgb.Booster) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(booster.save_raw("json")))
    return found


_CLASSES = {"objective": "multi:softprob", "num_class": 3}
_THREE = np.stack([table()[1]] * 3, axis=1)
MODELS: dict[str, Callable[[], xgb.Booster]] = {
    "squares": lambda: trained({}),
    "classes": lambda: trained(_CLASSES, target=np.arange(300) % 3),
    "forest": lambda: trained({"num_parallel_tree": 3, "objective": "multi:softmax", "num_class": 3}, target=np.arange(300) % 3),
    "dart": lambda: trained({"booster": "dart", "rate_drop": 0.5}),
    "pruned": lambda: trained({"tree_method": "exact", "gamma": 5.0, "max_depth": 6}),
    "lossguide": lambda: trained({"grow_policy": "lossguide", "max_depth": 0, "max_leaves": 9}),
    "targets": lambda: trained({"num_parallel_tree": 2}, target=_THREE),
    "vectors": lambda: trained({"multi_strategy": "multi_output_tree"}, target=_THREE),
    "vector forest": lambda: trained({"multi_strategy": "multi_output_tree", "num_parallel_tree": 3}, target=_THREE),
    "quantiles": lambda: trained({"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9]}),
    "categories": of_categories,
    "one-hot": lambda: of_categories(max_cat_to_onehot=99),
    "pruned categories": lambda: of_categories(tree_method="approx", gamma=50.0),
    "linear": lambda: trained({"booster": "gblinear"}),
    "no rounds": lambda: trained({}, 0),
    "slice": lambda: trained({}, 6)[2:5],
    "refreshed": refreshed,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("form", ["json", "ubj"])
def test_a_complete_model_is_accepted(name: str, form: str) -> None:
    check(bytes(MODELS[name]().save_raw(form)))


def test_the_models_of_these_tests_have_the_tested_features() -> None:
    trees = document(MODELS["pruned"]())["learner"]["gradient_booster"]["model"]["trees"]
    assert any(int(tree["tree_param"]["num_deleted"]) for tree in trees)
    trees = document(MODELS["categories"]())["learner"]["gradient_booster"]["model"]["trees"]
    assert any(size > 1 for tree in trees for size in tree["categories_sizes"])


def test_json_with_spaces_and_lines_is_accepted() -> None:
    check(json.dumps(document(trained({})), indent=2).encode())


def test_a_file_of_an_older_version_is_accepted() -> None:
    """Later fields are missing, and flags are as XGBoost 1.5 wrote them."""
    found = document(trained({}))
    learner = found["learner"]
    found["version"] = [1, 5, 2]
    learner["learner_model_param"] = {"base_score": "5E-1", "num_class": "0", "num_feature": "4"}
    model = learner["gradient_booster"]["model"]
    del model["iteration_indptr"], model["cats"]
    for tree in model["trees"]:
        tree["default_left"] = [bool(flag) for flag in tree["default_left"]]
        tree["tree_param"]["size_leaf_vector"] = "0"
        for name in [name for name in tree if name.startswith("categories") or name == "split_type"]:
            del tree[name]
    check(json.dumps(found).encode())


def test_an_unknown_field_of_a_newer_version_is_accepted() -> None:
    found = document(trained({}))
    found["learner"]["news"] = 1
    with pytest.raises(Fault, match="unknown field 'news'"):
        check(json.dumps(found).encode())
    found["version"] = [9, 0, 0]
    check(json.dumps(found).encode())


def model_of(found: dict[str, Any]) -> dict[str, Any]:
    booster = found["learner"]["gradient_booster"]
    model: dict[str, Any] = booster.get("gbtree", booster)["model"]
    return model


def in_tree(name: str, value: Any, place: int | None = None) -> Change:
    """Set a field of the second tree, or one value of it."""

    def change(found: dict[str, Any]) -> None:
        tree = model_of(found)["trees"][1]
        if place is None:
            tree[name] = value
        else:
            tree[name][place] = value

    return change


def in_model(name: str, value: Any) -> Change:
    return lambda found: model_of(found).update({name: value})


def in_learner(part: str, name: str, value: Any) -> Change:
    return lambda found: found["learner"][part].update({name: value})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (in_tree("left_children", 2_000_000_000, 0), "the tree 1 has the child 2000000000"),
        (in_tree("left_children", 0, 1), "the tree 1 has the child 0"),
        (in_tree("left_children", 1, 1), "not side by side"),
        (in_tree("left_children", -7, 0), "the tree 1 has the child -7"),
        (in_tree("right_children", 5, 0), "not side by side"),
        (in_tree("parents", 99, 3), "parents has 99"),
        (in_tree("parents", -1, 1), "parents has -1"),
        (in_tree("parents", 0, 3), "children with another parent"),
        (in_tree("parents", 0, 0), "root has a parent"),
        (in_tree("left_children", -1, 0), "a leaf with a child|nodes outside the tree"),
        (in_tree("split_indices", 50, 1), "splits on the feature 50; the model has 4"),
        (in_tree("split_indices", -1, 1), "splits on the feature -1"),
        (in_tree("split_indices", [0]), "split_indices has 1 values, not"),
        (in_tree("split_conditions", math.nan, 0), "splits at NaN"),
        (in_tree("split_conditions", math.inf, -1), "leaves has a value that is not finite"),
        (in_tree("split_conditions", 1e39, -1), "leaves has a value that is not finite"),
        (in_tree("split_conditions", "x", 0), "not floating-point numbers"),
        (in_tree("sum_hessian", math.nan, 0), "sum_hessian has a value that is not finite"),
        (in_tree("default_left", 2, 0), "other than 0 and 1"),
        (in_tree("left_children", True, 0), "not integers"),
        (in_tree("left_children", None), "is not an array"),
        (in_tree("id", 0), "has another id"),
        (in_tree("lost", 0), "unknown field 'lost'"),
        (lambda found: model_of(found)["trees"][1].pop("parents"), "has no parents"),
        (lambda found: model_of(found)["trees"][1]["tree_param"].update(num_nodes="9999999"), "values, not 9999999"),
        (lambda found: model_of(found)["trees"][1]["tree_param"].update(num_nodes="-1"), "num_nodes is -1"),
        (lambda found: model_of(found)["trees"][1]["tree_param"].update(num_feature="5"), "5 features, the model 4"),
        (lambda found: model_of(found)["trees"][1]["tree_param"].update(num_deleted="2"), "nodes outside the tree"),
        (lambda found: model_of(found)["trees"][1]["tree_param"].update(size_leaf_vector="3"), "leaves of 3 values"),
        (lambda found: model_of(found)["trees"].pop(), "it has 3 trees, its num_trees is another"),
        (in_model("tree_info", [0, 0, 0, 1]), "not one of 1"),
        (in_model("tree_info", [0, 0, 0]), "tree_info has 3 values"),
        (in_model("iteration_indptr", [0, 1, 2, 3, 9]), "does not divide its trees"),
        (in_model("iteration_indptr", [0, 2, 1, 3, 4]), "does not divide its trees"),
        (in_model("iteration_indptr", [0, 2, 3, 4]), "are not one round"),
        (in_model("iteration_indptr", []), "does not divide its trees"),
        (in_learner("learner_model_param", "num_feature", "400000"), "feature_names has 4 values"),
        (in_learner("learner_model_param", "num_feature", "1e9"), "num_feature is not an integer"),
        (in_learner("learner_model_param", "num_class", "3"), "are not one round"),
        (in_learner("learner_model_param", "num_target", "-3"), "num_target is -3"),
        (in_learner("learner_model_param", "base_score", "NaN"), "base_score is 'NaN'"),
        (in_learner("learner_model_param", "base_score", "[1E0,2E0]"), "base_score is"),
        (in_learner("learner_model_param", "base_score", "1E99"), "not finite"),
        (in_learner("attributes", "best_iteration", "-5"), "best_iteration is -5"),
        (lambda found: found["learner"].update(feature_names=["a", "a", "b", "c"]), "a name twice"),
        (lambda found: found["learner"].update(feature_types=["q"] * 3), "feature_types has 3"),
        (lambda found: found["learner"].update(feature_types=["q", "q", "q", "?"]), "unknown type"),
        (lambda found: found.pop("learner"), "has no learner"),
        (lambda found: found["learner"]["gradient_booster"].update(name="dart"), "gradient_booster has (no gbtree|the unknown field)"),
    ],
)
def test_a_contradiction_is_a_fault(change: Change, reason: str) -> None:
    found = document(trained({}))
    change(found)
    with pytest.raises(Fault, match=reason):
        check(json.dumps(found).encode())


def test_nodes_with_a_cycle_are_a_fault() -> None:
    """Each node has one parent, and the nodes of the cycle are not below the root."""
    found = document(trained({}, 1))
    tree = model_of(found)["trees"][0]
    size = 7
    for name, value in tree.items():
        if isinstance(value, list) and len(value) == int(tree["tree_param"]["num_nodes"]):
            tree[name] = (value * size)[:size]
    tree["tree_param"]["num_nodes"] = str(size)
    tree |= {"left_children": [1, -1, -1, 5, -1, 3, -1], "right_children": [2, -1, -1, 6, -1, 4, -1]}
    tree |= {"parents": [2**31 - 1, 0, 0, 5, 5, 3, 3], "split_indices": [0] * size, "split_conditions": [0.5] * size}
    with pytest.raises(Fault, match="have a cycle"):
        check(json.dumps(found).encode())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (in_tree("categories_segments", 5_000_000, 0), "categories that are not in the file"),
        (in_tree("categories_sizes", 5_000_000, 0), "categories that are not in the file"),
        (in_tree("categories_sizes", 0, 0), "categories that are not in the file"),
        (in_tree("categories_nodes", 99, 0), "not those of its split_type"),
        (in_tree("categories", -1, 0), "categories has -1"),
        (in_tree("categories", 2_000_000_000, 0), "categories has 2000000000"),
        (in_tree("split_type", 2, 0), "split_type has 2"),
        (lambda found: model_of(found)["trees"][1]["categories"].append(1), "categories of no node"),
        (lambda found: found["learner"].update(feature_types=["q"] * 4), "which is of the other kind"),
        (lambda found: model_of(found)["cats"].update(feature_segments=[0, 0, 7, 14, 15]), "not the numbers of its categories"),
        (lambda found: model_of(found)["cats"]["enc"][1]["offsets"].__setitem__(1, 500), "offsets that are not those"),
        (lambda found: model_of(found)["cats"]["enc"][2]["values"].pop(), "not the numbers of its categories"),
        (lambda found: model_of(found)["cats"]["sorted_idx"].__setitem__(0, 99), "sorted_idx has 99"),
        (lambda found: model_of(found)["cats"]["enc"].pop(), "cats are of 3 features"),
    ],
)
def test_a_contradiction_in_categories_is_a_fault(change: Change, reason: str) -> None:
    found = document(of_categories())
    change(found)
    with pytest.raises(Fault, match=reason):
        check(json.dumps(found).encode())


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("dart", lambda found: found["learner"]["gradient_booster"]["weight_drop"].pop(), "weight_drop has 3 values, not 4"),
        ("dart", lambda found: found["learner"]["gradient_booster"].pop("weight_drop"), "no weight_drop"),
        ("dart", lambda found: found["learner"]["gradient_booster"]["weight_drop"].__setitem__(0, math.nan), "not finite"),
        ("classes", lambda found: found["learner"]["objective"]["softmax_multiclass_param"].update(num_class="0"), "num_class is 0"),
        ("classes", lambda found: found["learner"]["objective"]["softmax_multiclass_param"].update(num_class="2"), "number of classes"),
        ("vectors", in_tree("leaf_weights", [0.5]), "leaf_weights has 1 values"),
        ("vectors", lambda found: model_of(found)["trees"][1].pop("leaf_weights"), "save it by the installed version"),
        ("vectors", in_tree("right_children", 10_000, -1), "not each of its leaf_weights once"),
        ("vectors", lambda found: model_of(found)["trees"][1]["base_weights"].pop(), "base_weights has"),
    ],
)
def test_a_contradiction_in_other_boosters_is_a_fault(name: str, change: Change, reason: str) -> None:
    found = document(MODELS[name]())
    change(found)
    with pytest.raises(Fault, match=reason):
        check(json.dumps(found).encode())


def test_vector_leaves_of_another_version_are_a_fault() -> None:
    """The library before 3.2 would take other numbers, and a newer one would read a missing field."""
    data = bytes(MODELS["vectors"]().save_raw("ubj"))
    with pytest.raises(Fault, match="save it by the installed version"):
        xgboost.check(data, lambda: (3, 1))


@pytest.mark.parametrize("case", ["m00094.ubj", "m00316.json", "reg_split50_inner.json"])
def test_files_that_once_crashed_or_hung_a_server_are_faults(case: str) -> None:
    path = Path(__file__).parent / "damaged" / case
    with pytest.raises(Fault):
        check(path.read_bytes())
