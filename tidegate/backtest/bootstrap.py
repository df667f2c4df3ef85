"""The paired bootstrap in bounded time and memory. Pure functions.

An ordinary bootstrap draws as many rows as there are, which takes minutes for a million rows and a thousand resamples.
Here rows are divided at random into at most `MAX_BLOCKS` blocks, and blocks are drawn (random groups: K. Wolter,
Introduction to Variance Estimation, 2nd ed. 2007, chapter 2; resampling of a weighted subset: A. Kleiner et al., A
Scalable Bootstrap for Massive Data, JRSS B 76, 2014). Every statistic is a function of sums over blocks, so a resample
is a row of a matrix product, and its cost does not depend on the number of rows. With fewer rows than blocks, each row
is a block, and it is the ordinary bootstrap. Both revisions are evaluated on the same draws: their difference varies
far less than either.

Rows that stand or fall together, such as all flights of a stormy day, are not independent. Named as clusters, they
share a block (cluster bootstrap: A. Cameron, J. Gelbach, D. Miller, Review of Economics and Statistics 90, 2008).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# The standard error is estimated with a relative error of about 1/sqrt(2 * blocks), 2% here.
MAX_BLOCKS = 1_000
# Percentile intervals of fewer blocks cover too little.
MIN_BLOCKS = 20
RESAMPLES = 1_000
_SEED = 20131231
_TAILS = (0.025, 0.975)

Floats = NDArray[np.float64]
Blocks = NDArray[np.int32]


class Estimate(NamedTuple):
    """A value with its 95% confidence interval; the bounds are None where there are too few blocks for one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def sign(self) -> int:
        """The sign of a difference whose interval excludes 0; otherwise 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def blocks_of(rows: int) -> Blocks:
    """Divide rows at random into blocks of equal size; returns the block of each row."""
    order = np.random.default_rng(_SEED).permutation(rows)
    blocks: Blocks = (order % min(rows, MAX_BLOCKS)).astype(np.int32)
    return blocks


def compacted(blocks: Blocks) -> Blocks:
    """Renumber blocks from 0 without gaps."""
    found: Blocks = np.unique(blocks, return_inverse=True)[1].astype(np.int32)
    return found


class Resampler:
    """Sums over blocks and over resamples of blocks. `blocks` are numbered from 0 without gaps."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self.count = int(blocks.max()) + 1

    @property
    def is_reliable(self) -> bool:
        """Whether there are enough blocks for an interval."""
        return self.count >= MIN_BLOCKS

    def sums(self, values: Floats | None = None) -> Floats:
        """Return the sum of the values, or the number of rows, in each resample."""
        by_block = np.bincount(self.blocks, values, minlength=self.count).astype(np.float64)
        found: Floats = _draws(self.count).astype(np.float64) @ by_block
        return found

    def sums_by_bin(self, bins: NDArray[np.intp], count: int, values: Floats | None = None) -> Floats:
        """Return the sums by resample and bin, of shape (RESAMPLES, count)."""
        place = self.blocks.astype(np.int64) * count + bins
        by_block = np.bincount(place, values, minlength=self.count * count).reshape(self.count, count)
        # In single precision, which holds counts up to 16 million, the product takes half of the time.
        found: Floats = (_draws(self.count) @ by_block.astype(np.float32)).astype(np.float64)
        return found


def percentile(value: float, resampled: Floats) -> Estimate:
    """Return the percentile interval (B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13)."""
    low, high = np.quantile(resampled, _TAILS)
    return Estimate(value, float(low), float(high))


def basic(value: float, resampled: Floats) -> Estimate:
    """Return the basic interval, for statistics that resampling biases, as it enlarges a mean of absolute values."""
    low, high = np.quantile(resampled, _TAILS)
    return Estimate(value, float(2 * value - high), float(2 * value - low))


@lru_cache(4)
def _draws(count: int) -> NDArray[np.float32]:
    """Return how often each of `count` blocks is in each resample, of shape (RESAMPLES, count)."""
    drawn = np.random.default_rng(_SEED).integers(0, count, (RESAMPLES, count))
    place = (drawn + np.arange(RESAMPLES)[:, None] * count).ravel()
    return np.bincount(place, minlength=RESAMPLES * count).reshape(RESAMPLES, count).astype(np.float32)
