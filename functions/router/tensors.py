"""Open Inference requests with a routing key for each row: split by arm, and joined from the replies to the parts.

Pure functions on parsed JSON.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import orjson

from functions.router.parts import Part, dump, in_order
from functions.runtime.errors import BadAnswer, InvalidInput
from functions.runtime.protocols.routing import KEYS, REVISION

Message = dict[str, Any]
# A request that does not contain it has no routing keys, and is not parsed.
NEEDLE = f'"{KEYS}"'.encode()


def parse(body: bytes) -> Message | None:
    """Parse a request with `parameters.routing_keys`; None if it has none.

    Raises InvalidInput unless there is a string for each row of each input.
    """
    if NEEDLE not in body:
        return None
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error}", remedy=f"send JSON tensors, not binary ones, with {KEYS}") from None
    keys = request["parameters"].get(KEYS) if isinstance(request, dict) and isinstance(request.get("parameters"), dict) else None
    if keys is None:
        return None
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise InvalidInput(f"parameters.{KEYS} must be an array of strings, one for each row.")
    _check(request, len(keys))
    return dict(request)


def keys_of(request: Message) -> list[bytes]:
    """The routing key of each row."""
    return [key.encode() for key in request["parameters"][KEYS]]


def take(request: Message, positions: Sequence[int]) -> bytes:
    """The request with only the rows at these positions, and without the keys. Raises InvalidInput."""
    # Replies are joined as JSON even if binary data was requested, which the protocol allows.
    parameters = {name: value for name, value in request["parameters"].items() if name not in (KEYS, "binary_data_output")}
    part = {**request, "parameters": parameters, "inputs": [_take(tensor, positions) for tensor in request["inputs"]]}
    if not parameters:
        del part["parameters"]
    if isinstance(request.get("outputs"), list):
        part["outputs"] = [_as_json(output) for output in request["outputs"]]
    return dump(part)


def join(parts: Sequence[Part]) -> bytes:
    """One reply from those of the parts, with an additional output `revision` that names the revision of each row.

    Outputs are flat and row-major. `model_version` is left out when the parts differ in it. Raises BadAnswer.
    """
    replies = [(part.arm.revision, part.positions, _parsed(part)) for part in parts]
    first = replies[0][2]
    outputs = [_join(index, tensor, replies) for index, tensor in enumerate(first["outputs"])]
    names = in_order((positions, [revision] * len(positions)) for revision, positions, _ in replies)
    outputs.append({"name": REVISION, "shape": [len(names)], "datatype": "BYTES", "data": names})
    joined = {**first, "outputs": outputs}
    if any(reply.get("model_version") != first.get("model_version") for _, _, reply in replies):
        joined.pop("model_version", None)
    return orjson.dumps(joined)


def _check(request: Message, rows: int) -> None:
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not inputs or rows == 0:
        raise InvalidInput("the request has no inputs or no rows", remedy=f"send inputs with a row for each of {KEYS}")
    for tensor in inputs:
        if not isinstance(tensor, dict) or not _is_shape(tensor.get("shape")) or not isinstance(tensor.get("data"), list):
            raise InvalidInput(f"each input needs a shape and data as JSON to go with {KEYS}.")
        if tensor["shape"][0] != rows:
            raise InvalidInput(
                f"{KEYS} has {rows} keys, but input {tensor.get('name')} has {tensor['shape'][0]} rows", remedy="send one key a row"
            )
        if _stride(tensor) is None:
            raise InvalidInput(
                f"input {tensor.get('name')} has {len(tensor['data'])} values, which its shape {tensor['shape']} does not hold."
            )


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(size) is int and size >= 0 for size in value)


def _stride(tensor: Message) -> int | None:
    """The number of items of `data` for one row: its width when flat, one when nested, None when neither fits."""
    rows, items = tensor["shape"][0], len(tensor["data"])
    width: int = math.prod(tensor["shape"][1:])
    if items == rows * width:
        return width
    return 1 if items == rows else None


def _take(tensor: Message, positions: Sequence[int]) -> Message:
    data, stride = tensor["data"], _stride(tensor)
    assert stride is not None  # noqa: S101 checked by `parse`
    if stride == 1:
        taken = [data[position] for position in positions]
    else:
        taken = [value for position in positions for value in data[position * stride : (position + 1) * stride]]
    return {**tensor, "shape": [len(positions), *tensor["shape"][1:]], "data": taken}


def _as_json(output: Any) -> Any:
    """A requested output without `binary_data`; an invalid one is left for the model to refuse."""
    parameters = output.get("parameters") if isinstance(output, dict) else None
    if not isinstance(parameters, dict) or "binary_data" not in parameters:
        return output
    return {**output, "parameters": {name: value for name, value in parameters.items() if name != "binary_data"}}


def _parsed(part: Part) -> Message:
    """The reply to a part, with flat outputs. Raises BadAnswer."""
    revision, rows = part.arm.revision, len(part.positions)
    try:
        reply = orjson.loads(part.reply.body)
        for tensor in reply["outputs"]:
            tensor["data"] = _flat(tensor["data"])
            if tensor["shape"][0] != rows or len(tensor["data"]) != math.prod(tensor["shape"]):
                raise BadAnswer(f"revision {revision} returned the wrong number of values for {rows} rows in output {tensor['name']}.")
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        raise BadAnswer(f"revision {revision} did not return outputs as JSON tensors", remedy="see its log") from None
    return dict(reply)


def _flat(data: list[Any]) -> list[Any]:
    while data and isinstance(data[0], list):
        data = list(chain.from_iterable(data))
    return data


def _join(index: int, tensor: Message, replies: Sequence[tuple[str, Sequence[int], Message]]) -> Message:
    shape = tensor["shape"][1:]
    width = math.prod(shape)
    parts = []
    for revision, positions, reply in replies:
        other = reply["outputs"][index] if index < len(reply["outputs"]) else {}
        if other.get("name") != tensor["name"] or other["shape"][1:] != shape:
            raise BadAnswer(
                f"revisions {replies[0][0]} and {revision} return different outputs, which cannot be joined",
                remedy="name one of them by Tidegate-Revision",
            )
        parts.append((positions, [other["data"][row * width : (row + 1) * width] for row in range(len(positions))]))
    rows = in_order(parts)
    return {**tensor, "shape": [len(rows), *shape], "data": list(chain.from_iterable(rows))}
