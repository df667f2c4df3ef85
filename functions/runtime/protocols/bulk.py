"""Parsing of large requests: lists of numbers become arrays, in a quarter of the time.

It uses simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019), without a Python object per
number. Where simdjson finds a fault, the ordinary parser decides.
"""

from __future__ import annotations

from array import array
from typing import Any

from functions.runtime.contract.datatypes import FLOATS, WHOLE
from functions.runtime.protocols.body import parse_json

# Below this the ordinary parser is as fast.
LARGE_BYTES = 8 * 1024
# The element type of a tensor's numbers by its datatype: doubles, or integers of 64 bits.
_TYPES = {**dict.fromkeys(FLOATS, "d"), **dict.fromkeys(WHOLE, "i")}
# The protocol has four members of a request and five of a tensor.
_MOST_MEMBERS = 32
_TYPECODES = {"d": "d", "i": "q"}


class _NeedsSlowPath(Exception):
    """The request needs the ordinary parser, such as one whose lists do not match its shapes."""


def parse_request(body: bytes) -> Any:
    """Parse a request of the Open Inference Protocol, with a flat array of "d" or "q" for the data of each tensor.

    If any tensor has other data than numbers, nested as its shape says, the result is that of `parse_json`. Raises
    InvalidInput.
    """
    import simdjson  # here, since most requests are small, and a cold start is shorter without it

    try:
        if body.startswith(b"\xef"):  # a byte order mark, which JSON must not have (RFC 8259, section 8.1)
            raise _NeedsSlowPath
        request = _members(simdjson.Parser().parse(body))
        tensors = [_tensor(item) for item in request.pop("inputs")]
        request = {name: _plain(value) for name, value in request.items()}
        # An array does not show how its numbers were nested, so every list of the body must be accounted for.
        if body.count(b"[") != 1 + _lists(request) + sum(count for _, count in tensors):
            raise _NeedsSlowPath
    except (_NeedsSlowPath, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return parse_json(body)
    return {**request, "inputs": [tensor for tensor, _ in tensors]}


def _tensor(item: Any) -> tuple[dict[str, Any], int]:
    """Parse a tensor; returns it with its number of lists."""
    tensor = _members(item)
    data = tensor.pop("data")
    tensor = {name: _plain(value) for name, value in tensor.items()}
    kind = _TYPES[tensor["datatype"]]
    numbers = array(_TYPECODES[kind])
    numbers.frombytes(data.as_buffer(of_type=kind))
    return {**tensor, "data": numbers}, _lists(tensor) + _lists_of_data(data, tensor["shape"])


def _lists_of_data(data: Any, shape: list[int]) -> int:
    """Count the lists of flat data or of rows.

    Raises _NeedsSlowPath for rows of different lengths, and for more axes.
    """
    if not isinstance(data[0], type(data)):
        return 1
    rows, width = shape
    if len(data) != rows or any(len(row) != width for row in data):
        raise _NeedsSlowPath
    return 1 + rows


def _members(item: Any) -> dict[str, Any]:
    """Return an object's members. Unlike `items()` it does not convert nested lists to Python objects."""
    if len(item) > _MOST_MEMBERS:  # each lookup scans from the first one
        raise _NeedsSlowPath
    members = {name: item[name] for name in item}
    # Of two members of one name simdjson returns the first, and a dict has the last; a lookup stops at a NUL in a name.
    if len(members) < len(item) or any("\0" in name for name in members):
        raise _NeedsSlowPath
    return members


def _plain(value: Any) -> Any:
    """Convert to Python objects and lists.

    Raises _NeedsSlowPath for long ones, which the ordinary parser makes faster.
    """
    if hasattr(value, "as_dict"):
        return {name: _plain(item) for name, item in _members(value).items()}
    if not hasattr(value, "as_list"):
        return value
    if len(value) > _MOST_MEMBERS:
        raise _NeedsSlowPath
    return [_plain(item) for item in value]


def _lists(value: Any) -> int:
    """Count the lists in a value."""
    if isinstance(value, dict):
        return sum(map(_lists, value.values()))
    return 1 + sum(map(_lists, value)) if isinstance(value, list) else 0
