"""Compressed request bodies (RFC 9110, section 8.4.1), decompressed in pieces so that limits apply to each piece."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from functions.runtime.errors import InvalidInput, UnsupportedMedia

# The size of a piece; to decompress it takes a millisecond.
PIECE_BYTES = 256 * 1024
_FED_BYTES = 64 * 1024
# Tools that write members of 64 KiB (bgzip) need fewer for the largest body; each costs some microseconds, even an
# empty one.
_MOST_MEMBERS = 2_048
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def coding_of(value: bytes) -> str:
    """Return `gzip`, `deflate`, or an empty string for an uncompressed body, from the value of Content-Encoding.

    Raises UnsupportedMedia for other codings.
    """
    found = value.strip().lower().decode("latin-1")
    if found in ("", "identity"):
        return ""
    if found in ("gzip", "x-gzip", "deflate"):
        return found.removeprefix("x-")
    raise UnsupportedMedia(f"unsupported Content-Encoding {found[:40]!r}", remedy="send the body uncompressed, or as gzip or deflate")


def pieces(body: bytes, coding: str) -> Iterator[bytes]:
    """Decompress a body in pieces of up to PIECE_BYTES.

    Gzip data may have several members, one after the other, and zeros to fill a block (RFC 1952, section 2.2; GNU
    gzip). Raises InvalidInput for data that are truncated or not of this coding.
    """
    decompressor = _decompressor(body, coding)
    members = 1
    # Fed in parts: the remainder of a part is copied each time.
    for start in range(0, len(body), _FED_BYTES):
        rest, more = body[start : start + _FED_BYTES], False
        while rest or more:
            if decompressor.eof:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                members += 1
                if members > _MOST_MEMBERS:
                    raise InvalidInput(f"the body has more than {_MOST_MEMBERS} {coding} members", remedy="send it as one member")
                decompressor = _decompressor(rest, coding)
            piece = _decompress(decompressor, rest, coding)
            rest = decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
            more = len(piece) == PIECE_BYTES and not decompressor.eof
            if piece:
                yield piece
    if body and not decompressor.eof:
        raise InvalidInput(f"the body's {coding} data are truncated", remedy="send all of them")


def _decompressor(data: bytes, coding: str) -> zlib._Decompress:
    return zlib.decompressobj(_GZIP_WINDOW if coding == "gzip" else _deflate_window(data))


def _decompress(decompressor: zlib._Decompress, body: bytes, coding: str) -> bytes:
    try:
        return decompressor.decompress(body, PIECE_BYTES)
    except zlib.error:
        raise InvalidInput(
            f"the body has Content-Encoding {coding} but is not valid {coding} data", remedy=f"send {coding}, or remove the header"
        ) from None


def _deflate_window(body: bytes) -> int:
    """Return zlib's window for `deflate`.

    It is the zlib format, or the raw data that some clients send (RFC 9110, section 8.4.1.2).
    """
    is_zlib = len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS
