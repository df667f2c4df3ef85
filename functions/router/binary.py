"""The rows of tensors in binary (Triton's "Binary Tensor Data Extension"): taken apart and joined without their values.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Literal

SIZE = "binary_data_size"
# Bytes of a value. A string has any number, after its length.
_SIZES = {
    **dict.fromkeys(("BOOL", "INT8", "UINT8"), 1),
    **dict.fromkeys(("INT16", "UINT16", "FP16", "BF16"), 2),
    **dict.fromkeys(("INT32", "UINT32", "FP32"), 4),
    **dict.fromkeys(("INT64", "UINT64", "FP64"), 8),
}
_STRINGS = "BYTES"
# Type codes of integers by their size: values are moved as bits, so that each NaN stays the one that it was.
_CODES: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
_LENGTH = struct.Struct("<I")


def rows_of(content: memoryview, datatype: Any, rows: int, width: int) -> Sequence[Any]:
    """Return an item for each row of `width` values: for `join`, and of no meaning otherwise.

    Raises ValueError, with the reason, unless the content is that of these rows.
    """
    if datatype == _STRINGS:
        return _rows_of_strings(content, rows, width)
    size = _SIZES.get(datatype) if isinstance(datatype, str) else None
    if size is None:
        raise ValueError("a datatype that has no binary form")
    if len(content) != rows * width * size:
        raise ValueError(f"{len(content)} bytes, but its shape requires {rows * width * size}")
    if width == 1:
        return content.cast(_CODES[size])
    stride = width * size
    return [content[start : start + stride] for start in range(0, len(content), stride)] if stride else [b""] * rows


def join(rows: Iterable[Any], datatype: str, width: int) -> bytes:
    """Return the content of these rows, of which each is one of `rows_of`."""
    if width == 1 and datatype != _STRINGS:
        return array(_CODES[_SIZES[datatype]], rows).tobytes()
    return b"".join(rows)


def _rows_of_strings(content: memoryview, rows: int, width: int) -> list[memoryview]:
    found, position, end = [], 0, len(content)
    for _ in range(rows):
        start = position
        for _ in range(width):
            if position + _LENGTH.size > end:
                raise ValueError(f"{end} bytes, which are fewer than {rows * width} strings")
            position += _LENGTH.size + _LENGTH.unpack_from(content, position)[0]
        found.append(content[start:position])
    if position != end:
        raise ValueError(f"{end} bytes, which are not those of {rows * width} strings")
    return found
