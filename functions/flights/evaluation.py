"""How good a classifier's probabilities are, against what really happened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A score of exactly 0 or 1 that is wrong would make the mean infinite.
_CLIP = 1e-15


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of similar score: their mean score, and the share of them that came true."""

    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`calibration_error` is the mean of |predicted - observed| over the bins, weighted by rows (expected calibration error)."""

    rows: int
    log_loss: float
    auc: float
    calibration_error: float
    bins: tuple[Bin, ...]


def evaluate(outcomes: ArrayLike, scores: ArrayLike) -> Evaluation:
    bins = calibration(outcomes, scores)
    rows = sum(item.rows for item in bins)
    error = sum(item.rows * abs(item.predicted - item.observed) for item in bins) / rows
    return Evaluation(rows, log_loss(outcomes, scores), auc(outcomes, scores), error, bins)


def log_loss(outcomes: ArrayLike, scores: ArrayLike) -> float:
    """Mean negative log-likelihood in nats. Raises ValueError when there are no rows or the lengths differ."""
    late, probability = _pair(outcomes, scores)
    probability = np.clip(probability, _CLIP, 1 - _CLIP)
    return float(-np.mean(np.where(late, np.log(probability), np.log1p(-probability))))


def auc(outcomes: ArrayLike, scores: ArrayLike) -> float:
    """The chance that a row that came true scores above one that did not; a tie counts one half (Mann-Whitney U, in whole numbers).

    NaN when all outcomes are the same: there is no pair to compare.
    """
    late, score = _pair(outcomes, scores)
    values, place = np.unique(score, return_inverse=True)
    true = np.bincount(place[late], minlength=len(values))
    false = np.bincount(place[~late], minlength=len(values))
    pairs = int(true.sum()) * int(false.sum())
    # Twice the wins, so that half a win is whole.
    twice = int(np.sum(true * (2 * (np.cumsum(false) - false) + false)))
    return twice / (2 * pairs) if pairs else float("nan")


def calibration(outcomes: ArrayLike, scores: ArrayLike, bins: int = 10) -> tuple[Bin, ...]:
    """Bins of equal count, lowest scores first. Rows of one score share a bin, so that there are fewer bins when many scores are equal."""
    late, score = _pair(outcomes, scores)
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, score, side="right")
    members = [place == index for index in range(len(edges) + 1)]
    return tuple(Bin(int(m.sum()), float(score[m].mean()), float(late[m].mean())) for m in members if m.any())


def _pair(outcomes: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    late, score = np.asarray(outcomes, dtype=np.bool_), np.asarray(scores, dtype=np.float64)
    if late.shape != score.shape or late.ndim != 1 or not late.size:
        raise ValueError(
            f"outcomes and scores must be two lists of one length, not empty; their shapes are {late.shape} and {score.shape}."
        )
    return late, score
