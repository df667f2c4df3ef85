from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, meta

from functions.runtime.documentation import examples, schemas
from functions.runtime.documentation.model_spec import ModelSpec

Describe = Callable[..., ModelSpec]


def test_schemas_are_valid_and_have_their_path_as_id(describe: Describe) -> None:
    found = schemas.documents(describe(), "/schemas/loans")
    assert list(found) == ["/schemas/loans/request.json", "/schemas/loans/response.json", "/schemas/loans/problem.json"]
    for path, schema in found.items():
        assert schema["$id"] == path
        meta.validate(schema)
    assert "dev.tidegate.inference.completed from the model loans 2" in found["/schemas/loans/response.json"]["title"]


def test_event_data_is_a_row_or_a_v1_or_v2_request(describe: Describe) -> None:
    model = describe()
    check = Draft202012Validator(schemas.request(model))
    requests = [example["value"] for style in (examples.v1(model.card), examples.v2(model)) for example in style.values()]
    for data in [*requests, {**model.card.example, "flight": "UA 1545"} if model.card.example else {}]:
        check.validate(data)
    assert schemas.request(model)["examples"] == [model.card.example]


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"age": 40},
        {"instances": []},
        {"instances": [{"age": 40, "sector": "public", "member": True, "sectr": 1}]},
        {"instances": [[40, None, "public", True], {"age": 40, "sector": "public", "member": True}]},
        {"inputs": []},
        {"inputs": [{"name": "age", "shape": [1], "datatype": "UINT8"}]},
        {"inputs": [{"name": "age", "shape": [1], "datatype": "FLOAT", "data": [1]}]},
        {"inputs": [{"name": "age", "shape": [-1], "datatype": "UINT8", "data": [1]}]},
        {"inputs": [{"name": "age", "shape": [1], "datatype": "UINT8", "data": [1]}], "outputs": [{"name": "nothing"}]},
    ],
)
def test_other_event_data_is_refused(data: Any, describe: Describe) -> None:
    assert not Draft202012Validator(schemas.request(describe())).is_valid(data)


def test_response_has_the_format_of_its_request(describe: Describe) -> None:
    check = Draft202012Validator(schemas.response(describe()))
    tensor = {"name": "default", "datatype": "FP32", "shape": [1], "data": [0.25]}
    row = {"default": 0.25, "decision": "no"}
    right: list[Any] = [row, {"predictions": [row]}, {"model_name": "loans", "model_version": "2", "outputs": [tensor]}]
    wrong: list[Any] = [{"default": 0.25}, {"predictions": [0.25]}, {"model_name": "loans", "model_version": "1", "outputs": [tensor]}]
    assert [check.is_valid(data) for data in right + wrong] == [True] * 3 + [False] * 3
