from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.compare.soak import slope


@given(st.integers(-1000, 1000), st.integers(0, 10**9), st.integers(4, 50))
def test_slope_is_the_growth_in_bytes_per_request(growth: int, start: int, samples: int) -> None:
    assert slope([(1000 * number, start + 1000 * number * growth) for number in range(samples)]) == pytest.approx(growth, abs=1e-6)


def test_growth_in_the_first_half_is_ignored() -> None:
    assert slope([(0, 10), (100, 5_000), (200, 9_000), (300, 9_000), (400, 9_000)]) == 0


@pytest.mark.parametrize("samples", [[], [(0, 5)], [(10, 5), (10, 9)]])
def test_too_few_samples_have_no_slope(samples: list[tuple[int, int]]) -> None:
    assert slope(samples) == 0
