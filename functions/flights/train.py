"""Train the versions of the flights model: `v1` knows the timetable, `v2` the hour's weather and the aircraft as well.

    python -m functions.flights.train [--out FOLDER]

Split by time: what is trained on comes before what is tested on. The same data gives the same artifact, to the byte.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import numpy as np
import xgboost as xgb
import yaml
from numpy.typing import NDArray

from common.errors import TidegateError
from functions.flights.departures import departures
from functions.flights.evaluation import Evaluation, evaluate
from functions.flights.transform import CATEGORICAL, CATEGORIES, FEATURES, SCHEDULE, transform
from functions.runtime.contract.card import Card, dump, parse

VERSIONS = {"v1": SCHEDULE, "v2": FEATURES}
BASE_RATE = "base rate"
TRAINING_MONTHS = tuple(range(1, 11))
TEST_MONTHS = (11, 12)
CONTRACT = Path(__file__).with_name("model.yaml")
MODELS = Path(__file__).with_name("models")

# Chosen on January to October alone: trained on the months before, scored on the two months after, three times.
_TREES = 100
# One thread a version, both at once: how a sum of floating-point numbers is split decides its last bits, and threads of one training
# that wait for each other stall when anything else runs on the machine.
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
    """`features` is (rows, len(FEATURES)), `late` is (rows,): whether each flight arrived late."""

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

    Returns the evaluations on the test months by version, and first of all BASE_RATE's: the training months' share of late flights.
    """
    out.mkdir(parents=True, exist_ok=True)  # first, so that a folder that cannot be written is told before the work
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
    """The flights of these months whose outcome is known. One month at a time, since records take far more memory than rows."""
    parts = [_month(month) for month in months]
    return Table(np.concatenate([part.features for part in parts]), np.concatenate([part.late for part in parts]))


def fit(known: Table, features: tuple[str, ...], trees: int) -> xgb.Booster:
    return xgb.train(_PARAMETERS, _matrix(known, features), trees)


def publish(folder: Path, version: str, booster: xgb.Booster, evaluation: dict[str, Any]) -> Path:
    """Write the artifact and its card into a folder. Returns the card's path."""
    artifact = bytes(booster.save_raw("ubj"))
    card = _card(version, booster, hashlib.sha256(artifact).hexdigest(), evaluation)
    _write(folder / card.artifact.uri, artifact)
    # The card last: it vouches for the artifact beside it.
    return _write(folder / "model.yaml", dump(card).encode())


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


def _card(version: str, booster: xgb.Booster, sha256: str, evaluation: dict[str, Any]) -> Card:
    contract = yaml.safe_load(CONTRACT.read_text("utf-8"))
    for input_ in contract["inputs"]:
        if input_["name"] in CATEGORIES:
            input_["categories"] = CATEGORIES[input_["name"]]
    return parse(
        {
            **contract,
            "version": version,
            "artifact": {"uri": "model.ubj", "sha256": sha256},
            "features": booster.feature_names,
            "importance": _importance(booster),
            "evaluation": evaluation,
        }
    )


def _importance(booster: xgb.Booster) -> dict[str, float]:
    """Each feature's share of the total gain, the largest first."""
    gains = cast("dict[str, float]", booster.get_score(importance_type="total_gain"))
    total = sum(gains.values())
    return {name: round(gain / total, 4) for name, gain in sorted(gains.items(), key=lambda item: -item[1])}


def _summary(evaluation: Evaluation, baseline: Evaluation, training: Sequence[int], test: Sequence[int]) -> dict[str, Any]:
    return {
        "training_months": [f"2013-{month:02}" for month in training],
        "test_months": [f"2013-{month:02}" for month in test],
        **_rounded(asdict(evaluation)),
        "baseline": {"predictor": "the training months' share of late flights", **_rounded(asdict(baseline))},
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return round(value, 5) if isinstance(value, float) else value


def _write(path: Path, content: bytes) -> Path:
    """Whole or not at all: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    return part.replace(path)


def in_columns(evaluations: dict[str, Evaluation]) -> str:
    """The evaluations as a table for people."""
    lines = [f"{'':<10}{'log loss':>10}{'AUC':>8}{'calibration error':>19}"]
    lines += [f"{name:<10}{e.log_loss:>10.4f}{e.auc:>8.4f}{e.calibration_error:>19.4f}" for name, e in evaluations.items()]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m functions.flights.train", description="Train both versions of the flights model.")
    parser.add_argument("--out", type=Path, default=MODELS, help="folder for v1/ and v2/ (default: %(default)s)")
    out: Path = parser.parse_args().out
    try:
        evaluations = train(out, lambda line: print(line, file=sys.stderr, flush=True))
    except TidegateError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"cannot use {error.filename or out}: {error.strerror or error}; mend that, or name another folder with --out.", file=sys.stderr
        )
        return 1
    rows = evaluations[BASE_RATE].rows
    print(f"{rows:,} flights of November and December 2013, which no version was trained on:")
    print(in_columns(evaluations))
    return 0


if __name__ == "__main__":
    sys.exit(main())
