from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.backtest.bootstrap import MAX_BLOCKS, RESAMPLES, Estimate, Resampler, basic, blocks_of, compacted, percentile


@given(st.integers(1, 5_000))
def test_blocks_have_equal_size(rows: int) -> None:
    sizes = np.bincount(blocks_of(rows))
    assert sizes.sum() == rows
    assert len(sizes) == min(rows, MAX_BLOCKS)
    assert sizes.max() - sizes.min() <= 1


def test_resample_draws_as_many_blocks_as_there_are() -> None:
    resampler = Resampler(blocks_of(500))
    assert resampler.sums().tolist() == [500.0] * RESAMPLES


def test_sums_by_bin_add_up_to_the_sums() -> None:
    random = np.random.default_rng(1)
    values, bins = random.normal(size=3_000), random.integers(0, 7, 3_000)
    resampler = Resampler(blocks_of(3_000))
    assert np.allclose(resampler.sums_by_bin(bins, 7, values).sum(axis=1), resampler.sums(values), atol=1e-3)


@pytest.mark.parametrize("rows", [400, 20_000])
def test_standard_error_of_a_mean_is_the_textbook_s(rows: int) -> None:
    values = np.random.default_rng(2).exponential(size=rows)
    resampler = Resampler(blocks_of(rows))
    means = resampler.sums(values) / resampler.sums()
    assert means.std() == pytest.approx(values.std() / np.sqrt(rows), rel=0.1)


def test_same_rows_give_the_same_resamples() -> None:
    values = np.arange(2_500, dtype=np.float64)
    first, second = (Resampler(blocks_of(2_500)).sums(values) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_blocks_are_renumbered_without_gaps() -> None:
    assert compacted(np.array([7, 900, 7, 3], dtype=np.int32)).tolist() == [1, 2, 1, 0]


@pytest.mark.parametrize(
    ("estimate", "sign"),
    [(Estimate(1, 0.1, 2), 1), (Estimate(-1, -2, -0.1), -1), (Estimate(1, -0.1, 2), 0), (Estimate(1), 0)],
    ids=["above", "below", "includes-0", "no-interval"],
)
def test_sign_needs_an_interval_without_0(estimate: Estimate, sign: int) -> None:
    assert estimate.sign == sign


def test_basic_interval_mirrors_the_percentile_interval() -> None:
    drawn = np.linspace(0.0, 1.0, 1_001)
    assert percentile(0.25, drawn) == pytest.approx((0.25, 0.025, 0.975))
    assert basic(0.25, drawn) == pytest.approx((0.25, -0.475, 0.475))
