import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb
import yaml

from functions.flights import train as module
from functions.flights.departures import departures
from functions.flights.train import BASE_RATE, CONTRACT, VERSIONS, table, train
from functions.flights.transform import CATEGORIES
from functions.runtime.artifacts import loading
from functions.runtime.contract.card import Card, load

both = pytest.mark.parametrize("version", VERSIONS)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _card(models: Path, version: str) -> Card:
    return load(models / version / "model.yaml")


def test_repeated_training_gives_the_same_bytes(models: Path, tmp_path: Path) -> None:
    train(tmp_path, lambda _line: None, training=(1,), test=(2,), trees=10)
    assert _files(tmp_path) == _files(models)


def test_training_leaves_only_cards_and_artifacts(models: Path) -> None:
    assert set(_files(models)) == {f"{version}/{name}" for version in VERSIONS for name in ("model.ubj", "model.yaml")}


@both
def test_card_describes_the_artifact_beside_it(models: Path, version: str) -> None:
    card = _card(models, version)
    content = (models / version / card.artifact.uri).read_bytes()
    booster = xgb.Booster(model_file=bytearray(content))
    assert card.version == version
    assert card.artifact.sha256 == hashlib.sha256(content).hexdigest()
    assert list(card.features) == booster.feature_names == list(VERSIONS[version])
    assert set(card.importance) <= set(card.features)
    assert sum(card.importance.values()) == pytest.approx(1, abs=0.005)


def test_both_versions_take_the_same_request(models: Path) -> None:
    v1, v2 = (_card(models, version) for version in VERSIONS)
    assert (v1.inputs, v1.outputs, v1.example) == (v2.inputs, v2.outputs, v2.example)
    assert {item.name: item.categories for item in v1.inputs if item.categories} == CATEGORIES


def test_every_input_has_a_description() -> None:
    contract = yaml.safe_load(CONTRACT.read_text())
    assert all(item["description"].endswith(".") for item in contract["inputs"] + contract["outputs"])
    assert set(contract["example"]) <= {item["name"] for item in contract["inputs"]}


@both
def test_served_scores_equal_offline_scores_to_the_bit(models: Path, version: str) -> None:
    loaded = loading.load(models / version)
    ended = [departure.record for departure in departures(2) if departure.late is not None][:2000]
    rows = loaded.encoder.records(ended)
    booster = xgb.Booster(model_file=models / version / "model.ubj")
    offline = booster.predict(module._matrix(table((2,)), VERSIONS[version]))[: len(ended)]
    assert np.array_equal(np.asarray(loaded.model.predict(rows.values, rows.count).values, dtype=np.float32), offline)


def test_each_version_is_better_than_the_one_before(models: Path) -> None:
    v1, v2 = (_card(models, version).evaluation for version in VERSIONS)
    assert v2["log_loss"] < v1["log_loss"] < v1["baseline"]["log_loss"]
    assert v2["auc"] > v1["auc"] > v1["baseline"]["auc"] == 0.5
    assert sum(item["rows"] for item in v1["bins"]) == v1["rows"] == len(table((2,)).late)


def test_command_prints_the_table_apart_from_the_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path)])
    monkeypatch.setattr(module, "train", lambda out, report: train(out, report, training=(1,), test=(2,), trees=2))
    assert module.main() == 0
    printed = capsys.readouterr()
    assert [line.split("  ")[0] for line in printed.out.splitlines()[2:]] == [BASE_RATE, *VERSIONS]
    assert f"wrote {tmp_path / 'v2' / 'model.yaml'}" in printed.err


def test_unusable_folder_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "models"
    taken.write_text("a file where the folder should be")
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(taken)])
    assert module.main() == 1
    assert capsys.readouterr().err == f"cannot use {taken}: File exists; fix that, or name another folder with --out.\n"
