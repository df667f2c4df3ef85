"""Mutations of a model file, each by a seed: damage as by a disk, a transfer, an editor or an attacker."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping

_MARKS = re.compile(rb"[{}\[\]$#,: \n]")
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_INTEGER = re.compile(rb"(?<![\d.eE+-])-?\d+(?![\d.eE])")
# A field of a tree and its values, in JSON and in LightGBM's text.
_FIELD = re.compile(rb'"(\w+)":\[([-\d.eE+, ]*)\]|^(\w+)=([-\d.eE+ ]+)$', re.MULTILINE)
# An array of UBJSON of 32-bit integers or floats, 64-bit integers or bytes, and its number of values.
_TYPED = re.compile(rb"\[\$([ldLU])#L\x00\x00\x00\x00\x00\x00(..)", re.DOTALL)
_SIZES = {b"l": 4, b"d": 4, b"L": 8, b"U": 1}
_ODD = (-1, 0, 1, 2, 3, 5, 50, 255, 1_000, 65_536, 2**31 - 1, 2**31, -(2**31), 2**40, -2, 2**63 - 1)

Mutation = Callable[[bytearray, random.Random], None]


def mutate(data: bytes, seed: int) -> tuple[str, bytes]:
    """Return the name of the mutation, and the file after one or more of it."""
    chance = random.Random(seed)  # noqa: S311 not for secrets
    name = chance.choice(list(MUTATIONS))
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if found:
            MUTATIONS[name](found, chance)
    return name, bytes(found)


def _bits(data: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(data))
    data[place] ^= 1 << chance.randrange(8)


def _bytes(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 4, 16))):
        data[chance.randrange(len(data))] = chance.randrange(256)


def _truncation(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def _splice(data: bytearray, chance: random.Random) -> None:
    start, place = chance.randrange(len(data)), chance.randrange(len(data))
    data[place:place] = data[start : start + chance.choice((1, 8, 200))]


def _removal(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.choice((1, 4, 64))]


def _zeros(data: bytearray, chance: random.Random) -> None:
    """Zero a block, as if it had never been written."""
    start = chance.randrange(len(data))
    size = min(chance.choice((8, 64, 512)), len(data) - start)
    data[start : start + size] = bytes(size)


def _swap(data: bytearray, chance: random.Random) -> None:
    size = min(chance.choice((4, 32, 256)), len(data) // 2)
    first, second = chance.randrange(len(data) - size + 1), chance.randrange(len(data) - size + 1)
    data[first : first + size], data[second : second + size] = data[second : second + size], data[first : first + size]


def _mark(data: bytearray, chance: random.Random) -> None:
    """Change a structural character."""
    places = [found.start() for found in _MARKS.finditer(data)]
    if places:
        data[chance.choice(places)] = chance.choice(b"{}[]$#,: \nLldS")


def _digits(data: bytearray, chance: random.Random) -> None:
    places = [place for found in _NUMBER.finditer(data) for place in range(*found.span()) if data[place : place + 1].isdigit()]
    if places:
        data[chance.choice(places)] = ord("0") + chance.randrange(10)


def _index(data: bytearray, chance: random.Random) -> None:
    """Replace an integer of the text."""
    found = list(_INTEGER.finditer(data))
    if found:
        start, end = chance.choice(found).span()
        data[start:end] = str(chance.choice((*_ODD, int(data[start:end]) + 1, int(data[start:end]) - 1))).encode()


def _field(data: bytearray, chance: random.Random) -> None:
    """Change, drop, repeat or swap a value of a field of a tree."""
    found = [match for match in _FIELD.finditer(data) if match[2] or match[4]]
    if not found:
        return _typed(data, chance)
    match = chance.choice(found)
    group, mark = (2, b",") if match[2] else (4, b" ")
    values = match[group].split(mark)
    place = chance.randrange(len(values))
    kind = chance.randrange(5)
    if kind == 0:
        values[place] = str(chance.choice(_ODD)).encode()
    elif kind == 1:
        values[place] = chance.choice(values)
    elif kind == 2:
        del values[place]
    elif kind == 3:
        values.insert(place, values[place])
    else:
        values[place - 1], values[place] = values[place], values[place - 1]
    data[match.start(group) : match.end(group)] = mark.join(values)
    return None


def _typed(data: bytearray, chance: random.Random) -> None:
    """Replace a value of a UBJSON array, possibly by its neighbour."""
    found = list(_TYPED.finditer(data))
    if not found:
        return _index(data, chance)
    match = chance.choice(found)
    size, count = _SIZES[match[1]], int.from_bytes(match[2], "big")
    if not count or match.end() + size * count > len(data):
        return None
    place = match.end() + size * chance.randrange(count)
    other = match.end() + size * chance.randrange(count)
    small = chance.choice(_ODD) % (1 << 8 * size)
    data[place : place + size] = data[other : other + size] if chance.random() < 0.4 else small.to_bytes(size, "big")
    return None


def _length(data: bytearray, chance: random.Random) -> None:
    """Change the declared length of a UBJSON array, or repeat or drop a line or field."""
    found = list(_TYPED.finditer(data))
    if found:
        data[chance.choice(found).end() - 1] ^= 1 << chance.randrange(8)
        return
    parts = re.split(rb"(?<=\n)|(?<=,)", bytes(data))
    place = chance.randrange(len(parts))
    parts[place : place + 1] = chance.choice(([], [parts[place]] * 2))
    data[:] = b"".join(parts)


MUTATIONS: Mapping[str, Mutation] = {
    "bits": _bits,
    "bytes": _bytes,
    "truncation": _truncation,
    "splice": _splice,
    "removal": _removal,
    "zeros": _zeros,
    "swap": _swap,
    "mark": _mark,
    "digits": _digits,
    "index": _index,
    "field": _field,
    "typed": _typed,
    "length": _length,
}
