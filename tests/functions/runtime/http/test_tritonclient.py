"""The official client of the Open Inference Protocol, with JSON and with binary tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
import xgboost as xgb
from tritonclient.utils import InferenceServerException

from functions.runtime.contract.card import Artifact, Card, Input, Output, dump

NAMES = ["a", "b", "c", "d", "e"]
KINDS = ("apple", "pear", "quince")


@pytest.fixture(scope="module")
def booster(table: tuple[np.ndarray, np.ndarray]) -> xgb.Booster:
    features, target = table
    matrix = xgb.DMatrix(features, target > 0.3, feature_names=NAMES)
    return xgb.train({"max_depth": 4, "objective": "binary:logistic"}, matrix, 10)


@pytest.fixture(scope="module")
def folder(booster: xgb.Booster, table: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a model of numbers, and one with a category."""
    folder = tmp_path_factory.mktemp("models")
    inputs = tuple(Input(name, "FP32", optional=True) for name in NAMES)
    for version in ("9", "10"):
        (folder / version).mkdir()
        booster.save_model(folder / version / "m.ubj")
        card = Card("little", inputs, (Output("p"), Output("kind", meaning="label", classes=("no", "yes"))), Artifact("m.ubj"), version)
        (folder / version / "model.yaml").write_text(dump(card))
    (folder / "fruit").mkdir()
    codes = np.floor(table[0][:, :2] * 2.9)
    fruit = xgb.DMatrix(codes, table[1], feature_names=["kind", "grams"], feature_types=["c", "q"], enable_categorical=True)
    xgb.train({"max_depth": 4}, fruit, 10).save_model(folder / "fruit/m.ubj")
    card = Card("fruit", (Input("kind", "BYTES", categories=KINDS), Input("grams", "FP64")), (Output("price"),), Artifact("m.ubj"))
    (folder / "fruit/model.yaml").write_text(dump(card))
    return folder


@pytest.fixture(scope="module")
def url(folder: Path, start_function: Callable[..., str]) -> str:
    return start_function(folder, TIDEGATE_MODEL_CONTROL="true")


@pytest.fixture
def client(url: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        yield client


def features_of(table: tuple[np.ndarray, np.ndarray], count: int) -> np.ndarray:
    return table[0][:count]


def matrix(features: np.ndarray, *, binary: bool) -> triton.InferInput:
    tensor = triton.InferInput("x", list(features.shape), "FP32")
    return tensor.set_data_from_numpy(features, binary_data=binary)


def test_server_reports_its_metadata_and_models(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("little", "9")
    assert client.get_server_metadata()["extensions"] == [
        "binary_tensor_data",
        "model_repository",
        "model_configuration",
        "statistics",
    ]
    metadata = client.get_model_metadata("little")
    assert metadata["versions"] == ["9", "10"]
    assert [item["name"] for item in metadata["inputs"]] == NAMES
    assert [item["name"] for item in metadata["outputs"]] == ["p", "kind", "margin", "contributions", "leaf"]
    assert {(item["name"], item.get("version"), item["state"]) for item in client.get_model_repository_index()} == {
        ("little", "9", "READY"),
        ("little", "10", "READY"),
        ("fruit", None, "READY"),
    }


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("binary_output", [True, False])
@pytest.mark.parametrize("count", [1, 600])
def test_scores_equal_the_booster_s_bit_by_bit(
    binary_input: bool,
    binary_output: bool,
    count: int,
    client: triton.InferenceServerClient,
    booster: xgb.Booster,
    table: tuple[np.ndarray, np.ndarray],
) -> None:
    features = features_of(table, count) if binary_input else np.nan_to_num(features_of(table, count), nan=0.5)
    asked = [triton.InferRequestedOutput(name, binary_data=binary_output) for name in ("p", "kind", "margin", "contributions", "leaf")]
    answer = client.infer("little", [matrix(features, binary=binary_input)], outputs=asked, request_id="mine")
    rows = xgb.DMatrix(features, feature_names=NAMES)
    expected = booster.predict(rows)
    assert answer.get_response()["id"] == "mine"
    assert answer.get_response()["model_version"] == "10"
    assert np.array_equal(answer.as_numpy("p"), expected)
    kinds = np.where(expected > 0.5, b"yes", b"no") if binary_output else np.where(expected > 0.5, "yes", "no")
    assert np.array_equal(answer.as_numpy("kind").astype(kinds.dtype), kinds)
    assert np.array_equal(answer.as_numpy("margin"), booster.predict(rows, output_margin=True))
    assert np.array_equal(answer.as_numpy("contributions"), booster.predict(rows, pred_contribs=True))
    assert np.array_equal(answer.as_numpy("leaf"), booster.predict(rows, pred_leaf=True))


@pytest.mark.parametrize("binary", [True, False])
def test_tensor_per_column_in_any_order_and_precision(
    binary: bool, client: triton.InferenceServerClient, booster: xgb.Booster, table: tuple[np.ndarray, np.ndarray]
) -> None:
    features = np.round(np.nan_to_num(features_of(table, 50)) * 4)
    kinds = {
        "a": ("FP64", np.float64),
        "b": ("INT64", np.int64),
        "c": ("UINT8", np.uint8),
        "d": ("FP16", np.float16),
        "e": ("INT32", np.int32),
    }
    inputs = []
    for name in "edcba":
        datatype, dtype = kinds[name]
        tensor = triton.InferInput(name, [50, 1], datatype)
        inputs.append(tensor.set_data_from_numpy(features[:, [NAMES.index(name)]].astype(dtype), binary_data=binary or datatype == "FP16"))
    answer = client.infer("little", inputs, model_version="9")
    assert answer.get_response()["model_version"] == "9"
    assert np.array_equal(answer.as_numpy("p"), booster.predict(xgb.DMatrix(features, feature_names=NAMES)))


@pytest.mark.parametrize("binary", [True, False])
def test_categories_are_strings(binary: bool, client: triton.InferenceServerClient, folder: Path) -> None:
    kinds = np.array([["pear"], ["apple"], ["quince"]] * 20, dtype=object)
    grams = np.linspace(0, 2, 60).reshape(-1, 1)
    inputs = [triton.InferInput("grams", [60, 1], "FP64"), triton.InferInput("kind", [60, 1], "BYTES")]
    inputs[0].set_data_from_numpy(grams, binary_data=binary)
    inputs[1].set_data_from_numpy(kinds, binary_data=binary)
    codes = np.array([KINDS.index(kind) for kind in kinds.ravel()])
    rows = xgb.DMatrix(np.column_stack([codes, grams]), feature_names=["kind", "grams"], feature_types=["c", "q"], enable_categorical=True)
    expected = xgb.Booster(model_file=folder / "fruit/m.ubj").predict(rows)
    assert np.array_equal(client.infer("fruit", inputs).as_numpy("price"), expected)


def test_client_raises_the_error_sentences(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="has 3 columns, but the model has 5 inputs"):
        client.infer("little", [matrix(np.zeros((1, 3), np.float32), binary=True)])
    with pytest.raises(InferenceServerException, match="no output q; its outputs are p, kind"):
        client.infer("little", [matrix(np.zeros((1, 5), np.float32), binary=True)], outputs=[triton.InferRequestedOutput("q")])
    with pytest.raises(InferenceServerException, match="model 'none' not found; this function serves "):
        client.infer("none", [matrix(np.zeros((1, 5), np.float32), binary=True)])


def test_model_is_unloaded_and_loaded_as_configured_only(client: triton.InferenceServerClient) -> None:
    client.unload_model("fruit")
    assert not client.is_model_ready("fruit")
    states = {item["name"]: item["state"] for item in client.get_model_repository_index()}
    assert states == {"little": "READY", "fruit": "UNAVAILABLE"}
    with pytest.raises(InferenceServerException, match="loading takes no parameters"):
        client.load_model("fruit", config='{"backend": "python"}')
    client.load_model("fruit")
    assert client.is_model_ready("fruit")
    with pytest.raises(InferenceServerException, match="model 'other' not found"):
        client.load_model("other")


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("count", [1, 600])
def test_compressed_request_is_decompressed(
    algorithm: str, count: int, client: triton.InferenceServerClient, booster: xgb.Booster, table: tuple[np.ndarray, np.ndarray]
) -> None:
    features = features_of(table, count)
    answer = client.infer("little", [matrix(features, binary=True)], request_compression_algorithm=algorithm)
    assert np.array_equal(answer.as_numpy("p"), booster.predict(xgb.DMatrix(features, feature_names=NAMES)))


def test_the_configuration_is_that_of_the_card(client: triton.InferenceServerClient) -> None:
    config = client.get_model_config("fruit")
    assert (config["name"], config["backend"], config["max_batch_size"]) == ("fruit", "xgboost", 100_000)
    assert [(item["name"], item["data_type"], item["dims"]) for item in config["input"]] == [
        ("kind", "TYPE_STRING", [1]),
        ("grams", "TYPE_FP64", [1]),
    ]
    outputs = {item["name"]: (item["data_type"], item["dims"]) for item in config["output"]}
    assert (outputs["price"], outputs["contributions"]) == (("TYPE_FP32", [1]), ("TYPE_FP32", [3]))
    assert client.get_model_config("little", "9")["name"] == "little"
    with pytest.raises(InferenceServerException, match="model 'none' not found"):
        client.get_model_config("none")


def test_statistics_count_rows_calls_and_failures(client: triton.InferenceServerClient) -> None:
    def counted(version: str) -> tuple[int, int, int, int]:
        (found,) = client.get_inference_statistics("little", version)["model_stats"]
        stats = found["inference_stats"]
        assert stats["success"]["ns"] >= stats["compute_infer"]["ns"] >= 0
        return found["inference_count"], found["execution_count"], stats["success"]["count"], stats["fail"]["count"]

    before = counted("9")
    client.infer("little", [matrix(np.zeros((100, 5), np.float32), binary=True)], model_version="9")
    with pytest.raises(InferenceServerException):
        client.infer("little", [matrix(np.zeros((1, 3), np.float32), binary=True)], model_version="9")
    after = counted("9")
    assert [new - old for new, old in zip(after, before, strict=True)][::2] == [100, 1]
    assert after[1] > before[1]
    assert after[3] == before[3] + 1
    assert [item["version"] for item in client.get_inference_statistics("little")["model_stats"]] == ["10", "9"]
    assert {item["name"] for item in client.get_inference_statistics()["model_stats"]} == {"little", "fruit"}
