from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
import yaml

from functions.runtime import artifact
from functions.runtime.dataplane import DataPlane
from functions.runtime.errors import InvalidModel

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture
def folder(table: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> Path:
    features, target = table
    xgb.train({"max_depth": 3}, xgb.DMatrix(features, target, feature_names=NAMES), 5).save_model(tmp_path / "model.ubj")
    write_card(tmp_path)
    return tmp_path


def write_card(folder: Path, **change: Any) -> None:
    card = {
        "name": "little",
        "version": "v1",
        "inputs": [{"name": name, "datatype": "FP32", "optional": True} for name in NAMES],
        "outputs": [{"name": "score"}],
        "artifact": {"uri": "model.ubj", "sha256": hashlib.sha256((folder / "model.ubj").read_bytes()).hexdigest()},
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(card | change))


@pytest.mark.parametrize("path", ["", "model.yaml", "model.ubj"])
def test_a_folder_a_card_or_an_artifact_beside_its_card_name_the_same_model(path: str, folder: Path) -> None:
    loaded = artifact.load(folder / path)
    assert (loaded.card.name, loaded.card.version) == ("little", "v1")


def test_an_artifact_alone_is_named_after_its_file_and_described_by_itself(folder: Path) -> None:
    (folder / "model.yaml").unlink()
    (folder / "model.ubj").rename(folder / "my model.ubj")
    card = artifact.load(folder / "my model.ubj").card
    assert card.name == "my-model"
    assert [item.name for item in card.inputs] == NAMES


def test_features_are_matched_by_name_not_by_position(folder: Path, table: tuple[np.ndarray, np.ndarray]) -> None:
    write_card(folder, inputs=[{"name": name, "datatype": "FP32", "optional": True} for name in reversed(NAMES)])
    loaded = artifact.load(folder)
    assert loaded.encoder.record(dict(zip(NAMES, range(5), strict=True))) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"artifact": {"uri": "gone.ubj"}}, r"cannot read the model artifact .*gone\.ubj: No such file"),
        ({"artifact": {"uri": "model.ubj", "sha256": "0" * 64}}, r"has the sha256 .*, its card promises 000000000000…; train again"),
        (
            {"inputs": [{"name": "a", "datatype": "FP32"}, {"name": "x", "datatype": "FP32"}]},
            r"it needs b, c, d, e, which the card does not name; the card names x",
        ),
        ({"inputs": [{"name": "a", "datatype": "FLOAT"}]}, r"inputs\[0\]\.datatype is 'FLOAT'; it must be one of BOOL"),
        ({"colour": "red"}, r"colour is not known; known are"),
        ({"name": "no/slash"}, r"name is 'no/slash'; it must match"),
        ({"inputs": [{"name": "a", "datatype": "FP32"}] * 2}, r"inputs names a more than once"),
        ({"transform": "no.such.module", "features": NAMES}, r"the transform no\.such\.module of the model little cannot be imported"),
    ],
)
def test_a_card_that_does_not_fit_is_one_sentence_that_says_what_to_do(change: dict[str, Any], sentence: str, folder: Path) -> None:
    write_card(folder, **change)
    with pytest.raises(InvalidModel, match=sentence) as caught:
        artifact.load(folder)
    assert "\n" not in str(caught.value)


def test_free_text_needs_a_transform(folder: Path) -> None:
    write_card(folder, inputs=[{"name": name, "datatype": "BYTES"} for name in NAMES])
    with pytest.raises(InvalidModel, match="the input a of little is free text"):
        artifact.load(folder)


def test_an_example_that_the_card_itself_refuses_stops_the_start(folder: Path) -> None:
    write_card(folder, example={"a": "much"})
    with pytest.raises(InvalidModel, match="the example of the model little is no valid row: the input a is the text 'much'"):
        DataPlane(artifact.load(folder))


@pytest.mark.parametrize(
    ("name", "sentence"), [("nothing.ubj", "there is no model at"), ("model.pkl", "neither a card .* nor an XGBoost model")]
)
def test_what_is_no_model_is_named(name: str, sentence: str, tmp_path: Path) -> None:
    if name.endswith("pkl"):
        (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(InvalidModel, match=sentence):
        artifact.load(tmp_path / name)
