"""Evaluation of predictions against outcomes: of probabilities, and of numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A wrong score of exactly 0 or 1 would make the mean infinite.
_CLIP = 1e-15


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Rows of similar score: their number, their mean score, and the share of them with a true outcome."""

    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The quality of probabilities.

    `calibration_error` is the mean of |predicted - observed| over the bins, weighted by rows (expected calibration
    error).
    """

    rows: int
    log_loss: float
    auc: float
    calibration_error: float
    bins: tuple[Bin, ...]

    def to_card(self) -> dict[str, Any]:
        """Return the evaluation as a card has it, in numbers of 5 decimals."""
        found: dict[str, Any] = _rounded(asdict(self))
        return found


def evaluate(outcomes: ArrayLike, scores: ArrayLike) -> Evaluation:
    """Evaluate the probabilities of outcomes. Raises ValueError when there are no rows or the lengths differ."""
    bins = calibration(outcomes, scores)
    rows = sum(item.rows for item in bins)
    error = sum(item.rows * abs(item.predicted - item.observed) for item in bins) / rows
    return Evaluation(rows=rows, log_loss=log_loss(outcomes, scores), auc=auc(outcomes, scores), calibration_error=error, bins=bins)


def log_loss(outcomes: ArrayLike, scores: ArrayLike) -> float:
    """Return the mean negative log-likelihood in nats.

    Raises ValueError when there are no rows or the lengths differ.
    """
    true, probability = _pair(outcomes, scores)
    probability = np.clip(probability, _CLIP, 1 - _CLIP)
    return float(-np.mean(np.where(true, np.log(probability), np.log1p(-probability))))


def auc(outcomes: ArrayLike, scores: ArrayLike) -> float:
    """Return the probability that a true row scores above a false one (Mann-Whitney U, in integers).

    A tie counts one half. NaN when all outcomes are equal. Raises ValueError when there are no rows or the lengths
    differ.
    """
    true, score = _pair(outcomes, scores)
    values, place = np.unique(score, return_inverse=True)
    positive = np.bincount(place[true], minlength=len(values))
    negative = np.bincount(place[~true], minlength=len(values))
    pairs = int(positive.sum()) * int(negative.sum())
    # Twice the wins, so that half a win is an integer.
    twice = int(np.sum(positive * (2 * (np.cumsum(negative) - negative) + negative)))
    return twice / (2 * pairs) if pairs else float("nan")


def calibration(outcomes: ArrayLike, scores: ArrayLike, bins: int = 10) -> tuple[Bin, ...]:
    """Return bins of equal count, lowest scores first.

    Rows of equal score share a bin, so that there are fewer bins when many scores are equal.
    """
    true, score = _pair(outcomes, scores)
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, score, side="right")
    members = [place == index for index in range(len(edges) + 1)]
    return tuple(Bin(rows=int(m.sum()), predicted=float(score[m].mean()), observed=float(true[m].mean())) for m in members if m.any())


def mean_absolute_error(outcomes: ArrayLike, predictions: ArrayLike) -> float:
    """Return the mean of |prediction - outcome|, in 3 decimals; one prediction may stand for all rows."""
    return round(float(np.mean(np.abs(np.subtract(predictions, outcomes)))), 3)


def _pair(outcomes: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    true, score = np.asarray(outcomes, dtype=np.bool_), np.asarray(scores, dtype=np.float64)
    if true.shape != score.shape or true.ndim != 1 or not true.size:
        raise ValueError(f"outcomes and scores must be two non-empty lists of one length; their shapes are {true.shape} and {score.shape}.")
    return true, score


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return round(value, 5) if isinstance(value, float) else value
