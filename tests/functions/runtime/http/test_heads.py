from __future__ import annotations

import pytest

from functions.runtime.http import heads

HOST = (b"host", b"x")
CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        ("1.1", [HOST]),
        ("1.1", [(b"host", b"")]),
        ("1.1", [(b"host", b"flights.default.localhost:8080")]),
        ("1.1", [(b"host", b"[::1]:8080"), (b"content-length", b"5")]),
        ("1.1", [HOST, CHUNKED]),
        ("1.1", [HOST, (b"transfer-encoding", b" Chunked ")]),
        ("1.0", []),
        ("1.0", [HOST]),
    ],
)
def test_valid_head_has_no_fault(version: str, headers: list[tuple[bytes, bytes]]) -> None:
    assert heads.fault_of(version, headers) is None


@pytest.mark.parametrize(
    ("version", "headers", "fault"),
    [
        ("1.1", [], heads.NO_HOST),
        ("1.1", [HOST, HOST], heads.MANY_HOSTS),
        ("1.0", [HOST, (b"host", b"y")], heads.MANY_HOSTS),
        ("1.1", [(b"host", b"a b")], heads.BAD_HOST),
        ("1.1", [(b"host", b"user@x")], heads.BAD_HOST),
        ("1.1", [(b"host", b"x/y")], heads.BAD_HOST),
        ("1.1", [(b"host", b"x, y")], heads.BAD_HOST),
        ("2.0", [HOST], heads.BAD_VERSION),
        ("0.9", [], heads.BAD_VERSION),
        ("1.1", [HOST, (b"transfer-encoding", b"gzip, chunked")], heads.BAD_CODING),
        ("1.1", [HOST, (b"transfer-encoding", b"gzip")], heads.BAD_CODING),
        ("1.1", [HOST, (b"transfer-encoding", b"identity")], heads.BAD_CODING),
        ("1.1", [HOST, CHUNKED, CHUNKED], heads.BAD_CODING),
        ("1.0", [HOST, CHUNKED], heads.BAD_CODING),
        ("1.1", [HOST, CHUNKED, (b"content-length", b"5")], heads.TWO_LENGTHS),
        ("1.1", [(b"content-length", b"5"), CHUNKED, HOST], heads.TWO_LENGTHS),
    ],
)
def test_invalid_head_is_refused_with_a_sentence(version: str, headers: list[tuple[bytes, bytes]], fault: bytes) -> None:
    assert heads.fault_of(version, headers) == fault
    assert fault.startswith(b"HTTP/1.1 400 Bad Request\r\n")
