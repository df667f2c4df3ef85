"""Compressed bodies: decompressed as far as the router has to read them; they are forwarded unchanged."""

from __future__ import annotations

from typing import NamedTuple

from functions.runtime.http.coding import coding_of, pieces


class Decompressed(NamedTuple):
    """The beginning of a body, and whether it is the whole body."""

    content: bytes
    whole: bool


def decompress(body: bytes, encoding: bytes, most: int) -> Decompressed:
    """The first `most` bytes of a body without its content encoding; hardly more are decompressed.

    Raises UnsupportedMedia for an unsupported encoding, and InvalidInput for invalid data.
    """
    coding = coding_of(encoding)
    if not coding:
        return Decompressed(body, True)
    found = bytearray()
    for piece in pieces(body, coding):
        found += piece
        if len(found) > most:
            return Decompressed(bytes(found[:most]), False)
    return Decompressed(bytes(found), True)
