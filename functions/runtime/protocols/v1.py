"""The V1 protocol (https://kserve.github.io/website, "V1 Inference Protocol"): instances in, predictions out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from functions.runtime.encoding import Rows
from functions.runtime.errors import InvalidInput
from functions.runtime.outputs import OutputTensor

if TYPE_CHECKING:
    from functions.runtime.dataplane import ServedModel


def parse(document: Any, model: ServedModel) -> Rows:
    """Rows as lists in the card's order, or as objects by input name. Raises InvalidInput and TooLarge."""
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('the request has no instances; send {"instances": [row, …]} with at least one row.')
    model.check_rows(len(instances))
    encoder = model.encoder
    return encoder.lists(instances) if isinstance(instances[0], list) else encoder.objects(instances)


def document_of(answered: Sequence[OutputTensor]) -> dict[str, Any]:
    """A prediction a row: the output's value, or an object by output name where the model has several."""
    columns = {tensor.name: rows_of(tensor) for tensor in answered}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]}


def rows_of(tensor: OutputTensor) -> list[Any]:
    """A value a row, nested as the tensor's shape is."""
    data = tensor.data if isinstance(tensor.data, list) else tensor.data.tolist()
    for axis in reversed(range(1, len(tensor.shape))):
        size = tensor.shape[axis]
        groups = math.prod(tensor.shape[:axis])
        data = [data[index * size : (index + 1) * size] for index in range(groups)]
    return data
