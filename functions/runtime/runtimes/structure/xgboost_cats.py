"""Checks of the stored categories of XGBoost 3.1 and newer (CatContainer::Load in src/data/cat_container.cc)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from functions.runtime.runtimes.structure.fault import Fault, get, integer, integers, known_keys, mapping, sequence, within

_KEYS = frozenset({"enc", "feature_segments", "sorted_idx"})
# The library's numbers of value types: Value::ValueKind in include/xgboost/json.h.
_FIRST_TYPE, _LAST_TYPE = 7, 16


def check(value: Any, width: int) -> Sequence[int | None] | None:
    """Check the categories.

    Returns their number for each feature, None for a feature without any; None if the file has none. Raises Fault.
    """
    cats = mapping(value, "its cats")
    known_keys(cats, _KEYS, "its cats")
    columns = sequence(get(cats, "enc", "its cats"), "its cats' enc")
    segments = integers(get(cats, "feature_segments", "its cats"), "its cats' feature_segments")
    order = integers(get(cats, "sorted_idx", "its cats"), "its cats' sorted_idx")
    if not columns:
        if order or any(segments):
            raise Fault("its cats have an order, but no categories")
        return None
    if len(columns) != width:
        raise Fault(f"its cats are of {len(columns)} features, the model has {width}")
    counts = [_count(mapping(column, "its cats' enc"), f"its categories of the feature {index}") for index, column in enumerate(columns)]
    if len(segments) != width + 1 or segments[0] != 0 or [end - start for start, end in pairwise(segments)] != counts:
        raise Fault("its cats' feature_segments are not the numbers of its categories")
    _check_order(order, segments)
    return [count or None for count in counts]


def _count(column: dict[str, Any], what: str) -> int:
    values = sequence(get(column, "values", what), what)
    if "offsets" not in column:
        integer(get(column, "type", what), f"{what}: type", _FIRST_TYPE, _LAST_TYPE)
        return len(values)
    offsets = integers(column["offsets"], f"{what}: offsets")
    integers(values, what)
    if not offsets:
        if values:
            raise Fault(f"{what} have no offsets")
        return 0
    if offsets[0] != 0 or offsets[-1] != len(values) or any(end < start for start, end in pairwise(offsets)):
        raise Fault(f"{what} have offsets that are not those of their strings")
    return len(offsets) - 1


def _check_order(order: Sequence[int], segments: Sequence[int]) -> None:
    """Check that the order of each feature is a permutation of its categories."""
    if len(order) not in (0, segments[-1]):
        raise Fault("its cats have a sorted_idx whose length is not the number of categories")
    if order:
        for start, end in pairwise(segments):
            within(order[start:end], 0, end - start - 1, "its cats' sorted_idx")
            if len(set(order[start:end])) != end - start:
                raise Fault("its cats' sorted_idx has a category twice")
