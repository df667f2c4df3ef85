"""Checks of a LightGBM model in its text format (GBDT::LoadModelFromString in src/boosting/gbdt_model_text.cpp)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import accumulate, pairwise

import orjson

from functions.runtime.runtimes.structure import lightgbm_tree
from functions.runtime.runtimes.structure.fault import Fault, check_length, unique
from functions.runtime.runtimes.structure.lightgbm_tree import Expected
from functions.runtime.runtimes.structure.values import fields, integer, integers

_HEADER = frozenset(
    {
        "average_output",
        "feature_infos",
        "feature_names",
        "label_index",
        "max_feature_idx",
        "monotone_constraints",
        "num_class",
        "num_tree_per_iteration",
        "objective",
        "tree",
        "tree_sizes",
        "version",
    }
)
# Versions whose fields are all known.
_VERSIONS = frozenset({"v2", "v3", "v4"})
_MOST_FEATURES = 2**24
_MOST_OUTPUTS = 2**20
# Versions that always have a complete section after the trees.
_COMPLETE = frozenset({"v3", "v4"})
_END = "end of trees"
_IMPORTANCES = re.compile(r"^feature[ _]importances:$", re.MULTILINE)
# A training parameter, whose value may have brackets; no prediction reads it, but the Python package does.
_PARAMETER = re.compile(r"\[\w+: (?:(?!\]\s*\[\w+: )[^\x00-\x1f])*\]")


def check(data: bytes) -> None:
    """Check a file whose lines end with line feeds only. Raises Fault when it contradicts itself."""
    text = data.decode("latin-1")  # names may be in any encoding, and sizes count bytes
    if "\0" in text:
        raise Fault("it has a zero byte, at which the library stops reading")
    end = _end(text)
    first = min(_start(text, "Tree="), end)
    header = fields(text[:first], "its header", bare=("tree", "average_output"))
    expected = _expected(header)
    if expected.strict:
        unknown = header.keys() - _HEADER
        if unknown:
            raise Fault(f"its header has the unknown field {min(unknown)[:80]!r}")
    trees = _trees(text, first, end, header)
    for number, tree in enumerate(trees):
        lightgbm_tree.check(tree, number, expected)
    outputs = integer(header.get("num_tree_per_iteration", header["num_class"]), "its num_tree_per_iteration", 1, _MOST_OUTPUTS)
    if len(trees) % outputs:
        raise Fault(f"its {len(trees)} trees are not whole rounds of {outputs}")
    _check_last(text[end:], header.get("version", ""))


def _end(text: str) -> int:
    """The position where the trees end: before LightGBM 2.2 only the importance of features followed."""
    end = _start(text, _END)
    if end == len(text):
        end = text.find("\nfeature importances:\n")
    if end < 0:
        raise Fault(f"it has no line {_END!r}")
    return end


def _start(text: str, line: str) -> int:
    """The position of the first line with this beginning, or the end of the text."""
    found = text.find(f"\n{line}")
    return len(text) if found < 0 else found + 1


def _expected(header: Mapping[str, str]) -> Expected:
    for name in ("num_class", "label_index", "max_feature_idx", "feature_names", "feature_infos"):
        if name not in header:
            raise Fault(f"its header has no {name}")
    width = integer(header["max_feature_idx"], "its max_feature_idx", 0, _MOST_FEATURES) + 1
    integer(header["label_index"], "its label_index", -1)
    names, infos = header["feature_names"].split(" "), header["feature_infos"].split(" ")
    check_length(names, "its feature_names", width)
    check_length(infos, "its feature_infos", width)
    unique(names, "its feature_names")
    if "monotone_constraints" in header:
        integers(header["monotone_constraints"], "its monotone_constraints", width, -1, 1)
    _check_outputs(header)
    # "[least:most]" for a number, "none" for a column of one value, and else the categories.
    categorical = [None if info == "none" else not info.startswith("[") for info in infos]
    return Expected(width=width, categorical=categorical, strict=header.get("version") in _VERSIONS)


def _check_outputs(header: Mapping[str, str]) -> None:
    """Check the number of outputs: a multiclass objective writes one value a class, however many the model has."""
    classes = integer(header["num_class"], "its num_class", 1, _MOST_OUTPUTS)
    if integer(header.get("num_tree_per_iteration", str(classes)), "its num_tree_per_iteration", 1, _MOST_OUTPUTS) != classes:
        raise Fault("its num_tree_per_iteration is not its num_class")
    objective, *parameters = header.get("objective", "").split(" ")
    counts = [item.removeprefix("num_class:") for item in parameters if item.startswith("num_class:")]
    if objective.startswith("multiclass") and [integer(item, "its objective's num_class", 1, _MOST_OUTPUTS) for item in counts] != [
        classes
    ]:
        raise Fault(f"its objective has another number of classes than the model, {classes}")
    if objective and objective != "custom" and not objective.startswith("multiclass") and classes > 1:
        raise Fault(f"its objective {objective[:40]!r} has no classes, the model has {classes}")


def _trees(text: str, first: int, end: int, header: Mapping[str, str]) -> list[str]:
    """The text of each tree; the library finds its beginning by `tree_sizes`."""
    if "tree_sizes" not in header:  # before LightGBM 2.1
        return [part.partition("\n")[2] for part in ("\n" + text[first:end]).split("\nTree=")[1:]]
    sizes = integers(header["tree_sizes"], "its tree_sizes", None, 1, len(text))
    starts = list(accumulate(sizes, initial=first))
    if starts[-1] != end:
        raise Fault("its tree_sizes are not those of its trees")
    trees = []
    for number, (start, following) in enumerate(pairwise(starts)):
        title, _, tree = text[start:following].partition("\n")
        if title != f"Tree={number}" or "\nTree=" in tree:
            raise Fault(f"the tree {number} does not begin where tree_sizes says")
        trees.append(tree)
    return trees


def _check_last(text: str, version: str) -> None:
    """Check the section after the trees: importance of features, parameters, and the categories of a DataFrame."""
    if version in _COMPLETE and not _IMPORTANCES.search(text):
        raise Fault("it ends with its trees")
    _, found, rest = text.partition("\nparameters:\n")
    parameters, end, _ = rest.partition("\nend of parameters")
    if found and version in _COMPLETE and not (end and all(map(_PARAMETER.fullmatch, filter(None, parameters.split("\n"))))):
        raise Fault("its parameters are not one a line, or have no end")
    _, found, rest = text.rpartition("\npandas_categorical:")
    if text.count("\npandas_categorical:") > 1:
        raise Fault("it has pandas_categorical twice")
    if found:
        try:
            categories = orjson.loads(rest.encode("latin-1"))
        except orjson.JSONDecodeError:
            raise Fault("its pandas_categorical is not JSON") from None
        if categories is not None and not (isinstance(categories, list) and all(isinstance(column, list) for column in categories)):
            raise Fault("its pandas_categorical is not a list of lists")
