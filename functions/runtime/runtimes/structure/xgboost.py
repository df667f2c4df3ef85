"""Checks of an XGBoost model in JSON or UBJSON (https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from functions.runtime.runtimes.structure import text, ubjson, xgboost_cats, xgboost_tree
from functions.runtime.runtimes.structure.fault import (
    Fault,
    finite,
    floats,
    get,
    integer,
    integers,
    known_keys,
    mapping,
    sequence,
    string,
    unique,
)
from functions.runtime.runtimes.structure.xgboost_tree import Expected

# The newest version whose fields are all known.
_NEWEST = (3, 4)
# From this version on, vector leaves have a separate array.
_LEAF_WEIGHTS = (3, 2)
# Before this version a categorical feature could be split as a number.
_CATEGORIES = (2, 0)
_FEATURE_TYPES = frozenset({"q", "c", "i", "int", "float", "categorical", "quantitive", "indicator"})
_MOST_FEATURES = 2**24
_MOST_OUTPUTS = 2**20
_TOP = frozenset({"learner", "version"})
_LEARNER = frozenset({"attributes", "feature_names", "feature_types", "gradient_booster", "learner_model_param", "objective"})
_PARAMETERS = frozenset({"base_score", "boost_from_average", "num_class", "num_feature", "num_target"})
_MODEL = frozenset({"cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees", "weight_drop"})
_DART = frozenset({"gbtree", "name", "weight_drop"})
_NUMBER = re.compile(r"-?\d+(\.\d*)?([eE][-+]?\d+)?")


def check(data: bytes, library: Callable[[], tuple[int, int]]) -> None:
    """Check a file. Raises Fault when it contradicts itself. `library` returns the version of the installed XGBoost."""
    document = mapping(text.parse(data) if is_json(data) else ubjson.parse(data), "it")
    learner = mapping(get(document, "learner", "it"), "its learner")
    version = _version(document)
    strict = version <= _NEWEST
    if strict:
        known_keys(document, _TOP, "it")
    booster = mapping(get(learner, "gradient_booster", "its learner"), "its gradient_booster")
    if get(booster, "name", "its gradient_booster") == "gblinear":
        return  # it has no indices, and is refused by the load
    _Learner(learner, booster, version=version, strict=strict, library=library).check()


def is_json(data: bytes) -> bool:
    """Whether a model file is JSON; otherwise it is UBJSON."""
    return data[1:64].lstrip()[:1] == b'"'


def _version(document: dict[str, Any]) -> tuple[int, int]:
    """The version of the XGBoost that wrote the file; 0.0 for files from before 1.0, which have none."""
    found = integers(document.get("version", [0, 0, 0]), "its version", 3)
    return found[0], found[1]


class _Learner:
    def __init__(
        self,
        learner: dict[str, Any],
        booster: dict[str, Any],
        *,
        version: tuple[int, int],
        strict: bool,
        library: Callable[[], tuple[int, int]],
    ) -> None:
        self._learner = learner
        self._booster = booster
        self._version = version
        self._strict = strict
        self._library = library
        parameters = mapping(get(learner, "learner_model_param", "its learner"), "its learner_model_param")
        if strict:
            known_keys(learner, _LEARNER, "its learner")
            known_keys(parameters, _PARAMETERS, "its learner_model_param")
        self._width = integer(get(parameters, "num_feature", "its learner"), "its num_feature", 0, _MOST_FEATURES)
        self._classes = integer(get(parameters, "num_class", "its learner"), "its num_class", 0, _MOST_OUTPUTS)
        targets = integer(parameters.get("num_target", 1), "its num_target", 1, _MOST_OUTPUTS)
        if self._classes > 1 and targets > 1:
            raise Fault(f"it has {self._classes} classes and {targets} targets")
        self._groups = max(1, self._classes, targets)
        _check_base_score(get(parameters, "base_score", "its learner"), self._groups)

    def check(self) -> None:
        self._check_objective()
        self._check_attributes()
        types = self._feature_types()
        model = self._model()
        if self._strict:
            known_keys(model, _MODEL, "its model")
        categories = xgboost_cats.check(model["cats"], self._width) if "cats" in model else None
        expected = Expected(
            width=self._width,
            groups=self._groups,
            categorical=types if self._version >= _CATEGORIES else None,
            categories=categories,
            strict=self._strict,
            leaf_weights=lambda: self._library() >= _LEAF_WEIGHTS,
        )
        trees = sequence(get(model, "trees", "its model"), "its trees")
        vectors = [xgboost_tree.check(tree, number, expected) for number, tree in enumerate(trees)]
        self._check_rounds(model, vectors)

    def _model(self) -> dict[str, Any]:
        """The model with the trees.

        DART wraps it with the weights of trees (weight_drop), which the library reads by the number of a tree.
        """
        booster = self._booster
        dart = booster["name"] == "dart"
        if dart:
            if self._strict:
                known_keys(booster, _DART, "its gradient_booster")
            booster = mapping(get(booster, "gbtree", "its gradient_booster"), "its gbtree")
        if get(booster, "name", "its gbtree") not in ("gbtree", "dart"):
            raise Fault("its gradient_booster has an unknown name")
        model = mapping(get(booster, "model", "its gradient_booster"), "its model")
        for weights in (self._booster.get("weight_drop"), model.get("weight_drop")):
            if weights is not None:
                count = len(sequence(get(model, "trees", "its model"), "its trees"))
                finite(floats(weights, "its weight_drop", count), "its weight_drop")
        if dart and "weight_drop" not in self._booster and "weight_drop" not in model:
            raise Fault("its gradient_booster has no weight_drop")
        return model

    def _feature_types(self) -> Sequence[bool] | None:
        """Whether each feature is categorical; None if the file has no types."""
        found: dict[str, Sequence[str]] = {}
        for name in ("feature_names", "feature_types"):
            found[name] = [string(item, f"its {name}") for item in sequence(self._learner.get(name, []), f"its {name}")]
            if found[name] and len(found[name]) != self._width:
                raise Fault(f"its {name} has {len(found[name])} values, the model {self._width} features")
        unique(found["feature_names"], "its feature_names")
        types = found["feature_types"]
        if not _FEATURE_TYPES.issuperset(types):
            raise Fault("its feature_types has an unknown type")
        return [kind in ("c", "categorical") for kind in types] or None

    def _check_objective(self) -> None:
        objective = mapping(get(self._learner, "objective", "its learner"), "its objective")
        name = string(get(objective, "name", "its objective"), "its objective's name")
        softmax = objective.get("softmax_multiclass_param")
        if name.startswith("multi:") or softmax is not None:  # the library divides by it
            parameters = mapping(softmax, "its softmax_multiclass_param")
            if integer(parameters.get("num_class"), "its objective's num_class", 1, _MOST_OUTPUTS) != self._classes:
                raise Fault(f"its objective has another number of classes than the model, {self._classes}")

    def _check_attributes(self) -> None:
        attributes = mapping(get(self._learner, "attributes", "its learner"), "its attributes")
        if "best_iteration" in attributes:
            integer(attributes["best_iteration"], "its best_iteration")

    def _check_rounds(self, model: Mapping[str, Any], vectors: Sequence[bool]) -> None:
        """Check the output that each tree adds to (tree_info), and the trees of each round (iteration_indptr)."""
        parameters = mapping(get(model, "gbtree_model_param", "its model"), "its gbtree_model_param")
        count = len(vectors)
        if integer(get(parameters, "num_trees", "its model"), "its num_trees") != count:
            raise Fault(f"it has {count} trees, its num_trees is another number")
        info = integers(get(model, "tree_info", "its model"), "its tree_info", count)
        within_groups = all(0 <= group < self._groups for group in info)
        if not within_groups:
            raise Fault(f"its tree_info has an output that is not one of {self._groups}")
        parallel = integer(parameters.get("num_parallel_tree", 1), "its num_parallel_tree", 1, max(1, count))
        if "iteration_indptr" in model:
            ends = integers(model["iteration_indptr"], "its iteration_indptr")
        else:
            ends = range(0, count + 1, parallel * (max(info, default=0) + 1))
        if not ends or ends[0] != 0 or ends[-1] != count or any(end <= start for start, end in pairwise(ends)):
            raise Fault("its iteration_indptr does not divide its trees into rounds")
        if "num_parallel_tree" not in parameters:
            return  # before XGBoost 1.4: how many trees of an output a round had is not in the file
        groups = [group for group in range(self._groups) for _ in range(parallel)]
        for start, end in pairwise(ends):
            wanted = [0] * parallel if vectors[start] else groups
            if len(set(vectors[start:end])) > 1 or list(info[start:end]) != wanted:
                raise Fault(f"its trees {start} to {end - 1} are not one round: tree_info and iteration_indptr do not fit")


def _check_base_score(value: Any, groups: int) -> None:
    """Check the base score: a string of a number, or from XGBoost 3.1 on of an array of numbers."""
    found = string(value, "its base_score").strip()
    listed = found[1:-1].split(",") if found[:1] + found[-1:] in ("[]", "()") else [found]
    if len(listed) not in (1, groups) or not all(map(_NUMBER.fullmatch, map(str.strip, listed))):
        raise Fault(f"its base_score is {found[:40]!r}")
    finite([float(item) for item in listed], "its base_score")
