from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
import yaml

from functions.runtime import artifact
from functions.runtime.dataplane import DataPlane
from functions.runtime.errors import InvalidInput, InvalidModel

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


@pytest.mark.parametrize("carded", [True, False])
def test_an_artifact_that_kills_whoever_loads_it_is_named(carded: bool, folder: Path) -> None:
    damaged = bytearray((folder / "model.ubj").read_bytes())
    # The first tree's root: its left child is two billion nodes away.
    first = damaged.index(b"left_children[$l#L") + len(b"left_children[$l#L") + 8
    damaged[first : first + 4] = b"\x7f\xff\xff\xf0"
    (folder / "model.ubj").write_bytes(damaged)
    if carded:
        write_card(folder, artifact={"uri": "model.ubj"})
    else:
        (folder / "model.yaml").unlink()
    with pytest.raises(InvalidModel, match=r"the artifact .*model\.ubj is damaged: xgboost died of it \(SIGSEGV\); save the model again"):
        artifact.load(folder / "model.ubj")


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
        ({"transform": "../x", "features": NAMES}, r"the transform \.\./x of the model little cannot be imported"),
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


def test_an_artifact_alone_takes_nulls_but_no_fewer_inputs(folder: Path) -> None:
    (folder / "model.yaml").unlink()
    encoder = artifact.load(folder / "model.ubj").encoder
    row = encoder.record(dict.fromkeys(NAMES, 0.5) | {"c": None})
    assert math.isnan(row[2])
    with pytest.raises(InvalidInput, match="the input c is missing"):
        encoder.record({name: 0.5 for name in NAMES if name != "c"})


def test_an_artifact_with_categories_needs_a_card_that_names_them(tmp_path: Path) -> None:
    codes = np.array([[0, 1.5], [1, 2.5], [2, 0.5]] * 20, dtype=np.float32)
    matrix = xgb.DMatrix(codes, codes[:, 0], feature_names=["city", "size (m2)"], feature_types=["c", "q"], enable_categorical=True)
    xgb.train({}, matrix, 3).save_model(tmp_path / "model.ubj")
    with pytest.raises(InvalidModel, match=r"takes categories as codes \(city\); write a model\.yaml beside it"):
        artifact.load(tmp_path / "model.ubj")
    cities = {"name": "city", "datatype": "BYTES", "categories": ["oslo", "rome", "lima"]}
    write_card(tmp_path, inputs=[cities, {"name": "size (m2)", "datatype": "FP32"}])
    assert artifact.load(tmp_path).encoder.record({"city": "lima", "size (m2)": 0.5}) == (2.0, 0.5)


def test_a_linear_model_is_told_from_trees(table: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    xgb.train({"booster": "gblinear"}, xgb.DMatrix(*table), 3).save_model(tmp_path / "line.json")
    with pytest.raises(InvalidModel, match="is a linear model"):
        artifact.load(tmp_path / "line.json")
