"""Compressed request bodies (RFC 9110, section 8.4.1): unpacked piece by piece, so that no small body becomes a large one unseen."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from functions.runtime.errors import InvalidInput, UnsupportedMedia

# Of a piece; to unpack it takes a millisecond.
PIECE_BYTES = 256 * 1024
_FED_BYTES = 64 * 1024
# Tools that write members of 64 KiB (bgzip) fill the largest body with fewer; each costs some microseconds, however small it is.
_MOST_MEMBERS = 2_048
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def coding_of(value: bytes) -> str:
    """`gzip`, `deflate`, or nothing for a body that is not compressed. Raises UnsupportedMedia for another Content-Encoding."""
    found = value.strip().lower().decode("latin-1")
    if found in ("", "identity"):
        return ""
    if found in ("gzip", "x-gzip", "deflate"):
        return found.removeprefix("x-")
    raise UnsupportedMedia(f"unsupported Content-Encoding {found[:40]!r}; send the body uncompressed, or as gzip or deflate.")


def pieces(body: bytes, coding: str) -> Iterator[bytes]:
    """What the body unpacks to, in pieces of up to PIECE_BYTES. Raises InvalidInput when it is cut off, or not of this coding.

    Gzip data may have several members, one after the other, and zeros to fill a block (RFC 1952, section 2.2; GNU gzip).
    """
    unpacker = _unpacker(body, coding)
    members = 1
    # Fed in parts: what the unpacker leaves of one is copied each time.
    for start in range(0, len(body), _FED_BYTES):
        rest, more = body[start : start + _FED_BYTES], False
        while rest or more:
            if unpacker.eof:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                members += 1
                if members > _MOST_MEMBERS:
                    raise InvalidInput(f"the body has more than {_MOST_MEMBERS} {coding} members; send it as one.")
                unpacker = _unpacker(rest, coding)
            piece = _unpack(unpacker, rest, coding)
            rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            more = len(piece) == PIECE_BYTES and not unpacker.eof
            if piece:
                yield piece
    if body and not unpacker.eof:
        raise InvalidInput(f"the body ends before its {coding} data do; send all of them.")


def _unpacker(data: bytes, coding: str) -> zlib._Decompress:
    return zlib.decompressobj(_GZIP_WINDOW if coding == "gzip" else _deflate_window(data))


def _unpack(unpacker: zlib._Decompress, body: bytes, coding: str) -> bytes:
    try:
        return unpacker.decompress(body, PIECE_BYTES)
    except zlib.error:
        raise InvalidInput(f"the body is not {coding} data, as its Content-Encoding says; send it so, or without that header.") from None


def _deflate_window(body: bytes) -> int:
    """`deflate` is the zlib format; some clients send its content alone, as RFC 9110 (section 8.4.1.2) notes."""
    is_zlib = len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS
