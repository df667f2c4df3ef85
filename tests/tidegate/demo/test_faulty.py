"""The faulty version loads like a good one, and takes features for each other."""

from __future__ import annotations

from pathlib import Path

from functions.flights.departures import departures
from functions.runtime.contract import card as cards
from tidegate.demo.faulty import EXCHANGED, FAULTY, exchange
from tidegate.demo.offline import Offline
from training.evaluation import log_loss


def test_faulty_version_is_that_of_its_source_with_features_exchanged(flights_models: Path, tmp_path: Path) -> None:
    folder = exchange(flights_models / "v2", tmp_path / FAULTY)
    good, bad = cards.load(flights_models / "v2/model.yaml"), cards.load(folder / "model.yaml")
    assert (bad.version, bad.inputs, bad.outputs, bad.evaluation) == (FAULTY, good.inputs, good.outputs, good.evaluation)
    other = {**EXCHANGED, **{second: first for first, second in EXCHANGED.items()}}
    assert list(bad.features) == [other.get(name, name) for name in good.features]


def test_faulty_version_is_worse_on_known_outcomes(flights_models: Path, tmp_path: Path) -> None:
    folder = exchange(flights_models / "v2", tmp_path / FAULTY)
    known = [departure for departure in departures(11)[:3_000] if departure.late is not None]
    offline = Offline(flights_models / "v2", folder)
    late, records = [bool(departure.late) for departure in known], [departure.record for departure in known]
    assert log_loss(late, offline.scores(FAULTY, records)) > log_loss(late, offline.scores("v2", records)) + 0.05
