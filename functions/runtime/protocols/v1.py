"""The V1 protocol (https://kserve.github.io/website, "V1 Inference Protocol"): instances in, predictions out."""

from __future__ import annotations

from typing import Any

from functions.runtime.dataplane import Scores
from functions.runtime.encoding import Encoder, Rows
from functions.runtime.errors import InvalidInput


def decode(body: Any, encoder: Encoder) -> Rows:
    """Rows as lists in the card's order, or as objects by input name."""
    instances = body.get("instances") if isinstance(body, dict) else None
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('the request has no instances; send {"instances": [row, …]} with at least one row.')
    if isinstance(instances[0], list):
        return encoder.rows_by_position(instances)
    for instance in instances:
        if isinstance(instance, dict):
            encoder.check_names(instance)
    return encoder.records(instances)


def encode(scores: Scores) -> dict[str, Any]:
    if scores.width == 1:
        return {"predictions": scores.values.tolist()}
    return {"predictions": [scores.row(index) for index in range(scores.count)]}
