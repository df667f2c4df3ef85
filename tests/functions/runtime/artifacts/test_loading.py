from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
import yaml

from functions.runtime.artifacts import fetching, loading
from functions.runtime.artifacts.policy import Policy
from functions.runtime.errors import InvalidInput, InvalidModel
from functions.runtime.protocols import v2

NAMES = ["a", "b", "c", "d", "e"]

# A user's runtime, whose artifact is a signature in JSON.
LITTLE = """
import json
from array import array
from types import SimpleNamespace

from functions.runtime.contract.signature import Prediction, Signature


def load(path):
    document = json.loads(path.read_text())
    known = {name: None if found is None else tuple(found) for name, found in document["categorical"].items()}
    signature = Signature(document["width"], tuple(document["features"]), known)
    return SimpleNamespace(signature=signature, predict=lambda values, rows, kind="value": Prediction(array("f", [0.0] * rows), ()))
"""
WriteModule = Callable[[str, str], None]


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteModule:
    """A module that a child process can import too."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))

    def write(name: str, text: str) -> None:
        (folder / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


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


def write_little(
    folder: Path, categorical: dict[str, list[str] | None], *inputs: dict[str, Any], named: bool = True, **change: Any
) -> None:
    """A model of the runtime `little` whose features are the inputs."""
    names = [item["name"] for item in inputs]
    folder.mkdir(exist_ok=True)
    signature = {"width": len(names), "features": names if named else [], "categorical": categorical}
    (folder / "model.ubj").write_text(json.dumps(signature))
    write_card(folder, runtime="little", inputs=inputs, **change)


@pytest.mark.parametrize("path", ["", "model.yaml", "model.ubj"])
def test_a_folder_its_card_and_its_artifact_are_the_same_model(path: str, folder: Path) -> None:
    loaded = loading.load(folder / path)
    assert (loaded.card.name, loaded.card.version) == ("little", "v1")
    assert loaded.source == folder / "model.yaml"


def test_a_bare_artifact_is_named_after_its_file(folder: Path) -> None:
    (folder / "model.yaml").unlink()
    (folder / "model.ubj").rename(folder / "my model.ubj")
    loaded = loading.load(folder / "my model.ubj")
    assert loaded.card.name == "my-model"
    assert [item.name for item in loaded.card.inputs] == NAMES
    assert loaded.source == folder / "my model.ubj"


@pytest.mark.parametrize("carded", [True, False])
def test_an_artifact_that_contradicts_itself_is_damaged(carded: bool, folder: Path) -> None:
    damaged = bytearray((folder / "model.ubj").read_bytes())
    # The first tree's root: its left child is two billion nodes away.
    first = damaged.index(b"left_children[$l#L") + len(b"left_children[$l#L") + 8
    damaged[first : first + 4] = b"\x7f\xff\xff\xf0"
    (folder / "model.ubj").write_bytes(damaged)
    if carded:
        write_card(folder, artifact={"uri": "model.ubj"})
    else:
        (folder / "model.yaml").unlink()
    with pytest.raises(
        InvalidModel, match=r"the artifact .*model\.ubj is damaged: the tree 0 has the child 2147483632 .*; save the model again"
    ):
        loading.load(folder / "model.ubj")


def test_an_artifact_that_crashes_the_loading_process_is_named(folder: Path, write_module: WriteModule) -> None:
    write_module("deadly", "import os, signal\n\n\ndef load(path):\n    os.kill(os.getpid(), signal.SIGSEGV)")
    write_card(folder, runtime="deadly", artifact={"uri": "model.ubj"})
    with pytest.raises(InvalidModel, match=r"the artifact .*model\.ubj is damaged: deadly crashed on it \(SIGSEGV\); save the model again"):
        loading.load(folder)


def test_an_artifact_without_a_digest_is_logged_with_it(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    sha256 = hashlib.sha256((folder / "model.ubj").read_bytes()).hexdigest()
    with_digest = loading.load(folder)
    assert not caplog.records
    assert v2.metadata(with_digest.card, with_digest.outputs, [])["parameters"] == {
        "artifact_vouched": True,
        "artifact_sha256": sha256,
        "card_sha256": hashlib.sha256((folder / "model.yaml").read_bytes()).hexdigest(),
    }
    write_card(folder, artifact={"uri": "model.ubj"})
    without_digest = loading.load(folder)
    assert v2.metadata(without_digest.card, without_digest.outputs, [])["parameters"]["artifact_vouched"] is False
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert re.search(rf"the artifact .*model\.ubj has no digest: .*; write artifact\.sha256 into its card: {sha256}$", record.message)


def test_bytes_that_change_between_check_and_load_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child process reads other bytes than this process did before."""
    write_card(folder, artifact={"uri": "model.ubj"})

    def read_and_change(*arguments: Any) -> tuple[Path, bytes]:
        path, data = fetching.read(*arguments)
        path.write_bytes(data + b" ")
        return path, data

    monkeypatch.setattr(loading, "read", read_and_change)
    with pytest.raises(InvalidModel, match=r"the artifact .*model\.ubj changed while it was loaded; start again\.$"):
        loading.load(folder)


def test_a_file_that_a_users_runtime_changes_is_refused(folder: Path, write_module: WriteModule) -> None:
    inputs = {"inputs": [{"name": name, "datatype": "FP32"} for name in NAMES]}
    change = "    if 'pytest' in sys.modules: path.write_text(path.read_text() + ' ')\n"  # not in the child, which is the first
    write_module("little", f"import sys\n{LITTLE}".replace("def load(path):\n", f"def load(path):\n{change}"))
    write_little(folder, {}, *inputs["inputs"], artifact={"uri": "model.ubj"})
    with pytest.raises(InvalidModel, match=r"the artifact .*model\.ubj changed while it was loaded"):
        loading.load(folder)


def test_features_are_matched_by_name_not_by_position(folder: Path, table: tuple[np.ndarray, np.ndarray]) -> None:
    write_card(folder, inputs=[{"name": name, "datatype": "FP32", "optional": True} for name in reversed(NAMES)])
    loaded = loading.load(folder)
    assert loaded.encoder.record(dict(zip(NAMES, range(5), strict=True))).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"artifact": {"uri": "gone.ubj"}}, r"cannot read the model artifact .*gone\.ubj: No such file"),
        ({"artifact": {"uri": "model.ubj", "sha256": "0" * 64}}, r"has the sha256 .*, but its card has 000000000000…; train again"),
        (
            {"inputs": [{"name": "a", "datatype": "FP32"}, {"name": "x", "datatype": "FP32"}]},
            r"it needs b, c, d, e, which the card does not have, and the card has x",
        ),
        ({"inputs": [{"name": "a", "datatype": "FLOAT"}]}, r"inputs\[0\]\.datatype is 'FLOAT'; it must be one of BOOL"),
        ({"colour": "red"}, r"colour is unknown; known are"),
        ({"name": "no/slash"}, r"name is 'no/slash'; it must match"),
        ({"inputs": [{"name": "a", "datatype": "FP32"}] * 2}, r"inputs names a more than once"),
        ({"transform": "../x", "features": NAMES}, r"the transform \.\./x of the model little cannot be imported"),
        ({"transform": "no.such.module", "features": NAMES}, r"the transform no\.such\.module of the model little cannot be imported"),
    ],
)
def test_a_card_that_does_not_match_is_one_sentence_with_a_remedy(change: dict[str, Any], sentence: str, folder: Path) -> None:
    write_card(folder, **change)
    with pytest.raises(InvalidModel, match=sentence) as caught:
        loading.load(folder)
    assert "\n" not in str(caught.value)


def test_free_text_needs_a_transform(folder: Path) -> None:
    write_card(folder, inputs=[{"name": name, "datatype": "BYTES"} for name in NAMES])
    with pytest.raises(InvalidModel, match="the input a of little is free text"):
        loading.load(folder)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("nothing.ubj", "no model at"), ("notes.txt", "neither a card .* nor a model of XGBoost .* or LightGBM")],
)
def test_a_path_without_a_model_is_named(name: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("buy milk")
    with pytest.raises(InvalidModel, match=sentence):
        loading.load(tmp_path / name)


@pytest.mark.parametrize("name", ["model.bst", "model.model", "MODEL.UBJ", "model", "model.json"])
def test_a_format_is_recognized_by_the_content_of_the_file(name: str, folder: Path) -> None:
    (folder / "model.yaml").unlink()
    (folder / "model.ubj").rename(folder / name)
    loaded = loading.load(folder / name)
    assert (loaded.card.runtime, loaded.card.name) == ("xgboost", name.partition(".")[0])
    assert [item.name for item in loaded.card.inputs] == NAMES


def test_a_card_with_another_library_s_runtime_is_refused(folder: Path) -> None:
    write_card(folder, runtime="lightgbm")
    with pytest.raises(
        InvalidModel, match=r"model\.ubj is a model of xgboost, but its card little has the runtime lightgbm; write runtime: xgboost"
    ):
        loading.load(folder)


def test_null_and_an_absent_field_are_equal_to_a_bare_artifact(folder: Path) -> None:
    (folder / "model.yaml").unlink()
    encoder = loading.load(folder / "model.ubj").encoder
    whole = dict.fromkeys(NAMES, 0.5)
    without = {name: 0.5 for name in NAMES if name != "c"}
    rows = [encoder.record(row) for row in (whole | {"c": None}, without, without | {"other": 1})]
    rows += [encoder.objects([row]).values for row in (whole | {"c": None}, without)]
    assert {row.tobytes() for row in rows} == {rows[0].tobytes()}
    assert math.isnan(rows[0][2])
    for row in ({}, {"C": 0.5}):
        with pytest.raises(InvalidInput, match=r"the row has none of the model's inputs, which are a, b, c, d, e; send at least one"):
            encoder.record(row)
    with pytest.raises(InvalidInput, match="the model has no input C;"):
        encoder.objects([without | {"C": 0.5}])
    with pytest.raises(InvalidInput, match="the input c is missing"):  # a whole column, or a value of a list, is not left out by chance
        encoder.check_names(without)
    with pytest.raises(InvalidInput, match="row 0 has 4 values"):
        encoder.lists([[0.5] * 4])


def test_an_artifact_with_codes_needs_a_card_with_categories(tmp_path: Path) -> None:
    codes = np.array([[0, 1.5], [1, 2.5], [2, 0.5]] * 20, dtype=np.float32)
    matrix = xgb.DMatrix(codes, codes[:, 0], feature_names=["city", "size (m2)"], feature_types=["c", "q"], enable_categorical=True)
    xgb.train({}, matrix, 3).save_model(tmp_path / "model.ubj")
    with pytest.raises(InvalidModel, match=r"takes categories as codes \(city\); write a model\.yaml beside it"):
        loading.load(tmp_path / "model.ubj")
    cities = {"name": "city", "datatype": "BYTES", "categories": ["oslo", "rome", "lima"]}
    write_card(tmp_path, inputs=[cities, {"name": "size (m2)", "datatype": "FP32"}])
    assert loading.load(tmp_path).encoder.record({"city": "lima", "size (m2)": 0.5}).tolist() == [2.0, 0.5]


def test_a_linear_model_is_refused(table: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    xgb.train({"booster": "gblinear"}, xgb.DMatrix(*table), 3).save_model(tmp_path / "line.json")
    with pytest.raises(InvalidModel, match="is a linear model"):
        loading.load(tmp_path / "line.json")


def test_a_bare_artifact_takes_its_categories_as_strings(tmp_path: Path) -> None:
    cities = pd.Series(["oslo", "rome", "lima"] * 20, dtype="category")
    matrix = xgb.DMatrix(pd.DataFrame({"city": cities, "size": np.arange(60.0)}), cities.cat.codes, enable_categorical=True)
    xgb.train({}, matrix, 3).save_model(tmp_path / "homes.ubj")
    loaded = loading.load(tmp_path / "homes.ubj")
    assert loaded.card.inputs[0].datatype == "BYTES"
    assert loaded.card.inputs[0].categories == tuple(cities.cat.categories)
    assert loaded.encoder.record({"city": "rome", "size": 2}).tolist() == [float(cities.cat.codes[1]), 2.0]


def test_a_bare_lightgbm_file_is_served_by_its_own_description(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    data = lightgbm.Dataset(np.arange(200.0).reshape(100, 2), np.arange(100.0), feature_name=["age", "size"])
    lightgbm.train({"verbose": -1}, data, 3).save_model(tmp_path / "homes.txt")
    loaded = loading.load(tmp_path / "homes.txt")
    assert (loaded.card.name, loaded.card.runtime) == ("homes", "lightgbm")
    assert [(item.name, item.datatype) for item in loaded.card.inputs] == [("age", "FP64"), ("size", "FP64")]
    row = loaded.encoder.record({"age": 0.1, "size": None})
    assert row[0] == 0.1
    assert math.isnan(row[1])
    assert [item.name for item in loaded.outputs.default] == ["predict"]


def test_a_name_too_long_for_a_url_is_cut(folder: Path) -> None:
    (folder / "model.yaml").unlink()
    (folder / "model.ubj").rename(folder / f"{'x' * 119}-{'y' * 80}.ubj")
    assert loading.load(folder / f"{'x' * 119}-{'y' * 80}.ubj").card.name == "x" * 119


CITY = {"name": "city", "datatype": "BYTES", "categories": ["oslo", "rome", "lima"]}
SIZE = {"name": "size", "datatype": "FP32"}


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("known", [["oslo", "rome", "lima"], None])
def test_categories_equal_or_unknown_to_the_artifact_are_accepted(
    named: bool, known: list[str] | None, tmp_path: Path, write_module: WriteModule
) -> None:
    write_module("little", LITTLE)
    write_little(tmp_path / "m", {"city" if named else "f1": known}, SIZE, CITY, named=named)
    assert loading.load(tmp_path / "m").encoder.record({"city": "lima", "size": 0.5}).tolist() == [0.5, 2.0]


@pytest.mark.parametrize(
    ("known", "item", "sentence"),
    [
        (
            ["oslo", "lima", "rome"],
            CITY,
            "the input city of the model little has 'rome' for the code 1, where there is 'lima' in the order of",
        ),
        (["oslo", "rome"], CITY, "has 'lima' for the code 2, where there is no category"),
        (["oslo", "rome", "lima", "bonn"], CITY, "has no category for the code 3, where there is 'bonn'"),
        (
            ["oslo"],
            CITY | {"datatype": "INT32", "categories": None},
            "the input city .* has no categories, but its artifact .* takes oslo; make it BYTES",
        ),
        (
            None,
            CITY | {"datatype": "FP32", "categories": None},
            "has no categories, but its artifact .* takes codes; make it BYTES .*, or INT64",
        ),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_categories_that_differ_from_the_artifact_s_are_refused(
    named: bool, known: list[str] | None, item: dict[str, Any], sentence: str, tmp_path: Path, write_module: WriteModule
) -> None:
    write_module("little", LITTLE)
    write_little(tmp_path / "m", {"city" if named else "f0": known}, item, SIZE, named=named)
    with pytest.raises(InvalidModel, match=sentence):
        loading.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("known", "item", "good", "code"),
    [
        ([4, 17, 30], {"datatype": "INT64", "categories": [4, 17, 30]}, 17, 1),
        ([4, 17, 30], {"datatype": "UINT8", "categories": [4, 17, 30]}, "30", 2),
        ([4, 17, 30], {"datatype": "FP64", "categories": [4.0, 17.0, 30.0]}, 17.0, 1),
        ([4, 17, 30], {"datatype": "BYTES", "categories": ["4", "17", "30"]}, "17", 1),
        ([1.5, 2.0], {"datatype": "FP64", "categories": [1.5, 2]}, 2.0, 1),
        ([1.5, 2.0], {"datatype": "BYTES", "categories": ["1.5", "2.0"]}, "2.0", 1),
        ([False, True], {"datatype": "BOOL", "categories": [False, True]}, True, 1),
        ([False, True], {"datatype": "BYTES", "categories": ["False", "True"]}, "True", 1),
        ([False, True], {"datatype": "BYTES", "categories": ["false", "true"]}, "false", 0),
        (None, {"datatype": "INT64", "categories": [4, 17, 30]}, 17, 1),
        (None, {"datatype": "INT64"}, 17, 17),
    ],
)
def test_categories_are_of_the_artifact_s_type_or_their_strings(
    known: Any, item: dict[str, Any], good: Any, code: int, tmp_path: Path, write_module: WriteModule
) -> None:
    write_module("little", LITTLE)
    write_little(tmp_path / "m", {"zone": known}, {"name": "zone", **item}, SIZE)
    assert loading.load(tmp_path / "m").encoder.record({"zone": good, "size": 0.5}).tolist() == [code, 0.5]


@pytest.mark.parametrize(
    ("known", "item", "sentence"),
    [
        ([4, 17], {"datatype": "INT64", "categories": [4, 18]}, "has 18 for the code 1, where there is 17 in the order"),
        ([4, 17], {"datatype": "BYTES", "categories": ["4", "17.0"]}, r"has '17\.0' for the code 1, where there is 17 in the order"),
        (["4", "17"], {"datatype": "INT64", "categories": [17, 4]}, "has 17 for the code 0, where there is '4' in the order"),
        ([False, True], {"datatype": "INT64", "categories": [0, 1]}, "has 0 for the code 0, where there is False in the order"),
        ([0, 1], {"datatype": "BOOL", "categories": [False, True]}, "has False for the code 0, where there is 0 in the order"),
        (
            [4, 17],
            {"datatype": "INT64"},
            "has no categories, but its artifact .* takes 4, 17; make it INT64 with its categories in the order",
        ),
        ([1.5, 2.0], {"datatype": "FP64"}, r"takes 1\.5, 2\.0; make it FP64 with its categories"),
        ([True], {"datatype": "BOOL"}, "takes true; make it BOOL with its categories"),
    ],
)
def test_categories_of_another_type_or_value_are_refused(
    known: Any, item: dict[str, Any], sentence: str, tmp_path: Path, write_module: WriteModule
) -> None:
    write_module("little", LITTLE)
    write_little(tmp_path / "m", {"zone": known}, {"name": "zone", **item}, SIZE)
    with pytest.raises(InvalidModel, match=sentence):
        loading.load(tmp_path / "m")


def test_a_lightgbm_file_with_ambiguous_categories_needs_a_card(tmp_path: Path) -> None:
    """`store` is a category by number, `plan` a number by category; the file fits the other way round too."""
    random = np.random.default_rng(1)
    plan = pd.Categorical(random.choice(["basic", "family", "pro"], 400))
    frame = pd.DataFrame({"age": random.integers(18, 90, 400), "store": random.integers(0, 3, 400), "plan": plan})
    target = frame["age"] + np.where(frame["store"] == 1, 40, 0) - np.where(frame["plan"] == "pro", 30, 0)
    path = tmp_path / "model.txt"
    lgb.train({"verbose": -1}, lgb.Dataset(frame, target, categorical_feature=["store"]), 15).save_model(path)
    with pytest.raises(InvalidModel, match=r"takes categories as codes \(store\); write a model\.yaml .* INT64 where callers send"):
        loading.load(path)
    document = {"name": "m", "runtime": "lightgbm", "outputs": [{"name": "y"}], "artifact": {"uri": "model.txt"}}
    age = {"name": "age", "datatype": "INT32"}
    plans = {"name": "plan", "datatype": "BYTES", "categories": ["basic", "family", "pro"]}
    predicted = np.asarray(lgb.Booster(model_file=path).predict(frame))
    for store in ({"datatype": "INT64"}, {"datatype": "INT64", "categories": [0, 1, 2]}):
        (tmp_path / "model.yaml").write_text(yaml.safe_dump(document | {"inputs": [age, {"name": "store", **store}, plans]}))
        loaded = loading.load(tmp_path)
        rows = loaded.encoder.objects(frame.astype(object).to_dict("records"))
        assert loaded.model.predict(rows.values, rows.count).values.tobytes() == predicted.tobytes()
    short = {"name": "store", "datatype": "INT64", "categories": [1, 2]}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(document | {"inputs": [age, short, plans]}))
    with pytest.raises(InvalidModel, match=r"store of the model m has 2 categories, its artifact .* has codes up to 2; name the"):
        loading.load(tmp_path)


def test_codes_are_left_to_a_transform(tmp_path: Path, write_module: WriteModule) -> None:
    write_module("little", LITTLE)
    write_module("little_transform", "def transform(record):\n    return {'city': 7.0, 'size': record['size']}\n")
    write_little(tmp_path / "m", {"city": ["oslo", "lima"]}, CITY, SIZE, transform="little_transform", features=["city", "size"])
    assert loading.load(tmp_path / "m").encoder.record({"city": "rome", "size": 1}).tolist() == [7.0, 1.0]


@pytest.mark.parametrize("digest", [True, False])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def load(path):\n    raise ValueError('bad\\nmagic')", r"(ValueError: bad )?magic;"),
        ("def load(path):\n    return object()", "AttributeError: 'object' object has no attribute 'signature';"),
        ("def load(path):\n    return 1", "AttributeError: 'int' object has no attribute 'signature';"),
        ("def load():\n    return 1", r"TypeError: load\(\) takes 0 positional arguments but 1 was given;"),
        ("def load(", "SyntaxError: "),
    ],
)
def test_a_user_s_runtime_may_raise_anything(
    digest: bool, text: str, reason: str, tmp_path: Path, write_module: WriteModule, caplog: pytest.LogCaptureFixture
) -> None:
    write_module("broken", text)
    change: dict[str, Any] = {} if digest else {"artifact": {"uri": "model.ubj"}}
    write_little(tmp_path / "m", {}, SIZE, **change)
    (tmp_path / "m" / "model.yaml").write_text((tmp_path / "m" / "model.yaml").read_text().replace("runtime: little", "runtime: broken"))
    caplog.set_level(logging.DEBUG, "tidegate.artifact")
    with pytest.raises(InvalidModel, match=rf"the runtime broken cannot load .*model\.ubj: {reason}") as caught:
        loading.load(tmp_path / "m")
    assert "\n" not in str(caught.value)
    assert "Traceback" in caplog.text


def test_a_user_s_transform_may_raise_anything(folder: Path, write_module: WriteModule) -> None:
    write_module("broken_transform", "1 / 0")
    write_card(folder, transform="broken_transform", features=NAMES)
    with pytest.raises(InvalidModel, match="the transform broken_transform of the model little cannot be imported: ZeroDivisionError"):
        loading.load(folder)


def test_each_subfolder_with_a_card_is_a_model(folder: Path, write_module: WriteModule, caplog: pytest.LogCaptureFixture) -> None:
    write_module("little", LITTLE)
    models = folder / "models"
    models.mkdir()
    write_little(models / "b", {}, SIZE, version="v2")
    write_little(models / "a", {}, SIZE, name="other", version=None)
    write_little(models / ".hidden", {}, SIZE, version="v2")
    (models / "notes").mkdir()
    (models / "README").touch()
    caplog.set_level(logging.INFO, "tidegate.artifact")
    assert [(loaded.card.name, loaded.card.version) for loaded in loading.load_all(models)] == [("other", None), ("little", "v2")]
    assert caplog.messages == [f"skipping {models / 'notes'}: it has no model.yaml"]
    assert [loaded.card.version for loaded in loading.load_all(folder)] == ["v1"]
    assert [loaded.card.version for loaded in loading.load_all(models / "b" / "model.yaml")] == ["v2"]


@pytest.mark.parametrize(("version", "called"), [("v1", "little v1"), (None, "little, without a version")])
def test_a_model_twice_is_refused_before_either_is_loaded(version: str | None, called: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_little(tmp_path / name, {}, SIZE, version=version)
    with pytest.raises(InvalidModel, match=rf"/a and .*/b are both the model {called}; give one another version"):
        loading.load_all(tmp_path)


def test_a_folder_without_any_card_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidModel, match=rf"no model\.yaml in {tmp_path} or its subfolders"):
        loading.load_all(tmp_path)


def test_a_remote_artifact_is_loaded_where_the_policy_allows_it(folder: Path, tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/bucket/little.ubj", (folder / "model.ubj").read_bytes())
    card = yaml.safe_load((folder / "model.yaml").read_text())
    write_card(folder, artifact=card["artifact"] | {"uri": "memory://bucket/little.ubj"})
    (folder / "model.ubj").unlink()
    with pytest.raises(InvalidModel, match="is not within an allowed location"):
        loading.load(folder)
    policy = Policy(allowed=("memory://bucket",), cache=tmp_path / "cache")
    assert loading.load(folder, policy).model.signature.features == tuple(NAMES)
    fsspec.filesystem("memory").rm("/bucket/little.ubj")
    assert loading.load(folder, policy).model.signature.features == tuple(NAMES)  # as it is in the cache


def test_a_start_with_a_digest_imports_nothing_slow(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from functions.runtime.artifacts.loading import load\n"
        "load(Path(sys.argv[1])); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], check=True, capture_output=True, text=True)
    slow = {"fsspec", "aiohttp", "numpy", "pandas", "xgboost", "subprocess", "tempfile", "urllib.request", "http.client", "ssl", "difflib"}
    assert slow.isdisjoint(done.stdout.split())
    assert "functions.runtime.artifacts.downloading" not in done.stdout.split()
