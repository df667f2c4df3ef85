from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.contract.checks import SLICE, are_ordinary, may_be_infinite

PRECISIONS = (("f", "f"), ("d", "f"), ("d", "d"), ("f", "d"))
EDGES = (1e38, 3.4e38, 3.4028234663852886e38, -0.0, 0.0, 1e-45, -1e-40, 2.0**100, 1.0, math.nan, math.inf, -math.inf)
DOUBLE_EDGES = (*EDGES, 3.4028235677973366e38, -3.5e38, 1e39, 1.7976931348623157e308, 5e-324, -2.2250738585072014e-308)


@given(st.sampled_from(PRECISIONS), st.integers(1, 70_000), st.data())
def test_ordinary_values_are_finite_in_the_target_precision(precision: tuple[str, str], count: int, data: st.DataObject) -> None:
    sent, taken = precision
    values = array(sent, [0.5]) * count
    edges = st.sampled_from(EDGES if sent == "f" else DOUBLE_EDGES) | st.floats(width=32 if sent == "f" else 64)
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, count - 1), edges), max_size=3)):
        values[place] = value
    if are_ordinary(values, taken):
        assert all(map(math.isfinite, values))
        assert all(map(math.isfinite, array(taken, values)))


@pytest.mark.parametrize(("sent", "taken"), PRECISIONS)
@pytest.mark.parametrize("count", [1, 9, SLICE, SLICE + 1, 70_000])
def test_a_value_that_is_not_ordinary_is_found_at_any_place(sent: str, taken: str, count: int) -> None:
    usual = array(sent, [0.0, -0.0, 1.5, -1e30, 1e30, 1e-40, -1e-45, 0.1] * (count // 8 + 1))[:count]
    assert are_ordinary(usual, taken)
    too_large = [1e39, -1.7e308] if (sent, taken) == ("d", "f") else []
    for value in (math.nan, math.inf, -math.inf, *too_large):
        for place in {0, count // 2, min(count, SLICE) - 1, count - 1}:
            assert not are_ordinary(usual[:place] + array(sent, [value]) + usual[place + 1 :], taken)


@given(st.sampled_from("fd"), st.data())
def test_no_infinity_is_overlooked(typecode: str, data: st.DataObject) -> None:
    found = array(typecode, data.draw(st.lists(st.floats(width=32 if typecode == "f" else 64) | st.sampled_from((math.inf, -math.inf)))))
    if any(map(math.isinf, found)):
        assert may_be_infinite(found)


@given(st.sampled_from("fd"), st.data())
def test_missing_values_and_the_largest_numbers_are_no_infinity(typecode: str, data: st.DataObject) -> None:
    numbers = st.floats(width=32 if typecode == "f" else 64, allow_infinity=False, allow_nan=False) | st.sampled_from(EDGES[:9])
    assert not may_be_infinite(array(typecode, data.draw(st.lists(numbers | st.just(math.nan)))))
