"""The V1 protocol (https://kserve.github.io/website, "V1 Inference Protocol"): instances in, predictions out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from functions.runtime.contract.card import Card
from functions.runtime.contract.encoding import Rows
from functions.runtime.contract.outputs import Outputs, OutputTensor, ServedOutput
from functions.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from functions.runtime.protocols.model import ModelContract


def parse(document: Any, model: ModelContract) -> Rows:
    """Decode rows, which are lists in the card's order or objects by input name. Raises InvalidInput and TooLarge.

    Like KServe it accepts `inputs` for `instances`.
    """
    instances = _instances(document) if isinstance(document, dict) else None
    if not isinstance(instances, list) or not instances:
        raise InvalidInput("the request has no instances", remedy='send {"instances": [row, …]} with at least one row')
    model.check_rows(len(instances))
    encoder = model.encoder
    return encoder.lists(instances) if isinstance(instances[0], list) else encoder.objects(instances)


def _instances(document: dict[str, Any]) -> Any:
    if "instances" in document and "inputs" in document:
        raise InvalidInput("the request has both instances and inputs", remedy="send one of them")
    return document.get("instances", document.get("inputs"))


def explained(outputs: Outputs) -> ServedOutput:
    """Find the output with the contributions of features. Raises InvalidInput for a model without one."""
    for output in outputs.all:
        if output.meaning == "contributions":
            return output
    raise InvalidInput("the model cannot explain its predictions: its runtime has no contributions", remedy="use :predict")


def explained_columns(card: Card) -> tuple[str, ...]:
    """Return the names of an explanation's values: the features, and last the bias, under a unique name."""
    return (*card.columns, "bias" if "bias" not in card.columns else "(bias)")


def explanations(columns: Sequence[str], tensors: Sequence[OutputTensor]) -> dict[str, Any]:
    """Encode contributions to the margin: for each row an object by feature, with the bias.

    For several classes it is a list of objects.
    """
    (tensor,) = tensors

    def named(row: list[Any]) -> Any:
        return [named(item) for item in row] if isinstance(row[0], list) else dict(zip(columns, row, strict=True))

    return {"explanations": [named(row) for row in rows_of(tensor)]}


def document_of(tensors: Sequence[OutputTensor]) -> dict[str, Any]:
    """Encode predictions: for each row the output's value, or an object by output name for several outputs."""
    columns = {tensor.name: rows_of(tensor) for tensor in tensors}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]}


def rows_of(tensor: OutputTensor) -> list[Any]:
    """Return a value for each row, nested as in the tensor's shape."""
    data = tensor.data if isinstance(tensor.data, list) else tensor.data.tolist()
    for axis in reversed(range(1, len(tensor.shape))):
        size = tensor.shape[axis]
        groups = math.prod(tensor.shape[:axis])
        data = [data[index * size : (index + 1) * size] for index in range(groups)]
    return data
