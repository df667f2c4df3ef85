"""Checks of one tree of an XGBoost model (RegTree::LoadModel and MultiTargetTree::LoadModel in src/tree of XGBoost).

A prediction goes to `left + 1` where a value falls to the right, and to either child by its index where it is missing;
it stops at the first node whose left child is -1. The library compares nothing with the number of nodes, features or
categories.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from functions.runtime.runtimes.structure.fault import (
    Fault,
    check_length,
    finite,
    floats,
    get,
    integer,
    integers,
    known_keys,
    mapping,
    sequence,
    within,
)

NO_NODE = -1
# The parent of a root (without the highest bit), and the split index of a pruned node.
_MASKED = 2**31 - 1
# Categories of one split: XGBoost stores them in a bit field, and a float holds integers up to this.
_MOST_CATEGORIES = 2**24
_KEYS = frozenset(
    {
        "base_weights",
        "categories",
        "categories_nodes",
        "categories_segments",
        "categories_sizes",
        "default_left",
        "id",
        "leaf_child_counts",
        "leaf_weights",
        "left_children",
        "loss_changes",
        "parents",
        "right_children",
        "split_conditions",
        "split_indices",
        "split_type",
        "sum_hessian",
        "tree_param",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The values of the rest of the model that each tree must match.

    `categorical` says whether each feature is categorical, and `categories` has the number of its categories, where the
    file knows them. `strict` says whether all fields of the file's version are known; `leaf_weights` says whether the
    installed XGBoost reads vector leaves from `leaf_weights` (3.2 and newer) or from `base_weights`.
    """

    width: int
    groups: int
    categorical: Sequence[bool] | None
    categories: Sequence[int | None] | None
    strict: bool
    leaf_weights: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class _Nodes:
    left: Sequence[int]
    right: Sequence[int]
    parents: Sequence[int]
    split_indices: Sequence[int]
    inner: Sequence[int]


def check(tree: Any, number: int, expected: Expected) -> bool:
    """Check one tree. Returns whether its leaves are vectors. Raises Fault."""
    what = f"the tree {number}"
    document = mapping(tree, what)
    if expected.strict:
        known_keys(document, _KEYS, what)
    parameters = mapping(get(document, "tree_param", what), f"{what}'s tree_param")
    size = integer(get(parameters, "num_nodes", what), f"{what}'s num_nodes", 1)
    width = integer(get(parameters, "num_feature", what), f"{what}'s num_feature")
    if width not in (0, expected.width):
        raise Fault(f"{what} has {width} features, the model {expected.width}")
    if integer(get(document, "id", what), f"{what}'s id") != number:
        raise Fault(f"{what} has another id")
    vector = integer(parameters.get("size_leaf_vector", 1), f"{what}'s size_leaf_vector")
    nodes = _nodes(document, size, what)
    conditions = floats(get(document, "split_conditions", what), f"{what}'s split_conditions", size)
    _check_flags(get(document, "default_left", what), f"{what}'s default_left", size)
    finite(floats(get(document, "sum_hessian", what), f"{what}'s sum_hessian", size), f"{what}'s sum_hessian")
    floats(get(document, "loss_changes", what), f"{what}'s loss_changes", size)
    deleted = integer(parameters.get("num_deleted", 0), f"{what}'s num_deleted", 0, size)
    categorical = _categorical_nodes(document, nodes, expected, size, what)
    _check_topology(nodes, size, deleted, what)
    _check_splits(nodes, conditions, categorical, expected, what)
    if vector > 1:
        _check_vectors(document, nodes, vector, expected, what)
        return True
    _check_leaves(document, nodes, conditions, what)
    return False


def _nodes(document: dict[str, Any], size: int, what: str) -> _Nodes:
    names = ("left_children", "right_children", "parents", "split_indices")
    left, right, parents, split_indices = (integers(get(document, name, what), f"{what}'s {name}", size) for name in names)
    return _Nodes(left, right, parents, split_indices, [node for node, child in enumerate(left) if child != NO_NODE])


def _check_flags(value: Any, what: str, size: int) -> None:
    """Check flags, which XGBoost before 1.6 wrote as true and false."""
    found = sequence(value, what)
    check_length(found, what, size)
    if not {0, 1}.issuperset(found):
        raise Fault(f"{what} has values other than 0 and 1")


def _check_topology(nodes: _Nodes, size: int, deleted: int, what: str) -> None:
    """Check that each node but the root and the pruned ones has one parent, and that all are below the root."""
    left, right, parents = nodes.left, nodes.right, nodes.parents
    if parents[0] not in (_MASKED, NO_NODE):
        raise Fault(f"{what}'s root has a parent")
    within(parents[1:], 0, size - 1, f"{what}'s parents")
    ordered = True
    for node in nodes.inner:
        child = left[node]
        if not 0 < child < size - 1:
            raise Fault(f"{what} has the child {child} of its {size} nodes")
        if right[node] != child + 1:
            raise Fault(f"{what} has the children {child} and {right[node]}, which are not side by side")
        if parents[child] != node or parents[child + 1] != node:
            raise Fault(f"{what}'s node {node} has children with another parent")
        ordered &= child > node
    if 2 * len(nodes.inner) + 1 + deleted != size:
        raise Fault(f"{what} has nodes outside the tree")
    if not ordered and _below_root(nodes) != size - deleted:
        raise Fault(f"{what}'s nodes have a cycle")


def _below_root(nodes: _Nodes) -> int:
    """The number of nodes below the root, itself included; each is visited once, since it has one parent."""
    count, waiting = 0, [0]
    while waiting:
        node = waiting.pop()
        count += 1
        if nodes.left[node] != NO_NODE:
            waiting += (nodes.left[node], nodes.right[node])
    return count


def _check_splits(nodes: _Nodes, conditions: Sequence[float], categorical: set[int], expected: Expected, what: str) -> None:
    width, split_indices = expected.width, nodes.split_indices
    for node in nodes.inner:
        feature = split_indices[node]
        if not 0 <= feature < width:
            raise Fault(f"{what} splits on the feature {feature}; the model has {width}")
        if expected.categorical is not None and expected.categorical[feature] != (node in categorical):
            kind = "categories" if node in categorical else "a number"
            raise Fault(f"{what} splits by {kind} on the feature {feature}, which is of the other kind")
        if node not in categorical and math.isnan(conditions[node]):
            raise Fault(f"{what} splits at NaN")


def _categorical_nodes(document: dict[str, Any], nodes: _Nodes, expected: Expected, size: int, what: str) -> set[int]:
    """Check the categories of splits; returns the nodes that split by them.

    XGBoost copies those of each node from one array (RegTree::LoadCategoricalSplit).
    """
    if "split_type" not in document:
        return set()
    types = integers(document["split_type"], f"{what}'s split_type", size)
    within(types, 0, 1, f"{what}'s split_type")
    listed = integers(get(document, "categories_nodes", what), f"{what}'s categories_nodes")
    count = len(listed)
    segments = integers(get(document, "categories_segments", what), f"{what}'s categories_segments", count)
    sizes = integers(get(document, "categories_sizes", what), f"{what}'s categories_sizes", count)
    categories = integers(get(document, "categories", what), f"{what}'s categories")
    if list(listed) != [node for node, kind in enumerate(types) if kind == 1]:
        raise Fault(f"{what}'s categories_nodes are not those of its split_type")
    start = 0
    for node, segment, length in zip(listed, segments, sizes, strict=True):
        if segment != start or not 0 < length <= len(categories) - start:
            raise Fault(f"{what}'s node {node} has categories that are not in the file")
        start += length
        _check_categories(categories[segment:start], nodes.split_indices[node], expected, f"{what}'s node {node}")
    if start != len(categories):
        raise Fault(f"{what} has categories of no node")
    return set(listed)


def _check_categories(found: Sequence[int], feature: int, expected: Expected, what: str) -> None:
    known = expected.categories[feature] if expected.categories and 0 <= feature < expected.width else None
    within(found, 0, (known or _MOST_CATEGORIES) - 1, f"{what}'s categories")
    if any(second <= first for first, second in pairwise(found)):
        raise Fault(f"{what} has categories out of order")


def _check_leaves(document: dict[str, Any], nodes: _Nodes, conditions: Sequence[float], what: str) -> None:
    floats(get(document, "base_weights", what), f"{what}'s base_weights", len(nodes.left))
    leaves = [node for node, child in enumerate(nodes.left) if child == NO_NODE]
    if any(nodes.right[node] != NO_NODE for node in leaves):
        raise Fault(f"{what} has a leaf with a child")
    finite([conditions[node] for node in leaves], f"{what}'s leaves")


def _check_vectors(document: dict[str, Any], nodes: _Nodes, vector: int, expected: Expected, what: str) -> None:
    """Check vector leaves: from XGBoost 3.2 on the right child of a leaf is its index in `leaf_weights`."""
    if vector != expected.groups:
        raise Fault(f"{what} has leaves of {vector} values, the model has {expected.groups} outputs")
    size = len(nodes.left)
    weights = floats(get(document, "base_weights", what), f"{what}'s base_weights")
    finite(weights, f"{what}'s base_weights")
    leaves = [nodes.right[node] for node, child in enumerate(nodes.left) if child == NO_NODE]
    separate = expected.leaf_weights()
    if ("leaf_weights" in document) != separate:
        raise Fault("its leaves are vectors, which XGBoost 3.2 and older versions store differently; save it by the installed version")
    if not separate:
        check_length(weights, f"{what}'s base_weights", size * vector)
        return
    if not weights or len(weights) % size or len(weights) > size * vector:
        raise Fault(f"{what}'s base_weights has {len(weights)} values for {size} nodes")
    finite(floats(document["leaf_weights"], f"{what}'s leaf_weights", len(leaves) * vector), f"{what}'s leaf_weights")
    if sorted(leaves) != list(range(len(leaves))):
        raise Fault(f"{what}'s leaves are not each of its leaf_weights once")
