"""Open Inference requests with a routing key for each row: split by arm, and joined from the replies to the parts.

Pure functions. Tensors are JSON or binary, each as it was sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import orjson

from functions.router import binary
from functions.router.call import JSON_LENGTH, json_length
from functions.router.parts import Part, UnusableReply, dump, in_order
from functions.runtime.errors import BadAnswer, InvalidInput
from functions.runtime.protocols.routing import KEYS, REVISION
from functions.runtime.protocols.timeout import PARAMETER, timeout_of

Message = dict[str, Any]
# A request that does not contain it has no routing keys, and is not parsed.
NEEDLE = f'"{KEYS}"'.encode()
# One that does not contain this says nothing of how long its caller waits.
TIMEOUT_NEEDLE = f'"{PARAMETER}"'.encode()
# Tables have fewer; the product of many axes could be an integer of millions of digits.
_MOST_AXES = 8


@dataclass(frozen=True, slots=True)
class Keyed:
    """A request with a key for each row. `rows` are those of each input: of `binary.rows_of`, None for one in JSON."""

    message: Message
    rows: Sequence[Sequence[Any] | None]


class Body(NamedTuple):
    """A body, and the length of its JSON part if binary tensors follow."""

    content: bytes
    json_length: int | None = None


def parse(body: bytes, length: int | None = None) -> Keyed | None:
    """Parse a request with `parameters.routing_keys`; None if it has none.

    `length` is that of the JSON part if binary tensors follow. Raises InvalidInput unless there is a string for each
    row of each input.
    """
    head = body if length is None else body[:length]
    if NEEDLE not in head:
        return None
    try:
        request = orjson.loads(head)
    except orjson.JSONDecodeError as error:
        remedy = "name the length of the JSON part in Inference-Header-Content-Length if binary tensors follow"
        raise InvalidInput(f"the body is not JSON: {error}", remedy=remedy) from None
    keys = request["parameters"].get(KEYS) if isinstance(request, dict) and isinstance(request.get("parameters"), dict) else None
    if keys is None:
        return None
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise InvalidInput(f"parameters.{KEYS} must be an array of strings, one for each row.")
    return Keyed(request, _rows(request, len(keys), memoryview(body)[len(head) :]))


def seconds_of(head: bytes) -> float | None:
    """The seconds that the caller of a request waits, by its JSON part; None also if its revision has to refuse it."""
    try:
        return timeout_of(orjson.loads(head)["parameters"])
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError, InvalidInput):
        return None


def keys_of(request: Keyed) -> list[bytes]:
    """The routing key of each row."""
    return [key.encode() for key in request.message["parameters"][KEYS]]


def take(request: Keyed, positions: Sequence[int]) -> Body:
    """The request with only the rows at these positions, and without the keys. Raises InvalidInput."""
    message = request.message
    contents: list[bytes] = []
    inputs = [_take(tensor, rows, positions, contents) for tensor, rows in zip(message["inputs"], request.rows, strict=True)]
    parameters = {name: value for name, value in message["parameters"].items() if name != KEYS}
    part = {**message, "parameters": parameters, "inputs": inputs}
    if not parameters:
        del part["parameters"]
    return _body(dump(part), contents)


def join(parts: Sequence[Part]) -> Body:
    """One reply from those of the parts, with an additional output `revision` that names the revision of each row.

    Outputs are flat and row-major, and binary where the revisions return them in binary. `model_version` is left out
    when the parts differ in it. Raises UnusableReply for a part, and BadAnswer if the parts do not fit together.
    """
    replies = [_parsed(part) for part in parts]
    first = replies[0]
    contents: list[bytes] = []
    outputs = [_join(index, replies, contents) for index in range(len(first.message["outputs"]))]
    names = in_order((reply.positions, [reply.revision] * len(reply.positions)) for reply in replies)
    outputs.append({"name": REVISION, "shape": [len(names)], "datatype": "BYTES", "data": names})
    joined = {**first.message, "outputs": outputs}
    if any(reply.message.get("model_version") != first.message.get("model_version") for reply in replies):
        joined.pop("model_version", None)
    return _body(orjson.dumps(joined), contents)


def _body(head: bytes, contents: Sequence[bytes]) -> Body:
    return Body(b"".join((head, *contents)), len(head)) if contents else Body(head)


def _rows(request: Message, count: int, rest: memoryview) -> list[Sequence[Any] | None]:
    """The rows of each input. Raises InvalidInput."""
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not inputs or count == 0:
        raise InvalidInput("the request has no inputs or no rows", remedy=f"send inputs with a row for each of {KEYS}")
    take = _taker(rest)
    found = [_rows_of_input(tensor, count, take) for tensor in inputs]
    if left := len(take(None)):
        raise InvalidInput(f"{left} bytes follow those of the tensors, whose {binary.SIZE} add up to {len(rest) - left}.")
    return found


def _rows_of_input(tensor: Any, count: int, take: Callable[[int | None], memoryview]) -> Sequence[Any] | None:
    size = _binary_size(tensor)
    if not isinstance(tensor, dict) or not _is_shape(tensor.get("shape")) or (size is None and not isinstance(tensor.get("data"), list)):
        raise InvalidInput(f"each input needs a shape, and data as JSON or in binary, to go with {KEYS}.")
    name, shape = tensor.get("name"), tensor["shape"]
    if shape[0] != count:
        raise InvalidInput(f"{KEYS} has {count} keys, but input {name} has {shape[0]} rows", remedy="send one key a row")
    if size is None:
        if _stride(tensor) is None:
            raise InvalidInput(f"input {name} has {len(tensor['data'])} values, which its shape {shape} does not hold.")
        return None
    try:
        return binary.rows_of(take(size), tensor.get("datatype"), count, math.prod(shape[1:]))
    except ValueError as error:
        raise InvalidInput(f"input {name} has {error}.") from None


def _taker(rest: memoryview) -> Callable[[int | None], memoryview]:
    """A function that takes the next bytes, or all that are left."""
    position = 0

    def take(size: int | None) -> memoryview:
        nonlocal position
        start, position = position, len(rest) if size is None else position + size
        return rest[start:position]

    return take


def _binary_size(tensor: Any) -> int | None:
    """The `binary_data_size` of a tensor; None if its data are JSON."""
    parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
    size = parameters.get(binary.SIZE) if isinstance(parameters, dict) else None
    return size if type(size) is int and size >= 0 else None


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= _MOST_AXES and all(type(size) is int and size >= 0 for size in value)


def _stride(tensor: Message) -> int | None:
    """The number of items of `data` for one row: its width when flat, one when nested, None when neither fits."""
    rows, items = tensor["shape"][0], len(tensor["data"])
    width: int = math.prod(tensor["shape"][1:])
    if items == rows * width:
        return width
    return 1 if items == rows else None


def _take(tensor: Message, rows: Sequence[Any] | None, positions: Sequence[int], contents: list[bytes]) -> Message:
    shape = [len(positions), *tensor["shape"][1:]]
    if rows is not None:
        content = binary.join([rows[position] for position in positions], tensor["datatype"], math.prod(shape[1:]))
        contents.append(content)
        return {**tensor, "shape": shape, "parameters": {**tensor["parameters"], binary.SIZE: len(content)}}
    data, stride = tensor["data"], _stride(tensor)
    assert stride is not None  # noqa: S101 checked by `parse`
    if stride == 1:
        taken = [data[position] for position in positions]
    else:
        taken = [value for position in positions for value in data[position * stride : (position + 1) * stride]]
    return {**tensor, "shape": shape, "data": taken}


@dataclass(frozen=True, slots=True)
class _Reply:
    """The reply to a part. `rows` are those of each output: of `binary.rows_of`, None for one in JSON, which is flat."""

    revision: str
    positions: Sequence[int]
    message: Message
    rows: Sequence[Sequence[Any] | None]


def _parsed(part: Part) -> _Reply:
    """The reply to a part. Raises UnusableReply."""
    revision, count, body = part.arm.revision, len(part.positions), part.reply.body
    length = json_length(part.reply.header(JSON_LENGTH), len(body))
    try:
        reply = orjson.loads(body if length is None else body[:length])
        take = _taker(memoryview(body)[len(body) if length is None else length :])
        rows = [_rows_of_output(tensor, count, take, part) for tensor in reply["outputs"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        raise UnusableReply(part, f"revision {revision} did not return outputs as tensors") from None
    return _Reply(revision, part.positions, dict(reply), rows)


def _rows_of_output(tensor: Message, count: int, take: Callable[[int | None], memoryview], part: Part) -> Sequence[Any] | None:
    shape, size = tensor["shape"], _binary_size(tensor)
    wrong = UnusableReply(
        part, f"revision {part.arm.revision} returned the wrong number of values for {count} rows in output {tensor['name']}"
    )
    if shape[0] != count:
        raise wrong
    if size is not None:
        try:
            return binary.rows_of(take(size), tensor["datatype"], count, math.prod(shape[1:]))
        except ValueError:
            raise wrong from None
    tensor["data"] = _flat(tensor["data"])
    if len(tensor["data"]) != math.prod(shape):
        raise wrong
    return None


def _flat(data: list[Any]) -> list[Any]:
    while data and isinstance(data[0], list):
        data = list(chain.from_iterable(data))
    return data


def _join(index: int, replies: Sequence[_Reply], contents: list[bytes]) -> Message:
    tensor: Message = replies[0].message["outputs"][index]
    shape, is_binary = tensor["shape"][1:], replies[0].rows[index] is not None
    width = math.prod(shape)
    parts: list[tuple[Sequence[int], Sequence[Any]]] = []
    for reply in replies:
        outputs = reply.message["outputs"]
        other = outputs[index] if index < len(outputs) else {}
        if (
            other.get("name") != tensor["name"]
            or other["shape"][1:] != shape
            or _form(other, reply, index) != _form(tensor, replies[0], index)
        ):
            raise BadAnswer(
                f"revisions {replies[0].revision} and {reply.revision} return different outputs, which cannot be joined",
                remedy="name one of them by Tidegate-Revision",
            )
        rows = reply.rows[index]
        if rows is None:
            rows = [other["data"][row * width : (row + 1) * width] for row in range(len(reply.positions))]
        parts.append((reply.positions, rows))
    ordered = in_order(parts)
    joined = {**tensor, "shape": [len(ordered), *shape]}
    if not is_binary:
        return {**joined, "data": list(chain.from_iterable(ordered))}
    content = binary.join(ordered, tensor["datatype"], width)
    contents.append(content)
    return {**joined, "parameters": {**tensor["parameters"], binary.SIZE: len(content)}}


def _form(tensor: Message, reply: _Reply, index: int) -> str | None:
    """The datatype of an output in binary, whose rows are joined as bytes; None in JSON."""
    return None if reply.rows[index] is None else tensor["datatype"]
