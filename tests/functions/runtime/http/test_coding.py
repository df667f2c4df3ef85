from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.errors import InvalidInput, UnsupportedMedia
from functions.runtime.http.coding import PIECE_BYTES, coding_of, pieces

LITTLE = "/v2/models/little/infer"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


WAYS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip in members": ("gzip", lambda data: b"".join(gzip.compress(data[at : at + 7]) for at in range(0, len(data) or 1, 7))),
    "gzip with zeros behind": ("gzip", lambda data: gzip.compress(data) + bytes(512)),
    "zlib": ("deflate", zlib.compress),
    "deflate without a head": ("deflate", raw_deflate),
}


@pytest.mark.parametrize("way", WAYS)
@given(data=st.binary(max_size=1_000))
def test_compressed_data_is_decompressed(way: str, data: bytes) -> None:
    coding, pack = WAYS[way]
    assert b"".join(pieces(pack(data), coding)) == data


@pytest.mark.parametrize("way", ["gzip", "zlib", "deflate without a head"])
@pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 10 * PIECE_BYTES])
def test_large_body_is_decompressed_in_pieces(way: str, size: int) -> None:
    coding, pack = WAYS[way]
    found = list(pieces(pack(bytes(size)), coding))
    assert b"".join(found) == bytes(size)
    assert max(map(len, found)) <= PIECE_BYTES


@pytest.mark.parametrize("way", ["gzip", "zlib", "deflate without a head"])
@given(data=st.binary(max_size=200), keep=st.integers(0, 10_000))
def test_truncated_data_is_refused(way: str, data: bytes, keep: int) -> None:
    coding, pack = WAYS[way]
    compressed = pack(data)
    with pytest.raises(InvalidInput, match=r"truncated|is not"):
        list(pieces(compressed[: 1 + keep % (len(compressed) - 1)], coding))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [b"{}", b"\xff" * 100, gzip.compress(b"{}", mtime=0) + b"more", zlib.compress(b"{}")[:-1] + b"x"])
def test_data_of_another_coding_is_refused(coding: str, body: bytes) -> None:
    with pytest.raises(InvalidInput, match=f"{coding} "):
        list(pieces(body, coding))


def test_too_many_members_are_refused() -> None:
    with pytest.raises(InvalidInput, match="more than 2048 gzip members"):
        list(pieces(gzip.compress(b"", mtime=0) * 3_000, "gzip"))


def test_empty_body_is_empty() -> None:
    assert list(pieces(b"", "gzip")) == []


@pytest.mark.parametrize(
    ("value", "coding"), [(b"", ""), (b"identity", ""), (b" GZip ", "gzip"), (b"x-gzip", "gzip"), (b"deflate", "deflate")]
)
def test_supported_codings(value: bytes, coding: str) -> None:
    assert coding_of(value) == coding


@pytest.mark.parametrize("value", [b"br", b"zstd", b"gzip, gzip", b"aws-chunked", b"\xff"])
def test_unsupported_coding_is_refused_with_the_supported_ones(value: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match=r"unsupported Content-Encoding .*; send the body uncompressed, or as gzip or deflate"):
        coding_of(value)


def compressed(server: Any, body: bytes, path: str = LITTLE) -> Any:
    return server.ask(server.request(path, gzip.compress(body), "content-encoding: gzip"))


def test_every_protocol_accepts_a_compressed_body(server: Any) -> None:
    assert compressed(server, server.matrix(5_000, 5)).status == 200
    assert compressed(server, b'{"instances": [[1, 2, 3, 4, 5]]}', "/v1/models/little:predict").status == 200


def test_decompressed_size_is_limited_and_counted_early(start_server: Callable[..., Any]) -> None:
    server = start_server(TIDEGATE_MAX_BODY_BYTES="1000000", TIDEGATE_MAX_WAITING_BYTES="2000000")
    before = server.mebibytes()
    for body in (bytes(1_000_001), bytes(60_000_000)):
        reply = compressed(server, body)
        assert (reply.status, "uncompressed body has more than 1000000 bytes" in reply.sentence) == (413, True)
    assert server.mebibytes() - before < 20
    # The budget of the refused bodies is returned.
    for _ in range(5):
        assert compressed(server, server.matrix(1, 5)).status == 200
    assert compressed(server, b" " * 900_000 + server.matrix(1, 5)).status == 200
