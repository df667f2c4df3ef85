"""The tensor datatypes of a table of features (Open Inference Protocol V2, "Tensor Data Types")."""

from __future__ import annotations

import math

WHOLE = ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64")
# BF16 is Triton's: an FP32 without the lower half of its bits.
FLOATS = ("FP16", "FP32", "FP64", "BF16")
DATATYPES = ("BOOL", *WHOLE, *FLOATS, "BYTES")
# The least number that is rounded to infinity: half a unit in the last place above the largest one (IEEE 754-2019,
# section 4.3.1).
INFINITE_FROM = {"FP16": 2.0**16 - 2.0**4, "BF16": 2.0**128 - 2.0**119, "FP32": 2.0**128 - 2.0**103, "FP64": math.inf}


def bounds_of(datatype: str) -> tuple[float, float]:
    """The least and the greatest number that a tensor of a numeric datatype can hold."""
    if datatype in FLOATS:
        most = math.nextafter(INFINITE_FROM[datatype], 0)
        return -most, most
    bits = int(datatype.partition("INT")[2])
    return (0, (1 << bits) - 1) if datatype.startswith("U") else (-(1 << bits - 1), (1 << bits - 1) - 1)
