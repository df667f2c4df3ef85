"""Checks of one tree of a LightGBM model (Tree::Tree in src/io/tree.cpp, Tree::Decision in include/LightGBM/tree.h).

A child is the number of a node, or the complement of the number of a leaf. A prediction follows the children, reads a
row at `split_feature`, and for a split by categories reads a bit field at `cat_boundaries[threshold]`. The library
compares none of them with the number of nodes, leaves or features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from functions.runtime.runtimes.structure.fault import Fault
from functions.runtime.runtimes.structure.values import fields, finite, integer, integers, numbers

_KEYS = frozenset(
    {
        "cat_boundaries",
        "cat_threshold",
        "decision_type",
        "internal_count",
        "internal_value",
        "internal_weight",
        "is_linear",
        "leaf_coeff",
        "leaf_const",
        "leaf_count",
        "leaf_features",
        "leaf_value",
        "leaf_weight",
        "left_child",
        "num_cat",
        "num_features",
        "num_leaves",
        "right_child",
        "shrinkage",
        "split_feature",
        "split_gain",
        "threshold",
    }
)
# Bits of decision_type: by categories (1), missing to the left (2), and which values are missing: none, zero or NaN (0,
# 4, 8).
_BY_CATEGORIES = 1
_LAST_DECISION = 11
# Fields with one value a leaf or a node, which no prediction reads by an index in the file.
_OF_LEAVES = ("leaf_weight", "leaf_count")
_OF_NODES = ("split_gain", "internal_value", "internal_weight", "internal_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The values of the header that each tree must match.

    `categorical` says whether each feature is categorical, None where the file does not know; `strict` says whether all
    fields of the file's version are known.
    """

    width: int
    categorical: Sequence[bool | None]
    strict: bool


def check(text: str, number: int, expected: Expected) -> None:
    """Check one tree; `text` begins after the line with its number. Raises Fault."""
    what = f"the tree {number}"
    body, _, rest = text.partition("\n\n")
    if rest.strip("\n"):
        raise Fault(f"{what} has an empty line in it")
    tree = fields(body, what)
    if expected.strict and not _KEYS.issuperset(tree):
        raise Fault(f"{what} has the unknown field {min(tree.keys() - _KEYS)[:80]!r}")
    leaves = integer(_get(tree, "num_leaves", what), f"{what}'s num_leaves", 1)
    linear = integer(tree.get("is_linear", "0"), f"{what}'s is_linear", 0, 1)
    finite(numbers(_get(tree, "leaf_value", what), f"{what}'s leaf_value", leaves), f"{what}'s leaf_value")
    finite(numbers(tree.get("shrinkage", "1"), f"{what}'s shrinkage", 1), f"{what}'s shrinkage")
    bit_fields = integer(_get(tree, "num_cat", what), f"{what}'s num_cat", 0, leaves)
    if linear:
        _check_linear(tree, leaves, expected.width, what)
    if leaves > 1:
        _check_statistics(tree, leaves, what)
        _check_splits(tree, leaves - 1, bit_fields, expected, what)
        _check_children(tree, leaves, what)
    elif bit_fields:
        raise Fault(f"{what} has categories, but no split")


def _get(tree: Mapping[str, str], name: str, what: str) -> str:
    if name not in tree:
        raise Fault(f"{what} has no {name}")
    return tree[name]


def _check_statistics(tree: Mapping[str, str], leaves: int, what: str) -> None:
    for names, count in ((_OF_LEAVES, leaves), (_OF_NODES, leaves - 1)):
        for name in names:
            if name in tree:
                numbers(tree[name], f"{what}'s {name}", count)


def _check_children(tree: Mapping[str, str], leaves: int, what: str) -> None:
    """Check that each leaf and each node but the root is the child of one node, and that all are below the root."""
    inner = leaves - 1
    left, right = (
        integers(_get(tree, name, what), f"{what}'s {name}", inner, -leaves, inner - 1) for name in ("left_child", "right_child")
    )
    children = left + right
    if sorted(children) != [*range(-leaves, 0), *range(1, inner)]:
        raise Fault(f"{what} has a node or a leaf that is not the child of one node")
    ordered = all(child < 0 or child > node for side in (left, right) for node, child in enumerate(side))
    if not ordered and _below_root(left, right) != inner:
        raise Fault(f"{what}'s nodes have a cycle")


def _below_root(left: Sequence[int], right: Sequence[int]) -> int:
    """The number of nodes below the root, itself included; each is visited once, since it has one parent."""
    count, waiting = 0, [0]
    while waiting:
        node = waiting.pop()
        count += 1
        waiting += [child for child in (left[node], right[node]) if child >= 0]
    return count


def _check_splits(tree: Mapping[str, str], inner: int, bit_fields: int, expected: Expected, what: str) -> None:
    features = integers(_get(tree, "split_feature", what), f"{what}'s split_feature", inner, 0, expected.width - 1)
    thresholds = numbers(_get(tree, "threshold", what), f"{what}'s threshold", inner)
    decisions = integers(tree.get("decision_type", " ".join(["0"] * inner)), f"{what}'s decision_type", inner, 0, _LAST_DECISION)
    used = []
    for feature, threshold, decision in zip(features, thresholds, decisions, strict=True):
        by_categories = bool(decision & _BY_CATEGORIES)
        if math.isnan(threshold):
            raise Fault(f"{what} splits at NaN")
        if expected.categorical[feature] not in (None, by_categories):
            kind = "categories" if by_categories else "a number"
            raise Fault(f"{what} splits by {kind} on the feature {feature}, which is of the other kind")
        if by_categories:
            used.append(threshold)
    if sorted(used) != list(range(bit_fields)):
        raise Fault(f"{what} splits by categories that are not in the file")
    if bit_fields:
        _check_categories(tree, bit_fields, what)


def _check_categories(tree: Mapping[str, str], bit_fields: int, what: str) -> None:
    boundaries = integers(_get(tree, "cat_boundaries", what), f"{what}'s cat_boundaries", bit_fields + 1, 0)
    if boundaries[0] != 0 or any(end <= start for start, end in pairwise(boundaries)):
        raise Fault(f"{what}'s cat_boundaries do not ascend from 0")
    integers(_get(tree, "cat_threshold", what), f"{what}'s cat_threshold", boundaries[-1], 0, 2**32 - 1)


def _check_linear(tree: Mapping[str, str], leaves: int, width: int, what: str) -> None:
    if "leaf_const" in tree:
        finite(numbers(tree["leaf_const"], f"{what}'s leaf_const", leaves), f"{what}'s leaf_const")
    total = sum(integers(tree.get("num_features", " ".join(["0"] * leaves)), f"{what}'s num_features", leaves, 0, width))
    integers(tree.get("leaf_features", ""), f"{what}'s leaf_features", total, 0, width - 1)
    finite(numbers(tree.get("leaf_coeff", ""), f"{what}'s leaf_coeff", total), f"{what}'s leaf_coeff")
