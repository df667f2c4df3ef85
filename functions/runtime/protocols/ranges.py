"""Range checks: the numbers of a JSON tensor must fit its datatype. Those of binary tensors always do."""

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
# In its standard format `struct` rejects numbers that do not fit, or would be rounded to infinity: the fastest check of
# a list.
_PACKED = {"FP16": "e", "FP32": "f", **dict(zip(WHOLE, "BHIQbhiq", strict=True))}
_SIZES = {datatype: struct.calcsize(f"<{_PACKED[datatype]}") for datatype in WHOLE}
# The positions of the eight bytes of an integer, the lowest first.
_ORDER = range(8) if sys.byteorder == "little" else range(7, -1, -1)
_NUMBERS = (int, float)
_BELOW_128 = bytes(range(128))


def check_list(name: str, datatype: str, values: list[Any]) -> None:
    """Check values of JSON.

    Null passes, and values of other types are left to the model's inputs. Raises InvalidInput.
    """
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
    """Check an array, which is of "q" for integer datatypes and of "d" for others. Raises InvalidInput."""
    if datatype in ("INT64", "FP64"):
        return
    quick = _are_small(values, _SIZES[datatype]) if datatype in WHOLE else datatype == "FP32" and are_ordinary(values, "f")
    if not quick and not _can_be_packed(_PACKED.get(datatype, "e"), values):
        _refuse_first(name, datatype, values)


def _can_be_packed(typecode: str, values: Sequence[Any]) -> bool:
    try:
        if len(values) <= SLICE:  # nearly all: these need no slicing
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
    """Return whether all are between 0 and the largest signed integer of `size` bytes.

    This takes a fraction of the time of packing them.
    """
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
            raise InvalidInput(f"the tensor {name} has the value {shown!r}, which is out of range for {datatype}.")
