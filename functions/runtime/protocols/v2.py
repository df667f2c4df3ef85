"""The Open Inference Protocol, V2 REST (https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from functions.runtime.card import DATATYPES, Card
from functions.runtime.dataplane import Scores
from functions.runtime.encoding import Encoder, Rows
from functions.runtime.errors import InvalidInput


def metadata(card: Card, width: int) -> dict[str, Any]:
    """Model metadata ("Model Metadata"): the real inputs and outputs, -1 for the number of rows."""
    return {
        "name": card.name,
        **({"versions": [card.version]} if card.version else {}),
        "platform": f"tidegate_{card.runtime}",
        "inputs": [
            {"name": item.name, "datatype": item.datatype, "shape": [-1], "parameters": {"optional": item.optional}} for item in card.inputs
        ],
        "outputs": [
            {"name": item.name, "datatype": item.datatype, "shape": _shape(-1, width), "parameters": {"description": item.description}}
            for item in card.outputs
        ],
    }


def decode(body: Any, encoder: Encoder) -> Rows:
    """The rows of an inference request: one tensor a column, or one 2-D tensor with every column in the card's order."""
    if not isinstance(body, dict):
        raise InvalidInput('the body is not a JSON object; send {"inputs": [...]}.')
    tensors = body.get("inputs")
    if not isinstance(tensors, list) or not tensors:
        raise InvalidInput("the request has no inputs; send at least one tensor {name, shape, datatype, data}.")
    decoded = [_tensor(index, tensor) for index, tensor in enumerate(tensors)]
    name, shape, data = decoded[0]
    if len(decoded) == 1 and len(shape) == 2 and name not in {item.name for item in encoder.inputs}:
        return _matrix(name, shape, data, encoder)
    return encoder.records(_columns(decoded, encoder))


def encode(card: Card, scores: Scores, request_id: Any) -> dict[str, Any]:
    """An inference response. Fields without a value are left out: the schema allows no null."""
    return {
        "model_name": card.name,
        **({"model_version": card.version} if card.version else {}),
        **({"id": request_id} if isinstance(request_id, str) else {}),
        "outputs": [
            {
                "name": card.outputs[0].name,
                "shape": _shape(scores.count, scores.width),
                "datatype": card.outputs[0].datatype,
                "data": scores.values.tolist(),
            }
        ],
    }


def _shape(count: int, width: int) -> list[int]:
    return [count] if width == 1 else [count, width]


def _tensor(index: int, tensor: Any) -> tuple[str, list[int], list[Any]]:
    if not isinstance(tensor, dict):
        raise InvalidInput(f"inputs[{index}] is not an object; send a tensor {{name, shape, datatype, data}}.")
    name, shape, datatype, data = (tensor.get(field) for field in ("name", "shape", "datatype", "data"))
    if not isinstance(name, str) or not name:
        raise InvalidInput(f"inputs[{index}] has no name.")
    if datatype not in DATATYPES:
        raise InvalidInput(f"the tensor {name} has the datatype {datatype!r}; use one of {', '.join(DATATYPES)}.")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
        raise InvalidInput(f"the tensor {name} has the shape {shape!r}; a shape is a list of whole numbers, rows first.")
    if not isinstance(data, list):
        raise InvalidInput(f"the tensor {name} has no data; send a list of values, row by row.")
    flat = list(_flatten(data, len(shape) - 1)) if data and isinstance(data[0], list) else data
    if len(flat) != math.prod(shape):
        raise InvalidInput(f"the tensor {name} has {len(flat)} values; its shape {shape} means {math.prod(shape)}.")
    return name, shape, flat


def _flatten(data: list[Any], depth: int) -> Iterator[Any]:
    """Nested lists, at most as deep as the shape has axes."""
    for item in data:
        if isinstance(item, list) and depth > 0:
            yield from _flatten(item, depth - 1)
        else:
            yield item


def _matrix(name: str, shape: list[int], data: list[Any], encoder: Encoder) -> Rows:
    count, width = shape
    if width != len(encoder.inputs):
        names = ", ".join(item.name for item in encoder.inputs)
        raise InvalidInput(f"the tensor {name} has {width} columns; the model takes {len(encoder.inputs)}: {names}.")
    return encoder.rows_by_position(data[row * width : (row + 1) * width] for row in range(count))


def _columns(tensors: list[tuple[str, list[int], list[Any]]], encoder: Encoder) -> Iterator[dict[str, Any]]:
    names = [name for name, _, _ in tensors]
    encoder.check_names(names)
    if len(set(names)) != len(names):
        raise InvalidInput(f"a tensor is sent twice: {', '.join(sorted(name for name in set(names) if names.count(name) > 1))}.")
    count = tensors[0][1][0]
    for name, shape, _ in tensors:
        if shape not in ([count], [count, 1]):
            raise InvalidInput(f"the tensor {name} has the shape {shape}; each column has one value a row: [{count}] or [{count}, 1].")
    return (dict(zip(names, row, strict=True)) for row in zip(*(data for _, _, data in tensors), strict=True))
