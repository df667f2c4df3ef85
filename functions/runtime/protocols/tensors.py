"""Tensors of the Open Inference Protocol ("Tensor Data"), and of Triton's "Binary Tensor Data Extension".

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from functions.runtime.contract.checks import name_of, slices
from functions.runtime.contract.datatypes import DATATYPES, WHOLE
from functions.runtime.contract.outputs import OutputTensor
from functions.runtime.errors import InvalidInput
from functions.runtime.protocols import ranges

# The type code of `array` by datatype; FP16, BF16 and BOOL have no array, and BYTES has no fixed size.
_TYPECODES = {
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP32": "f",
    "FP64": "d",
}
_SIZES = {"BOOL": 1, "FP16": 2, "BF16": 2, **{datatype: array(typecode).itemsize for datatype, typecode in _TYPECODES.items()}}
# Tables have fewer; the product of many axes could be an integer of millions of digits.
_MAX_AXES = 8
# Up to this many values, the limits are not checked, so that a wrong shape is reported instead.
ALWAYS_FIT = 65_536
_LENGTH = struct.Struct("<I")
# The content types of MLServer's clients; here a tensor is decoded by the card's inputs whatever its content type.
_CONTENT_TYPES = ("np", "pd", "str")
# Unsupported parameters of Triton's clients with their remedies: ignoring them would return something else than
# requested.
_UNSUPPORTED = {
    "shared_memory_region": "transfer the data in the body",
    "classification": "leave it out and rank the probabilities",
}
_NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({})


class Tensor(NamedTuple):
    """An input of a request.

    `data` is flat and row-major: a list of JSON values, or an array (of binary data or a large request).
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Sequence[Any]


def decode(index: int, item: Any, take: Callable[[int], bytes], check: Callable[[tuple[int, ...]], None] = lambda _: None) -> Tensor:
    """Decode an item of `inputs`. Raises InvalidInput, naming the tensor.

    `take(size)` returns the next bytes after the JSON part. `check` is called with the shape once the data are known to
    match it, and before binary data are converted; it may raise. For JSON it is called only for more than ALWAYS_FIT
    values.
    """
    name, datatype, shape = _head(index, item)
    size = parameters_of(item, "the tensor", name).get("binary_data_size") if "parameters" in item else None
    count = shape[0] if len(shape) == 1 else math.prod(shape)
    if size is None:
        data = _from_json(name, datatype, shape, item.get("data"))
    else:
        content = _content(name, datatype, shape, item, size, take)
        check(shape)
        data = _READERS.get(datatype, _numbers)(name, datatype, content, count)
    if len(data) != count:
        raise InvalidInput(f"the tensor {name} has {len(data)} values, but its shape {list(shape)} requires {count}.")
    if size is None and count > ALWAYS_FIT:
        check(shape)
    return Tensor(name, datatype, shape, data)


def parameters_of(item: dict[str, Any], kind: str, name: str = "") -> Mapping[str, Any]:
    """Return the parameters of a request, a tensor or an output. Raises InvalidInput, also for unsupported ones."""
    found = item.get("parameters")
    if found is None:
        return _NO_PARAMETERS
    if not isinstance(found, dict):
        raise InvalidInput(f"the parameters of {kind}{name and ' '}{name} are {name_of(found)}", remedy="send an object")
    content_type = found.get("content_type")
    if content_type is not None and content_type not in _CONTENT_TYPES:
        raise InvalidInput(f"unsupported content_type {name_of(content_type)}", remedy=f"use one of {', '.join(_CONTENT_TYPES)}")
    for parameter, remedy in _UNSUPPORTED.items():
        if found.get(parameter):
            raise InvalidInput(f"unsupported parameter {parameter} of {kind}{name and ' '}{name}", remedy=remedy)
    return found


def to_json(tensor: OutputTensor, binary_size: int | None = None) -> dict[str, Any]:
    """Encode a tensor as JSON, with `binary_size` instead of its data if they follow in binary."""
    head: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
    if binary_size is not None:
        return {**head, "parameters": {"binary_data_size": binary_size}}
    return {**head, "data": tensor.data if isinstance(tensor.data, list) else _json_data(tensor.data)}


def to_bytes(tensor: OutputTensor) -> bytes:
    """Encode a tensor's data in binary: little-endian, each string after its length in four bytes."""
    data = tensor.data
    if isinstance(data, list):
        strings = (item.encode() for item in data)
        return b"".join(chain.from_iterable((_LENGTH.pack(len(string)), string) for string in strings))
    return _native(data).tobytes()


def _json_data(data: array[Any]) -> Any:
    """Return a list, or for a long array its JSON.

    The JSON is encoded in slices: as Python numbers the array would take many times its memory.
    """
    parts = iter(slices(data))
    first = next(parts)
    if len(first) == len(data):
        return data.tolist()
    written = (orjson.dumps(part.tolist())[1:-1] for part in chain([first], parts))
    return orjson.Fragment(b"[%b]" % b",".join(written))


def _head(index: int, item: Any) -> tuple[str, str, tuple[int, ...]]:
    if not isinstance(item, dict):
        raise InvalidInput(f"inputs[{index}] is {name_of(item)}", remedy="send a tensor {name, shape, datatype, data}")
    name, datatype, shape = item.get("name"), item.get("datatype"), item.get("shape")
    if not isinstance(name, str) or not name:
        raise InvalidInput(f"inputs[{index}] has no name", remedy="name the tensor")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise InvalidInput(f"the tensor {name} has the unknown datatype {_shown(datatype)}", remedy=f"use one of {', '.join(DATATYPES)}")
    if not isinstance(shape, list) or not 1 <= len(shape) <= _MAX_AXES:
        raise _bad_shape(name, shape)
    for size in shape:
        if type(size) is not int or size < 0:
            raise _bad_shape(name, shape)
    return name, datatype, tuple(shape)


def _bad_shape(name: str, shape: Any) -> InvalidInput:
    return InvalidInput(f"the tensor {name} has the invalid shape {_shown(shape)}", remedy="send a list of integers, rows first")


def _shown(value: Any) -> str:
    """Return the beginning of a string or a flat list. Nested values may be too deep for Python to print."""
    if isinstance(value, str):
        return repr(value[:40])
    if isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value):
        return str(value[: _MAX_AXES + 1])[:40]
    return name_of(value)


def _from_json(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> Sequence[Any]:
    if isinstance(data, array):  # flat, and of numbers: checked while parsing
        ranges.check_array(name, datatype, data)
        return data
    if not isinstance(data, list):
        raise InvalidInput(f"the tensor {name} has no data", remedy="send a list of values, row by row")
    flat = _flat(name, data, shape) if len(shape) > 1 else data
    wanted = _JSON_TYPES.get(datatype)
    if wanted is not None and not set(map(type, flat)) <= wanted:
        wrong = next(value for value in flat if type(value) not in wanted)
        raise InvalidInput(f"the tensor {name} of {datatype} has the value {name_of(wrong)}.")
    ranges.check_list(name, datatype, flat)
    return flat


# Null is a missing value in any tensor. The values of FP tensors are checked by the model's inputs.
_JSON_TYPES: dict[str, frozenset[type]] = {
    "BOOL": frozenset({bool, type(None)}),
    "BYTES": frozenset({str, type(None)}),
    **dict.fromkeys(WHOLE, frozenset({int, type(None)})),
}


def _flat(name: str, data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Flatten nested lists, at most as deep as the shape has axes.

    Raises InvalidInput for rows of different lengths.
    """
    for size in shape[1:]:
        if not data or type(data[0]) is not list or set(map(type, data)) != {list}:
            break
        if set(map(len, data)) != {size}:
            raise InvalidInput(f"the tensor {name} has rows of another length than in its shape {list(shape)}", remedy="send complete rows")
        data = list(chain.from_iterable(data))
    return data


def _content(name: str, datatype: str, shape: tuple[int, ...], item: Any, size: Any, take: Callable[[int], bytes]) -> bytes:
    if "data" in item:
        raise InvalidInput(f"the tensor {name} has both data and binary_data_size", remedy="send one of them")
    if type(size) is not int or size < 0:
        raise InvalidInput(f"the tensor {name} has the invalid binary_data_size {name_of(size)}", remedy="send the number of bytes")
    wanted = math.prod(shape) * _SIZES.get(datatype, 0)
    if datatype != "BYTES" and size != wanted:
        raise InvalidInput(f"the tensor {name} has {size} bytes, but its shape {list(shape)} of {datatype} requires {wanted}.")
    content = take(size)
    if len(content) != size:
        raise InvalidInput(f"the tensor {name} has a binary_data_size of {size} bytes, but only {len(content)} are left in the body.")
    return content


def _numbers(name: str, datatype: str, content: bytes, count: int) -> Sequence[Any]:
    found = array(_TYPECODES[datatype])
    found.frombytes(content)
    return _native(found)


def _halves(name: str, datatype: str, content: bytes, count: int) -> Sequence[Any]:
    found = array("f")
    for part in slices(content):
        found.extend(array("f", struct.unpack(f"<{len(part) // 2}e", part)))
    return found


def _brains(name: str, datatype: str, content: bytes, count: int) -> Sequence[Any]:
    """Decode BF16: the upper half of the bytes of an FP32."""
    widened = bytearray(2 * len(content))
    widened[2::4], widened[3::4] = content[::2], content[1::2]
    found = array("f")
    found.frombytes(widened)
    return _native(found)


def _bools(name: str, datatype: str, content: bytes, count: int) -> Sequence[Any]:
    if content.strip(b"\0\1"):
        raise InvalidInput(f"the tensor {name} of BOOL has a byte that is neither 0 nor 1.")
    return [value for part in slices(content) for value in map(bool, part)]


def _strings(name: str, datatype: str, content: bytes, count: int) -> Sequence[Any]:
    try:
        # One more than expected is enough to find the mismatch.
        return list(islice(_each_string(content), count + 1))
    except UnicodeDecodeError:
        raise InvalidInput(f"the tensor {name} has a string that is not UTF-8.") from None
    except (struct.error, EOFError):
        raise InvalidInput(
            f"the tensor {name} ends within a string", remedy="send each string after its length in four bytes, little-endian"
        ) from None


def _each_string(content: bytes) -> Iterator[str]:
    position = 0
    while position < len(content):
        (length,) = _LENGTH.unpack_from(content, position)
        position += _LENGTH.size
        if position + length > len(content):
            raise EOFError
        yield str(content[position : position + length], "utf-8")
        position += length


_READERS: dict[str, Callable[[str, str, bytes, int], Sequence[Any]]] = {"FP16": _halves, "BF16": _brains, "BOOL": _bools, "BYTES": _strings}


def _native(values: array[Any]) -> array[Any]:
    """Convert between this machine's byte order and the protocol's, which is little-endian."""
    if sys.byteorder == "little":
        return values
    swapped = values[:]
    swapped.byteswap()
    return swapped
