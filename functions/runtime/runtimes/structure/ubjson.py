"""Parse UBJSON (https://ubjson.org/type-reference) as XGBoost does.

Numbers are big-endian, sizes have eight bytes, and objects have no size.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Mapping
from typing import Any

from functions.runtime.runtimes.structure.fault import Fault

# A model nests nine deep; XGBoost's reader is recursive and has no limit.
_DEEPEST = 64
_FORMATS = {marker: struct.Struct(f">{code}") for marker, code in zip("dDiUIlLC", "fdbBhiqb", strict=True)}
_TYPECODES = dict(zip("dDiUIlL", "fdbBhiq", strict=True))
_CONSTANTS: Mapping[str, Any] = {"Z": None, "T": True, "F": False}


def parse(data: bytes) -> Any:
    """Parse a UBJSON document; a typed array becomes an `array`. Raises Fault, naming the position."""
    reader = _Reader(data)
    found = reader.value(0)
    if reader.at != len(data):
        raise Fault(f"{len(data) - reader.at} bytes follow the end of the document")
    return found


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.at = 0
        self._data = data
        self._special: dict[str, Callable[[int], Any]] = {"{": self._object, "[": self._array, "S": self._string}

    def value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise self._fault(f"it is nested more than {_DEEPEST} deep")
        marker = self._marker()
        special = self._special.get(marker)
        if special is not None:
            return special(depth + 1)
        number = _FORMATS.get(marker)
        if number is not None:
            return self._number(number)
        if marker not in _CONSTANTS:
            raise self._fault("unknown type")
        return _CONSTANTS[marker]

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._peek() != "}":
            key = self._string(depth)
            if key in found:  # XGBoost takes the first, other parsers the last
                raise self._fault(f"an object has {key[:80]!r} twice")
            found[key] = self.value(depth)
        self.at += 1
        return found

    def _array(self, depth: int) -> Any:
        marker = self._peek()
        if marker == "$":
            self.at += 1
            typecode = _TYPECODES.get(self._marker())
            if typecode is None:
                raise self._fault("array of an unknown type")
            self._expect("#")
            return self._typed(typecode)
        if marker == "#":
            self.at += 1
            return [self.value(depth) for _ in range(self._size(1))]
        found = []
        while self._peek() != "]":
            found.append(self.value(depth))
        self.at += 1
        return found

    def _typed(self, typecode: str) -> array[Any]:
        found: array[Any] = array(typecode)
        count = self._size(found.itemsize)
        end = self.at + count * found.itemsize
        found.frombytes(memoryview(self._data)[self.at : end])
        self.at = end
        if sys.byteorder == "little":
            found.byteswap()
        return found

    def _string(self, _: int) -> str:
        size = self._size(1)
        start, self.at = self.at, self.at + size
        # A feature's name may be in any encoding; one that is not UTF-8 is refused where names are read.
        return self._data[start : self.at].decode(errors="surrogateescape")

    def _size(self, item: int) -> int:
        """The number of items of at least `item` bytes each that follow."""
        self._expect("L")
        size = int(self._number(_FORMATS["L"]))
        if not 0 <= size <= (len(self._data) - self.at) // item:
            raise self._fault(f"{size} values are announced, more than the file has")
        return size

    def _number(self, number: struct.Struct) -> int | float:
        try:
            (found,) = number.unpack_from(self._data, self.at)
        except struct.error:
            raise self._fault("the file ends in a number") from None
        self.at += number.size
        return found  # type: ignore[no-any-return]

    def _expect(self, marker: str) -> None:
        if self._marker() != marker:
            raise self._fault(f"{marker!r} is missing")

    def _marker(self) -> str:
        found = self._peek()
        self.at += 1
        return found

    def _peek(self) -> str:
        if self.at >= len(self._data):
            raise self._fault("the file ends too early")
        return chr(self._data[self.at])

    def _fault(self, reason: str) -> Fault:
        return Fault(f"{reason} (at byte {self.at})")
