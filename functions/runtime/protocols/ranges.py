"""Whether the numbers of a JSON tensor are such as its datatype can hold. Binary tensors cannot have others."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Any

from functions.runtime.checks import are_ordinary, slices
from functions.runtime.datatypes import FLOATS, WHOLE, bounds_of
from functions.runtime.errors import InvalidInput

_BOUNDS = {datatype: bounds_of(datatype) for datatype in (*WHOLE, *FLOATS)}
# `struct` refuses what would be rounded to infinity (though not in the machine's own format), and is the fastest look at a list.
_PACKED = {"FP16": "e", "FP32": "f"}
# Of the eight bytes of a whole number, those that are zero if it fits and is not negative; the highest of the others is below 128.
_BYTES = {datatype: int(datatype.partition("INT")[2]) // 8 for datatype in WHOLE}
_BELOW_128 = bytes(range(128))
_ORDER = range(8) if sys.byteorder == "little" else range(7, -1, -1)


def check_list(name: str, datatype: str, values: list[Any]) -> None:
    """`values` are of JSON: null passes, and what is no number is for the model's inputs to refuse. Raises InvalidInput."""
    if datatype not in _BOUNDS or datatype == "FP64":  # JSON has no number beyond FP64
        return
    packed = _PACKED.get(datatype)
    if packed is not None and _can_pack(packed, values):
        return
    if packed is None and datatype in WHOLE and None not in values and _are_within(values, datatype):
        return
    _refuse_first(name, datatype, values)


def check_array(name: str, datatype: str, values: array[Any]) -> None:
    """`values` are an array of "q" for whole numbers, of "d" for others. Raises InvalidInput."""
    if datatype in WHOLE:
        fine = datatype == "INT64" or _are_small(values, _BYTES[datatype]) or _are_within(values, datatype)
    else:
        # Anything that is ordinary in single precision, BF16 can hold, except the very largest.
        fine = datatype == "FP64" or (datatype == "FP32" and are_ordinary(values, "f")) or _are_within(values, datatype)
    if not fine:
        _refuse_first(name, datatype, values)


def _can_pack(typecode: str, values: list[Any]) -> bool:
    try:
        for part in slices(values):
            struct.pack(f"<{len(part)}{typecode}", *part)
    except (OverflowError, struct.error):
        return False
    return True


def _are_small(values: array[int], size: int) -> bool:
    """Whether all are from 0 to the greatest signed number of `size` bytes, which takes a fifth of the time of a look at each."""
    for part in slices(values):
        content = part.tobytes()
        if content[_ORDER[size - 1] :: 8].translate(None, _BELOW_128):
            return False
        if any(content[place::8].strip(b"\0") for place in _ORDER[size:]):
            return False
    return True


def _are_within(values: Sequence[float], datatype: str) -> bool:
    least, most = _BOUNDS[datatype]
    return all(least <= min(part) and max(part) <= most for part in slices(values) if part)


def _refuse_first(name: str, datatype: str, values: Sequence[Any]) -> None:
    least, most = _BOUNDS[datatype]
    for value in values:
        if type(value) in (int, float) and not least <= value <= most:
            shown = float(value) if datatype in FLOATS else value
            raise InvalidInput(f"the tensor {name} is {datatype}, but has the value {shown!r}, which {datatype} cannot hold.")
