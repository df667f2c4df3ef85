"""Large requests: lists of numbers become arrays as they are parsed, in a quarter of the time, and without a number of Python for each.

By simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019). Whatever it finds amiss, the ordinary parser has the last
word.
"""

from __future__ import annotations

from array import array
from typing import Any

from functions.runtime.contract.datatypes import FLOATS, WHOLE
from functions.runtime.protocols.body import parse_json

# Below this the ordinary parser is as fast.
LARGE_BYTES = 8 * 1024
# As what the numbers of a tensor are read, by its datatype: doubles, or whole numbers of 64 bits.
_TYPES = {**dict.fromkeys(FLOATS, "d"), **dict.fromkeys(WHOLE, "i")}
# A request has four of its own, a tensor five.
_MOST_MEMBERS = 32
_TYPECODES = {"d": "d", "i": "q"}


class _Unusual(Exception):
    """The lists of the request are not those that its shapes account for."""


def parse_request(body: bytes) -> Any:
    """A request of the Open Inference Protocol, with an array of "d" or "q" for the data of each tensor, flat, if all of them are numbers
    throughout and nested as their shapes say. Otherwise it is what `parse_json` gives. Raises InvalidInput."""
    import simdjson  # here, since most requests are small, and a start is shorter without it

    try:
        if body.startswith(b"\xef"):  # a byte order mark, which JSON must not have (RFC 8259, section 8.1)
            raise _Unusual
        request = _members(simdjson.Parser().parse(body))
        tensors = [_tensor(item) for item in request.pop("inputs")]
        request = {name: _plain(value) for name, value in request.items()}
        # An array no longer shows how its numbers were nested, so every list of the body must be accounted for.
        if body.count(b"[") != 1 + _lists(request) + sum(count for _, count in tensors):
            raise _Unusual
    except (_Unusual, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return parse_json(body)
    return {**request, "inputs": [tensor for tensor, _ in tensors]}


def _tensor(item: Any) -> tuple[dict[str, Any], int]:
    """A tensor, and how many lists it has."""
    tensor = _members(item)
    data = tensor.pop("data")
    tensor = {name: _plain(value) for name, value in tensor.items()}
    kind = _TYPES[tensor["datatype"]]
    numbers = array(_TYPECODES[kind])
    numbers.frombytes(data.as_buffer(of_type=kind))
    return {**tensor, "data": numbers}, _lists(tensor) + _lists_of_data(data, tensor["shape"])


def _lists_of_data(data: Any, shape: list[int]) -> int:
    """One if it is flat, or a list of rows. Raises _Unusual for rows that are not of one length, and for more axes."""
    if not isinstance(data[0], type(data)):
        return 1
    rows, width = shape
    if len(data) != rows or any(len(row) != width for row in data):
        raise _Unusual
    return 1 + rows


def _members(item: Any) -> dict[str, Any]:
    """Not `items()`, which would make lists of Python of all that is below."""
    if len(item) > _MOST_MEMBERS:  # each is looked for from the first one on
        raise _Unusual
    members = {name: item[name] for name in item}
    # Of two members of one name this gave the first, and a dict has the last; and a name is looked for up to a NUL.
    if len(members) < len(item) or any("\0" in name for name in members):
        raise _Unusual
    return members


def _plain(value: Any) -> Any:
    """Objects and lists as Python has them. Raises _Unusual for long ones, which the ordinary parser makes faster."""
    if hasattr(value, "as_dict"):
        return {name: _plain(item) for name, item in _members(value).items()}
    if not hasattr(value, "as_list"):
        return value
    if len(value) > _MOST_MEMBERS:
        raise _Unusual
    return [_plain(item) for item in value]


def _lists(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_lists, value.values()))
    return 1 + sum(map(_lists, value)) if isinstance(value, list) else 0
