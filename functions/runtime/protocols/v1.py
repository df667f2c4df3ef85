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
    from functions.runtime.inference.dataplane import ServedModel


def parse(document: Any, model: ServedModel) -> Rows:
    """Rows as lists in the card's order, or as objects by input name. Raises InvalidInput and TooLarge.

    KServe takes `inputs` for `instances`, too.
    """
    instances = _instances(document) if isinstance(document, dict) else None
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('the request has no instances; send {"instances": [row, …]} with at least one row.')
    model.check_rows(len(instances))
    encoder = model.encoder
    return encoder.lists(instances) if isinstance(instances[0], list) else encoder.objects(instances)


def _instances(document: dict[str, Any]) -> Any:
    if "instances" in document and "inputs" in document:
        raise InvalidInput("the request has both instances and inputs; send one of them.")
    return document.get("instances", document.get("inputs"))


def explained(outputs: Outputs) -> ServedOutput:
    """The output that explains the others. Raises InvalidInput for a model that has none."""
    for output in outputs.all:
        if output.meaning == "contributions":
            return output
    raise InvalidInput("the model cannot explain its predictions: its runtime gives no contributions; ask for :predict.")


def explained_columns(card: Card) -> tuple[str, ...]:
    """What the values of an explanation belong to: the features, and last the bias, under a name that no feature has."""
    return (*card.columns, "bias" if "bias" not in card.columns else "(bias)")


def explanations(columns: Sequence[str], answered: Sequence[OutputTensor]) -> dict[str, Any]:
    """For each row what each feature adds to the margin, by name, and the bias; of a model with several classes, a list of that."""
    (tensor,) = answered

    def named(row: list[Any]) -> Any:
        return [named(item) for item in row] if isinstance(row[0], list) else dict(zip(columns, row, strict=True))

    return {"explanations": [named(row) for row in rows_of(tensor)]}


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
