"""An estimate of the number of distinct keys, as a sketch that can be merged in any order and more than once.

HyperLogLog: P. Flajolet, É. Fusy, O. Gandouet, F. Meunier, "HyperLogLog: the analysis of a near-optimal cardinality
estimation algorithm", AofA 2007, figure 3, without its correction for cardinalities near 2**32.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode

from common.errors import InvalidEvent

# 256 registers of one byte: a standard error of 1.04 / sqrt(256), and 344 characters as text.
_INDEX_BITS = 8
_REGISTERS = 1 << _INDEX_BITS
_RANK_BITS = 32 - _INDEX_BITS
_ALPHA = 0.7213 / (1 + 1.079 / _REGISTERS)

RELATIVE_ERROR = 1.04 / math.sqrt(_REGISTERS)
"""The standard error of an estimate, as a share of it."""


class Distinct:
    """A sketch of a set of hashes. It is never larger than 256 bytes."""

    __slots__ = ("_registers",)

    def __init__(self) -> None:
        self._registers = bytearray(_REGISTERS)

    def add(self, digest: int) -> None:
        """Add a hash, an integer of 32 bits. Adding it again changes nothing."""
        index = digest >> _RANK_BITS
        # The position of the first 1 among the bits below the index.
        rank = _RANK_BITS - (digest & ((1 << _RANK_BITS) - 1)).bit_length() + 1
        if rank > self._registers[index]:
            self._registers[index] = rank

    def copy(self) -> Distinct:
        sketch = Distinct()
        sketch._registers = bytearray(self._registers)
        return sketch

    def merge(self, other: Distinct) -> None:
        """Add every hash of another sketch."""
        self._registers = bytearray(map(max, self._registers, other._registers))

    def __len__(self) -> int:
        """The estimated number of distinct hashes."""
        estimate = _ALPHA * _REGISTERS**2 / sum(2.0**-rank for rank in self._registers)
        empty = self._registers.count(0)
        if estimate <= 2.5 * _REGISTERS and empty:
            estimate = _REGISTERS * math.log(_REGISTERS / empty)  # linear counting, for small sets
        return round(estimate)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Distinct) and self._registers == other._registers

    __hash__ = None  # type: ignore[assignment]  # it is mutable

    def to_text(self) -> str:
        """The sketch as base64."""
        return b64encode(self._registers).decode("ascii")

    @classmethod
    def from_text(cls, text: str) -> Distinct:
        """The sketch of a text by `to_text`. Raises InvalidEvent."""
        sketch = cls()
        try:
            registers = b64decode(text, validate=True)
        except ValueError:
            registers = b""
        if len(registers) != _REGISTERS or max(registers) > _RANK_BITS + 1:
            raise InvalidEvent(f"the sketch of distinct keys is not base64 of {_REGISTERS} registers.")
        sketch._registers = bytearray(registers)
        return sketch
