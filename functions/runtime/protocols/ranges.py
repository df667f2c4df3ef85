"""Whether the numbers of a JSON tensor are such as its datatype can hold. Binary tensors cannot have others."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from functions.runtime.contract.checks import SLICE, are_ordinary, slices
from functions.runtime.contract.datatypes import FLOATS, WHOLE, bounds_of
from functions.runtime.errors import InvalidInput

_BOUNDS = {datatype: bounds_of(datatype) for datatype in (*WHOLE, *FLOATS)}
# In the standard format `struct` refuses what does not fit, what would be rounded to infinity too: the fastest look at a list.
_PACKED = {"FP16": "e", "FP32": "f", **dict(zip(WHOLE, "BHIQbhiq", strict=True))}
_SIZES = {datatype: struct.calcsize(f"<{_PACKED[datatype]}") for datatype in WHOLE}
# The places of the eight bytes of a whole number, the lowest first.
_ORDER = range(8) if sys.byteorder == "little" else range(7, -1, -1)
_NUMBERS = (int, float)
_BELOW_128 = bytes(range(128))


def check_list(name: str, datatype: str, values: list[Any]) -> None:
    """`values` are of JSON: null passes, and what is no number is for the model's inputs to refuse. Raises InvalidInput."""
    typecode = _PACKED.get(datatype)
    if len(values) == 1 and typecode is not None:  # a column of one row: a comparison takes an eighth of the time
        least, most = _BOUNDS[datatype]
        if type(values[0]) in _NUMBERS and least <= values[0] <= most:
            return
    if typecode is None:
        if datatype == "BF16":
            _refuse_first(name, datatype, values)
    elif not _can_be_packed(typecode, values) and not _can_be_packed(typecode, list(filter(None, values))):
        _refuse_first(name, datatype, values)


def check_array(name: str, datatype: str, values: array[Any]) -> None:
    """`values` are an array of "q" for whole numbers, of "d" for others. Raises InvalidInput."""
    if datatype in ("INT64", "FP64"):
        return
    quick = _are_small(values, _SIZES[datatype]) if datatype in WHOLE else datatype == "FP32" and are_ordinary(values, "f")
    if not quick and not _can_be_packed(_PACKED.get(datatype, "e"), values):
        _refuse_first(name, datatype, values)


def _can_be_packed(typecode: str, values: Sequence[Any]) -> bool:
    try:
        if len(values) <= SLICE:  # as nearly all are: for these, not even a call more
            _packer(typecode, len(values))(*values)
            return True
        for part in slices(values):
            _packer(typecode, len(part))(*part)
    except (OverflowError, struct.error):
        return False
    return True


@lru_cache(64)
def _packer(typecode: str, count: int) -> Callable[..., bytes]:
    return struct.Struct(f"<{count}{typecode}").pack


def _are_small(values: array[int], size: int) -> bool:
    """Whether all are from 0 to the greatest signed number of `size` bytes: by the bytes, in a fraction of the time of packing them."""
    for part in slices(values):
        content = part.tobytes()
        if content[_ORDER[size - 1] :: 8].translate(None, _BELOW_128):
            return False
        zeros = bytes(len(part))
        if any(content[place::8] != zeros for place in _ORDER[size:]):
            return False
    return True


def _refuse_first(name: str, datatype: str, values: Sequence[Any]) -> None:
    least, most = _BOUNDS[datatype]
    for value in values:
        if type(value) in (int, float) and not least <= value <= most:
            shown = float(value) if datatype in FLOATS else value
            raise InvalidInput(f"the tensor {name} is {datatype}, but has the value {shown!r}, which {datatype} cannot hold.")
