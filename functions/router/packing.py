"""Compressed bodies (RFC 9110, section 8.4.1): read as far as the router has to, passed on as they came."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from functions.runtime.errors import InvalidInput, UnsupportedMedia

# A gzip member with its header (zlib's manual, inflateInit2).
_GZIP = 16 + zlib.MAX_WBITS
_GZIP_NAMES = frozenset({b"gzip", b"x-gzip"})


class Unpacked(NamedTuple):
    """The beginning of a body, and whether it is all of it."""

    content: bytes
    whole: bool


def unpack(body: bytes, encoding: bytes, most: int) -> Unpacked:
    """The first `most` bytes of a body without its content encoding; no more are made.

    Raises UnsupportedMedia for another encoding than gzip, and InvalidInput for what is not gzip.
    """
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return Unpacked(body, True)
    if name not in _GZIP_NAMES:
        shown = name[:40].decode("latin-1")
        raise UnsupportedMedia(f"unsupported Content-Encoding {shown!r}; send the body uncompressed or as gzip.")
    found = bytearray()
    try:
        while body and len(found) <= most:  # a body may have several members (RFC 1952, section 2.2)
            member = zlib.decompressobj(_GZIP)
            found += member.decompress(body, most + 1 - len(found))
            if not member.eof and len(found) <= most:
                raise InvalidInput("the gzip body ends in the middle; send all of it.")
            body = member.unused_data
    except zlib.error as error:
        raise InvalidInput(f"the body is not gzip ({error}), as its Content-Encoding says; send it uncompressed.") from None
    return Unpacked(bytes(found[:most]), len(found) <= most)
