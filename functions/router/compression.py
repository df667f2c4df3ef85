"""Compressed bodies: unpacked as far as the router has to read them, and passed on as they came."""

from __future__ import annotations

from typing import NamedTuple

from functions.runtime.http.coding import coding_of, pieces


class Unpacked(NamedTuple):
    """The beginning of a body, and whether it is all of it."""

    content: bytes
    whole: bool


def unpack(body: bytes, encoding: bytes, most: int) -> Unpacked:
    """The first `most` bytes of a body without its content encoding; hardly more are made.

    Raises UnsupportedMedia for an encoding that is not known, and InvalidInput for what is not of its encoding.
    """
    coding = coding_of(encoding)
    if not coding:
        return Unpacked(body, True)
    found = bytearray()
    for piece in pieces(body, coding):
        found += piece
        if len(found) > most:
            return Unpacked(bytes(found[:most]), False)
    return Unpacked(bytes(found), True)
