"""What replies of models say: their scores and ids, and which events of a batch failed. Pure functions on bodies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from eventing.types import INFERENCE_FAILED

# The replies to batches that have a failed event, and few others, contain it.
FAILED = f'"{INFERENCE_FAILED}"'.encode()
# An output is a number, or a list of numbers, in a record by output name.
_DEEPEST = 3


class Answer(NamedTuple):
    """What a reply says of one item: the numbers of the first numeric output, and the id of the prediction."""

    numbers: list[float]
    id: str | None = None


_NOTHING = Answer([])


def scores_of(body: bytes, items: int) -> list[list[float]]:
    """The numbers of each of the `items` that a reply answers."""
    return [answer.numbers for answer in answers_of(body, items)]


def answers_of(body: bytes, items: int, event_id: str | None = None) -> list[Answer]:
    """What a reply says of each of its `items`.

    A reply is one of the Open Inference Protocol (V2), of V1, or the data of an event with this id, an event, or a
    batch of them. One item may have several numbers: one for each row. It has none where the reply has no number, and
    so has each item of a reply that cannot be read. An id is that of an item with one number: where several rows have
    one, it names none of them.
    """
    value = _parsed(body)
    if isinstance(value, list):
        found = [_event_answer(event) for event in value]
    elif isinstance(value, dict) and "specversion" in value:
        found = [_event_answer(value)]
    elif items > 1:
        found = [Answer([number]) for number in _rows(value)]
    else:
        found = [_answer(_rows(value), _id_of(value) if event_id is None else event_id)]
    if items == 1 and len(found) > 1:  # a batch of events that all have the key of the request
        return [Answer([number for answer in found for number in answer.numbers])]
    return found if len(found) == items else [_NOTHING] * items


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


def _event_answer(event: Any) -> Answer:
    """What an event says; a failed one has no number, although its problem has a status."""
    if not isinstance(event, dict) or event.get("type") == INFERENCE_FAILED:
        return _NOTHING
    return _answer(_rows(event.get("data")), _id_of(event))


def _answer(numbers: list[float], identity: str | None) -> Answer:
    return Answer(numbers, identity if len(numbers) == 1 else None)


def _id_of(value: Any) -> str | None:
    identity = value.get("id") if isinstance(value, dict) else None
    return identity if isinstance(identity, str) and identity else None


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
