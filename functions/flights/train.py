"""Train the versions of the flights model: `v1` uses the timetable, `v2` also the weather of the hour and the aircraft.

    python -m functions.flights.train [--out FOLDER]

Split by time: the training months precede the test months. The same data gives the same artifact, to the byte.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from functions.flights.departures import departures
from functions.flights.transform import CATEGORICAL, CATEGORIES, FEATURES, SCHEDULE, transform
from training.command import progress, run_trainer
from training.evaluation import Evaluation, evaluate
from training.importance import shares_of_gain
from training.publishing import publish as write

VERSIONS = {"v1": SCHEDULE, "v2": FEATURES}
BASE_RATE = "base rate"
TRAINING_MONTHS = tuple(range(1, 11))
TEST_MONTHS = (11, 12)
CONTRACT = Path(__file__).with_name("model.yaml")
MODELS = Path(__file__).with_name("models")

# Chosen on January to October alone: trained on the preceding months, tested on the next two, three times.
_TREES = 100
# One thread for each version, both at once: the division of a sum of floating-point numbers among threads changes its
# last bits, and threads that wait for each other stall when anything else runs on the machine.
_PARAMETERS = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 5,
    "eta": 0.075,
    "min_child_weight": 100,
    "subsample": 0.8,
    "colsample_bytree": 0.6,
    "seed": 2013,
    "nthread": 1,
}
_row = itemgetter(*FEATURES)


@dataclass(frozen=True, slots=True)
class Table:
    """Features of shape (rows, len(FEATURES)), and whether each flight was late, of shape (rows,)."""

    features: NDArray[np.float32]
    late: NDArray[np.bool_]


def train(
    out: Path,
    report: Callable[[str], None],
    *,
    training: Sequence[int] = TRAINING_MONTHS,
    test: Sequence[int] = TEST_MONTHS,
    trees: int = _TREES,
) -> dict[str, Evaluation]:
    """Write OUT/<version>/model.yaml and model.ubj for each of VERSIONS.

    Returns the evaluations on the test months by version, after that of BASE_RATE, the training months' share of late
    flights.
    """
    out.mkdir(parents=True, exist_ok=True)  # before the work, so that an unusable folder fails at once
    report("reading the flights of 2013")
    known, later = table(training), table(test)
    report(f"training {' and '.join(VERSIONS)} on {len(known.late):,} flights, {trees} trees each")
    with ThreadPoolExecutor(len(VERSIONS)) as pool:
        boosters = dict(zip(VERSIONS, pool.map(lambda features: fit(known, features, trees), VERSIONS.values()), strict=True))
    evaluations = {BASE_RATE: evaluate(later.late, np.full(len(later.late), known.late.mean()))}
    for version, booster in boosters.items():
        evaluations[version] = evaluate(later.late, booster.predict(_matrix(later, VERSIONS[version])))
        summary = _summary(evaluations[version], evaluations[BASE_RATE], training, test)
        card = publish(out / version, version, booster, summary)
        report(f"wrote {card.relative_to(Path.cwd()) if card.is_relative_to(Path.cwd()) else card}")
    return evaluations


def table(months: Iterable[int]) -> Table:
    """Return the flights of some months with known outcomes.

    They are read month by month, since records take far more memory than rows.
    """
    parts = [_month(month) for month in months]
    return Table(np.concatenate([part.features for part in parts]), np.concatenate([part.late for part in parts]))


def fit(known: Table, features: tuple[str, ...], trees: int) -> xgb.Booster:
    """Train on some features of the table."""
    return xgb.train(_PARAMETERS, _matrix(known, features), trees)


def publish(folder: Path, version: str, booster: xgb.Booster, evaluation: dict[str, Any]) -> Path:
    """Write the artifact and its card into a folder; return the card's path."""
    return write(
        folder,
        bytes(booster.save_raw("ubj")),
        contract=CONTRACT,
        version=version,
        features=VERSIONS[version],
        categories=CATEGORIES,
        evaluation=evaluation,
        importance=shares_of_gain(booster),
    )


def _month(month: int) -> Table:
    ended = [departure for departure in departures(month) if departure.late is not None]
    rows = np.array([_row(transform(departure.record)) for departure in ended], dtype=np.float32)
    return Table(rows, np.array([departure.late for departure in ended], dtype=np.bool_))


def _matrix(rows: Table, features: tuple[str, ...]) -> xgb.DMatrix:
    columns = [FEATURES.index(name) for name in features]
    types = ["c" if name in CATEGORICAL else "q" for name in features]
    return xgb.DMatrix(
        rows.features[:, columns],
        label=rows.late,
        feature_names=list(features),
        feature_types=types,
        enable_categorical=True,
        nthread=_PARAMETERS["nthread"],
    )


def _summary(evaluation: Evaluation, baseline: Evaluation, training: Sequence[int], test: Sequence[int]) -> dict[str, Any]:
    return {
        "training_months": [f"2013-{month:02}" for month in training],
        "test_months": [f"2013-{month:02}" for month in test],
        **evaluation.to_card(),
        "baseline": {"predictor": "the training months' share of late flights", **baseline.to_card()},
    }


def in_columns(evaluations: dict[str, Evaluation]) -> str:
    """Return the evaluations as a table."""
    lines = [f"{'':<10}{'log loss':>10}{'AUC':>8}{'calibration error':>19}"]
    lines += [f"{name:<10}{e.log_loss:>10.4f}{e.auc:>8.4f}{e.calibration_error:>19.4f}" for name, e in evaluations.items()]
    return "\n".join(lines)


def main() -> int:
    description = "Train both versions of the flights model."
    return run_trainer(_trained, module="functions.flights.train", description=description, models=MODELS)


def _trained(out: Path) -> str:
    evaluations = train(out, progress)
    rows = evaluations[BASE_RATE].rows
    return f"{rows:,} flights of November and December 2013, which are not in the training data:\n{in_columns(evaluations)}"


if __name__ == "__main__":
    sys.exit(main())
