"""Example requests in every format, which can be sent as they are.

Their row is the card's example, or made from the inputs.
"""

from __future__ import annotations

import math
from typing import Any

from functions.runtime.contract.card import Card, Input
from functions.runtime.contract.checks import range_of
from functions.runtime.contract.datatypes import WHOLE
from functions.runtime.documentation.model_spec import ModelSpec

Example = dict[str, Any]


def record(card: Card) -> Example:
    """Return the example row by input name."""
    return dict(card.example) if card.example else {item.name: _made(item) for item in card.inputs}


def v1(card: Card) -> dict[str, Example]:
    """Return examples of V1: a row as an object and as a list."""
    row = record(card)
    return {
        "objects": _example("One row, by input name", {"instances": [row]}),
        "lists": _example("One row, in the order of the inputs", {"instances": [[row.get(item.name) for item in card.inputs]]}),
    }


def v2(model: ModelSpec) -> dict[str, Example]:
    """Return examples of V2: a tensor per input, a matrix if all inputs are numbers, and a request for all outputs."""
    row = record(model.card)
    columns = [_tensor(item.name, item.datatype, [1], [row[item.name]]) for item in model.card.inputs if row.get(item.name) is not None]
    found = {"columns": _example("One row, a tensor for each input", {"inputs": columns})}
    if all(item.datatype not in ("BYTES", "BOOL") for item in model.card.inputs):
        data = [row.get(item.name) for item in model.card.inputs]
        matrix = _tensor("rows", _common_datatype(model.card), [1, len(data)], data)
        found["matrix"] = _example("One row, all inputs in one tensor", {"inputs": [matrix]})
    if len(model.outputs.all) > len(model.outputs.default):
        outputs = [{"name": item.name} for item in model.outputs.all]
        found["outputs"] = _example("With all outputs, including those on request", {"inputs": columns, "outputs": outputs})
    return found


def event(card: Card) -> Example:
    """Return an example of a structured event."""
    return {
        "specversion": "1.0",
        "id": "1",
        "source": "/docs",
        "type": f"{card.name}.requested",
        "datacontenttype": "application/json",
        "data": record(card),
    }


def _example(summary: str, value: Any) -> Example:
    return {"summary": summary, "value": value}


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def _common_datatype(card: Card) -> str:
    datatypes = {item.datatype for item in card.inputs}
    return datatypes.pop() if len(datatypes) == 1 else "FP64"


def _made(item: Input) -> Any:
    if item.categories is not None:
        return item.categories[0] if item.categories else None
    if item.datatype == "BYTES":
        return "text"
    if item.datatype == "BOOL":
        return False
    least, most = range_of(item)
    if item.datatype in WHOLE:
        return min(max(0, math.ceil(least)), math.floor(most))
    return min(max(0.0, least), most)
