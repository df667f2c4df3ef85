"""Evaluation of predictions against outcomes: of probabilities, and of numbers."""

from __future__ import annotations

from collections.abc import Sequence
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
    return Evaluation(
        rows=sum(item.rows for item in bins),
        log_loss=log_loss(outcomes, scores),
        auc=auc(outcomes, scores),
        calibration_error=calibration_error(bins),
        bins=bins,
    )


def log_loss(outcomes: ArrayLike, scores: ArrayLike) -> float:
    """Return the mean negative log-likelihood in nats.

    Raises ValueError when there are no rows or the lengths differ.
    """
    return float(np.mean(log_losses(outcomes, scores)))


def log_losses(outcomes: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Return the negative log-likelihood of each row in nats. Raises ValueError as `log_loss` does."""
    true, probability = _pair(outcomes, scores)
    probability = np.clip(probability, _CLIP, 1 - _CLIP)
    losses: NDArray[np.float64] = -np.where(true, np.log(probability), np.log1p(-probability))
    return losses


def brier_score(outcomes: ArrayLike, scores: ArrayLike) -> float:
    """Return the mean squared difference of probability and outcome (Brier, 1950).

    Raises ValueError when there are no rows or the lengths differ.
    """
    return float(np.mean(squared_errors(outcomes, scores)))


def squared_errors(outcomes: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Return the squared difference of probability and outcome of each row. Raises ValueError as `brier_score` does."""
    true, probability = _pair(outcomes, scores)
    errors: NDArray[np.float64] = np.square(probability - true)
    return errors


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
    place = bins_of(score, bins)
    members = [place == index for index in range(int(place.max()) + 1)]
    return tuple(Bin(rows=int(m.sum()), predicted=float(score[m].mean()), observed=float(true[m].mean())) for m in members)


def bins_of(scores: ArrayLike, bins: int = 10) -> NDArray[np.intp]:
    """Return the number of the bin of each score, from 0: bins of equal count, in which equal scores stay together."""
    score = np.asarray(scores, dtype=np.float64)
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1]))
    place: NDArray[np.intp] = np.unique(np.searchsorted(edges, score, side="right"), return_inverse=True)[1]
    return place


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error: the mean of |predicted - observed| over the bins, weighted by rows."""
    return sum(item.rows * abs(item.predicted - item.observed) for item in bins) / sum(item.rows for item in bins)


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
