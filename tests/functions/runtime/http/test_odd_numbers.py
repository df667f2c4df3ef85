"""Outputs that JSON or their datatype cannot represent, and requests of Triton's clients beyond the protocol."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
import pytest
import requests
import tritonclient.http as triton
from jsonschema_rs import Draft202012Validator
from tritonclient.utils import InferenceServerException

from functions.runtime.contract.card import Artifact, Card, Input, Output, dump

# 1/a: infinity for zero, NaN for a missing value.
RUNTIME = """
import math
from array import array

from functions.runtime.contract.signature import Prediction, Signature


def load(path):
    return Reciprocal()


class Reciprocal:
    signature = Signature(1, ("a",), typecode="d", kinds={"value": (), "margin": (2,)})

    def predict(self, values, rows, kind="value"):
        found = array("d", [1 / value if value else math.copysign(math.inf, value) for value in values])
        if kind == "value":
            return Prediction(found, ())
        return Prediction(array("d", [item for value in found for item in (value, 0.5)]), (2,))
"""
OUTPUTS = (
    Output("y"),
    Output("single", "FP32"),
    Output("margin", meaning="margin"),
    Output("whole", "INT32", on_request=True),
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, start_function: Callable[..., str]) -> str:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "reciprocal.py").write_text(RUNTIME)
    (folder / "m").touch()
    card = Card("odd", (Input("a", "FP64", optional=True),), OUTPUTS, Artifact("m"), runtime="reciprocal")
    (folder / "model.yaml").write_text(dump(card))
    return start_function(folder, PYTHONPATH=str(folder))


@pytest.fixture
def client(url: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        yield client


ROWS = [0.0, None, 4.0, -0.0]
EXPECTED = [math.inf, math.nan, 0.25, -math.inf]


def column(values: list[Any], **fields: Any) -> dict[str, Any]:
    return {"name": "a", "shape": [len(values)], "datatype": "FP64", "data": values} | fields


def post(url: str, path: str, body: Any, **headers: str) -> requests.Response:
    return requests.post(url + path, orjson.dumps(body), headers={"content-type": "application/json"} | headers, timeout=30)


def test_nan_and_infinity_are_null_in_json(url: str) -> None:
    document = requests.get(f"{url}/openapi.json", timeout=30).json()
    v2 = post(url, "/v2/models/odd/infer", {"inputs": [column(ROWS)]})
    assert {tensor["name"]: tensor["data"] for tensor in v2.json()["outputs"]} == {
        "y": [None, None, 0.25, None],
        "single": [None, None, 0.25, None],
        "margin": [None, 0.5, None, 0.5, 0.25, 0.5, None, 0.5],
    }
    v1 = post(url, "/v1/models/odd:predict", {"instances": [[value] for value in ROWS]})
    assert v1.json()["predictions"][1:3] == [
        {"y": None, "single": None, "margin": [None, 0.5]},
        {"y": 0.25, "single": 0.25, "margin": [0.25, 0.5]},
    ]
    event = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/t", "ce-type": "t"}
    reply = post(url, "/models/odd", {"a": None}, **event)
    assert reply.json() == {"y": None, "single": None, "margin": [None, 0.5]}
    for answer, path in ((v2, "/v2/models/odd/infer"), (v1, "/v1/models/odd:predict")):
        schema = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())


@pytest.mark.parametrize("binary", [True, False])
def test_triton_client_reads_null_as_nan(binary: bool, client: triton.InferenceServerClient) -> None:
    tensor = triton.InferInput("a", [4], "FP64")
    tensor.set_data_from_numpy(np.array([0.0 if value is None else value for value in ROWS]), binary_data=True)
    asked = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("y", "single")]
    answer = client.infer("odd", [tensor], outputs=asked)
    infinite = [math.inf, math.inf, 0.25, -math.inf]
    for name, dtype in (("y", np.float64), ("single", np.float32)):
        wanted = infinite if binary else [value if math.isfinite(value) else math.nan for value in infinite]
        assert answer.as_numpy(name).dtype == dtype
        assert np.array_equal(answer.as_numpy(name), np.array(wanted, dtype), equal_nan=True)


@pytest.mark.parametrize("value", [None, 0.0, 1e-12])
@pytest.mark.parametrize("rows", [1, 5_000])
def test_invalid_integer_output_is_an_error(value: float | None, rows: int, url: str) -> None:
    body = {"inputs": [column([value] * rows)], "outputs": [{"name": "whole"}]}
    answer = post(url, "/v2/models/odd/infer", body)
    assert answer.json() == {
        "error": "the model odd predicts a number that its output whole (INT32) cannot hold, such as NaN; make the output FP64,"
        " or fix the runtime."
    }
    assert answer.status_code == 500
    good = post(url, "/v2/models/odd/infer", {"inputs": [column([0.5] * rows)], "outputs": [{"name": "whole"}]})
    assert good.json()["outputs"][0]["data"] == [2] * rows


@pytest.mark.parametrize("where", ["input", "output"])
def test_shared_memory_is_refused(where: str, client: triton.InferenceServerClient) -> None:
    tensor, asked = triton.InferInput("a", [1], "FP64"), triton.InferRequestedOutput("y")
    tensor.set_data_from_numpy(np.array([1.0]))
    (tensor if where == "input" else asked).set_shared_memory("region", 8)
    name = "the tensor a" if where == "input" else "the output y"
    with pytest.raises(
        InferenceServerException, match=f"unsupported parameter shared_memory_region of .*{name}; transfer the data in the body"
    ):
        client.infer("odd", [tensor], outputs=[asked])


def test_classification_is_refused(client: triton.InferenceServerClient) -> None:
    tensor = triton.InferInput("a", [1], "FP64").set_data_from_numpy(np.array([1.0]))
    with pytest.raises(InferenceServerException, match=r"unsupported parameter classification of the output y; leave it out"):
        client.infer("odd", [tensor], outputs=[triton.InferRequestedOutput("y", class_count=3)])
    assert client.infer("odd", [tensor], outputs=[triton.InferRequestedOutput("y", class_count=0)]).as_numpy("y").tolist() == [1.0]


def test_bf16_is_decoded_from_binary_and_json(url: str) -> None:
    numbers = np.array([1.0, -2.5, 3.38e38, 1e-3], np.float32)
    halved = (numbers.view(np.uint32) & 0xFFFF0000).view(np.float32).astype(np.float64)
    tensor = {"name": "a", "shape": [4], "datatype": "BF16", "parameters": {"binary_data_size": 8}}
    head = orjson.dumps({"inputs": [tensor], "outputs": [{"name": "y"}]})
    content = head + (numbers.view("<u4") >> 16).astype("<u2").tobytes()
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    found = requests.post(f"{url}/v2/models/odd/infer", content, headers=headers, timeout=30)
    assert found.json()["outputs"][0]["data"] == (1 / halved).tolist()
    json = post(url, "/v2/models/odd/infer", {"inputs": [column([1.0, None, 2], datatype="BF16")]})
    assert json.json()["outputs"][0]["data"] == [1.0, None, 0.5]
    wrong = post(url, "/v2/models/odd/infer", {"inputs": [column([1.0, 3.4e38], datatype="BF16")]})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "the tensor a has the value 3.4e+38, which is out of range for BF16.")
