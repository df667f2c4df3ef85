"""What replies of models say: their scores, and which events of a batch failed. Pure functions on bodies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from eventing.types import INFERENCE_FAILED

# The replies to batches that have a failed event, and few others, contain it.
FAILED = f'"{INFERENCE_FAILED}"'.encode()
# An output is a number, or a list of numbers, in a record by output name.
_DEEPEST = 3


def scores_of(body: bytes, items: int) -> list[list[float]]:
    """The numbers of the first numeric output, for each of the `items` that a reply answers.

    A reply is one of the Open Inference Protocol (V2), of V1, or the data of an event, an event, or a batch of them.
    One item may have several numbers: one for each row. It has none where the reply has no number, and so has each
    item of a reply that cannot be read.
    """
    value = _parsed(body)
    if isinstance(value, list):
        found = [_event_rows(event) for event in value]
    elif isinstance(value, dict) and "specversion" in value:
        found = [_event_rows(value)]
    else:
        found = [[number] for number in _rows(value)] if items > 1 else [_rows(value)]
    if items == 1:  # a batch of events that all have the key of the request
        return [[number for numbers in found for number in numbers]]
    return found if len(found) == items else [[]] * items


def failed_statuses(body: bytes) -> list[int]:
    """The status of each event in the reply to a batch; 0 for one that did not fail."""
    value = _parsed(body)
    return [_status(event) for event in value] if isinstance(value, list) else []


def disagreement(caller: list[float], shadow: list[float], tolerance: float | None) -> tuple[bool, float] | None:
    """Whether two answers to an item disagree, and their largest difference; None if they cannot be compared.

    Without a tolerance, a score is the probability of a class: they disagree if one is on the other side of 0.5.
    """
    if not caller or len(caller) != len(shadow):
        return None
    pairs = list(zip(caller, shadow, strict=True))
    difference = max((theirs - ours for ours, theirs in pairs), key=abs)
    if tolerance is None:
        return any((ours >= 0.5) != (theirs >= 0.5) for ours, theirs in pairs), difference
    return abs(difference) > tolerance, difference


def _status(event: Any) -> int:
    if not isinstance(event, dict) or event.get("type") != INFERENCE_FAILED:
        return 0
    data = event.get("data")
    status = data.get("status") if isinstance(data, dict) else None
    return status if type(status) is int else 500


def _event_rows(event: Any) -> list[float]:
    """The numbers in the data of an event; a failed one has none, although its problem has a status."""
    return _rows(event.get("data")) if isinstance(event, dict) and event.get("type") != INFERENCE_FAILED else []


def _rows(value: Any) -> list[float]:
    """The number of each row of the data of an answer."""
    if isinstance(value, dict):
        if isinstance(outputs := value.get("outputs"), list):
            return next((rows for output in outputs if (rows := _tensor_rows(output))), [])
        if isinstance(predictions := value.get("predictions"), list):
            return _all_numbers(predictions)
    number = _number(value)
    return [] if number is None else [number]


def _tensor_rows(tensor: Any) -> list[float]:
    """The first number of each row of a tensor."""
    data = tensor.get("data") if isinstance(tensor, dict) else None
    shape = tensor.get("shape") if isinstance(tensor, dict) else None
    if not isinstance(data, list) or not isinstance(shape, list) or not shape:
        return []
    count = shape[0]
    if type(count) is not int or not 0 < count <= len(data) or len(data) % count:
        return []
    return _all_numbers(data[:: len(data) // count])


def _all_numbers(rows: list[Any]) -> list[float]:
    """The number of each row; none unless each has one."""
    found = [number for row in rows if (number := _number(row)) is not None]
    return found if len(found) == len(rows) else []


def _number(value: Any, depth: int = 0) -> float | None:
    """The first number in a value: itself, or that of the first item that has one."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if abs(value) < 1e300 else None
    if depth < _DEEPEST and isinstance(value, (dict, list)):
        return next(_numbers(value.values() if isinstance(value, dict) else value[:1], depth + 1), None)
    return None


def _numbers(values: Iterable[Any], depth: int) -> Iterator[float]:
    return (number for value in values if (number := _number(value, depth)) is not None)


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
