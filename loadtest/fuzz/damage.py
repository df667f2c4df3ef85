"""Random changes to the bytes of requests, cheaper than those of hypothesis, so that a million are possible."""

from __future__ import annotations

import random

_PIECES = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\0",
    b" ",
    b":",
    b'"',
    b"{",
    b"[",
    b"}",
    b"]",
    b",",
    b"\\u0000",
    b"\xff\xfe",
    b"\xc3",
    b"%00",
    b"..",
    b"/",
]
_PIECES += [
    b"0\r\n\r\n",
    b"transfer-encoding: chunked\r\n",
    b"content-length: 5\r\n",
    b"expect: 100-continue\r\n",
    b"1e999",
    b"-",
    b"9" * 30,
]


def damaged(source: random.Random, data: bytes) -> bytes:
    """Return the bytes after one to four changes at random places."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 4)):
        _change(source, changed)
    return bytes(changed)


def _change(source: random.Random, data: bytearray) -> None:
    start = source.randint(0, len(data))
    end = min(len(data), start + source.choice((0, 1, 1, 2, 4, 16, 256)))
    kind = source.randrange(5)
    if kind == 0:
        data[start:end] = b""
    elif kind == 1:
        data[start:end] = source.choice(_PIECES)
    elif kind == 2:
        data[start:end] = source.randbytes(end - start)
    elif kind == 3:
        data[start:start] = data[start:end] * source.randint(1, 3)
    elif start < len(data):
        data[start] ^= 1 << source.randrange(8)
