"""Invalid and malicious HTTP, byte by byte."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import orjson
import pytest

INFER = "/v2/models/little/infer"
BODY = orjson.dumps({"inputs": [{"name": "x", "shape": [1, 5], "datatype": "FP32", "data": [1, 2, 3, 4, 5]}]})
LINE = b"POST " + INFER.encode() + b" HTTP/1.1\r\nhost: x\r\n"
CHUNKED = LINE + b"transfer-encoding: chunked\r\n\r\n"
GOOD = LINE + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
ROOM_MEBIBYTES = 50


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_body_in_chunks_of_one_byte_is_read(server: Any) -> None:
    with server.connect() as connection:
        for _ in range(2):
            connection.send(CHUNKED + b"".join(chunk(bytes([byte])) for byte in BODY) + b"0\r\n\r\n")
            assert connection.reply().status == 200


def test_request_in_pieces_of_one_byte_is_read(server: Any) -> None:
    with server.connect() as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in GOOD:
            connection.send(bytes([byte]))
        assert connection.reply().status == 200


@pytest.mark.parametrize(
    "sent",
    [
        CHUNKED + b"zz\r\nx\r\n",
        CHUNKED + b"-1\r\nx\r\n",
        CHUNKED + b"f" * 17 + b"\r\nx\r\n",
        CHUNKED + b"1\r\nxx\r\n",
        LINE + b"content-length: -5\r\n\r\n",
        LINE + b"content-length: five\r\n\r\n",
        LINE + b"content-length: " + b"9" * 30 + b"\r\n\r\n",
        LINE + b"content-length: 5\r\ncontent-length: 6\r\n\r\n123456",
        LINE + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        LINE + b"content-length : 5\r\n\r\n12345",
        LINE + b"x: a\r\n b\r\n\r\n",
        LINE + b"x: a\0b\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\n\r\n",
        b"GET /v2/\xc3\xa9 HTTP/1.1\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_invalid_http_is_400_and_closes_the_connection(sent: bytes, server: Any) -> None:
    with server.connect() as connection:
        connection.send(sent)
        reply = connection.reply()
        assert (reply.status, reply.headers["content-type"]) == (400, "application/json")
        assert "is not valid HTTP/1.1" in reply.sentence
        assert connection.is_closed()
    assert server.ask(GOOD).status == 200


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"GET /v2 HTTP/1.1\r\n\r\n", "no Host header"),
        (b"GET /v2 HTTP/1.1\r\nhost: x\r\nHost: y\r\n\r\n", "more than one Host header"),
        (b"GET /v2 HTTP/1.1\r\nhost: x y\r\n\r\n", "Host header must be a host"),
        (b"GET /v2 HTTP/2.0\r\nhost: x\r\n\r\n", "HTTP/1.1"),
        (b"GET /v2 HTTP/3.7\r\nhost: x\r\n\r\n", "HTTP/1.1"),
        (b"GET /v2 HTTP/1.2\r\nhost: x\r\n\r\n", "HTTP/1.1"),
        (b"GET /v2 HTTP/0.9\r\nhost: x\r\n\r\n", "HTTP/1.1"),
        (b"GET /v2\r\n\r\n", "HTTP/1.1"),
        (LINE + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
        (LINE + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "framing of its body"),
        (LINE + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", ""),
        (LINE + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", ""),
        (LINE.replace(b"HTTP/1.1", b"HTTP/1.0") + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
    ],
)
def test_ambiguous_http_is_400_and_closes_the_connection(sent: bytes, words: str, server: Any) -> None:
    with server.connect() as connection:
        connection.send(GOOD + sent + GOOD)
        assert connection.reply().status == 200  # of the earlier request, which is answered first
        reply = connection.reply()
        assert (reply.status, words in reply.sentence) == (400, True)
        assert connection.is_closed()


@pytest.mark.parametrize("before", [b"", GOOD, GOOD * 200], ids=["alone", "after another", "after many"])
@pytest.mark.parametrize("line", [b"x: " + b"a" * 70_000, b"x: y\r\n" * 6_000 + b"x: " + b"a" * 30_000], ids=["one header", "many headers"])
def test_head_beyond_its_limit_is_431(before: bytes, line: bytes, server: Any) -> None:
    sent = LINE + line + b"\r\ncontent-length: 0\r\n\r\n"
    for size in (len(before) + len(sent), 30_000, 65_000):
        with server.connect() as connection:
            for start in range(0, len(before + sent), size):
                connection.send((before + sent)[start : start + size])
            assert [connection.reply().status for _ in range(len(before) // len(GOOD))] == [200] * (len(before) // len(GOOD))
            assert connection.reply().status == 431
            assert connection.is_closed()


def test_head_just_below_its_limit_is_read(server: Any) -> None:
    head = LINE + b"x: " + b"a" * 65_000 + b"\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    with server.connect() as connection:
        connection.send(GOOD * 40 + (head + BODY) * 10)
        assert [connection.reply().status for _ in range(50)] == [200] * 50


def test_trailers_are_not_headers(server: Any) -> None:
    """A proxy that removes a header would not find it among the trailers."""
    with server.connect() as connection:
        connection.send(CHUNKED + chunk(BODY) + b"0\r\ncontent-encoding: gzip\r\nexpect: 100-continue\r\n\r\n" + GOOD)
        assert [connection.reply().status for _ in range(2)] == [200] * 2


@pytest.mark.parametrize("count", [1, 3])
def test_client_that_half_closes_receives_the_responses(count: int, server: Any) -> None:
    with server.connect() as connection:
        connection.send(GOOD * count)
        connection.socket.shutdown(socket.SHUT_WR)
        assert [connection.reply().status for _ in range(count)] == [200] * count
        assert connection.is_closed()


def test_client_that_half_closes_receives_a_slow_response(server: Any) -> None:
    outputs = [{"name": "contributions", "parameters": {"binary_data": True}}]
    with server.connect() as connection:
        connection.send(server.request("/v2/models/wide/infer", server.matrix(5_000, outputs=outputs)))
        connection.socket.shutdown(socket.SHUT_WR)
        while (reply := connection.reply()).status == 102:  # interim responses, by which the server probes the client
            pass
        assert reply.status == 200
        assert connection.is_closed()


@pytest.mark.parametrize(
    "sent",
    [
        LINE + b"x: " + b"a" * 10_000_000,
        LINE + b"".join(b"x%d: 1\r\n" % index for index in range(100_000)),
        b"GET /" + b"a" * 10_000_000,
        b"\r\n" * 5_000_000,
        CHUNKED + b"1;" + b"a" * 10_000_000,
        CHUNKED + chunk(BODY) + b"0\r\nx: " + b"a" * 10_000_000,
        CHUNKED + chunk(BODY) + b"0\r\n" + b"".join(b"x%d: 1\r\n" % index for index in range(1_000_000)),
    ],
    ids=["one header", "many headers", "path", "empty lines", "extension of a chunk", "one trailer", "many trailers"],
)
def test_bytes_outside_of_a_body_are_limited(sent: bytes, server: Any) -> None:
    before = server.mebibytes()
    with server.connect() as connection:
        connection.send(sent)
        reply = connection.reply()
        assert reply.status in (431, 0)  # 0: the system may reset the connection of a client that goes on sending
        assert connection.is_closed()
    assert server.mebibytes() - before < ROOM_MEBIBYTES
    assert server.ask(GOOD).status == 200


def test_pipelined_requests_are_answered_in_order(server: Any) -> None:
    large = server.request("/v2/models/little/infer", server.matrix(5_000, 5))
    count = 50
    with server.connect() as connection:
        connection.send(GOOD * count)
        assert [connection.reply().status for _ in range(count)] == [200] * count
        # The third head begins in the data of the second, which must not count for its size.
        connection.send(GOOD + large + GOOD[:40])
        assert [len(orjson.loads(connection.reply().body)["outputs"][0]["data"]) for _ in range(2)] == [1, 5_000]
        connection.send(GOOD[40:])
        assert connection.reply().status == 200


@pytest.mark.parametrize("declared", [True, False])
def test_connection_is_usable_after_a_refused_large_body(declared: bool, start_server: Callable[..., Any]) -> None:
    server = start_server(TIDEGATE_MAX_BODY_BYTES="1000000")
    size = 20_000_000
    with server.connect() as connection:
        if declared:
            connection.send(LINE + b"content-length: %d\r\n\r\n" % size + b" " * size)
        else:
            connection.send(CHUNKED + chunk(b" " * 1_000_000) * (size // 1_000_000) + b"0\r\n\r\n")
        reply = connection.reply()
        assert reply.status == 413
        assert "bytes" in reply.sentence
        connection.send(GOOD)
        assert connection.reply().status == 200


def test_expect_100_continue_is_answered(server: Any) -> None:
    head = LINE + b"expect: 100-continue\r\n"
    with server.connect() as connection:
        connection.send(head + b"content-length: %d\r\n\r\n" % len(BODY))
        assert connection.reply().status == 100
        connection.send(BODY)
        assert connection.reply().status == 200
    with server.connect() as connection:
        connection.send(head + b"content-length: 900000000\r\n\r\n")
        reply = connection.reply()
        # The client will not send the body; a server that went on reading would take the next request for it.
        assert (reply.status, reply.headers["connection"]) == (413, "close")
        assert connection.is_closed()


def test_http_1_0_is_answered_and_closed(server: Any) -> None:
    with server.connect() as connection:
        connection.send(GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert connection.reply().status == 200
        assert connection.is_closed()


@pytest.mark.parametrize("sent", [LINE, LINE + b"content-length: 1000\r\n\r\n" + BODY, CHUNKED + b"5\r\n12"])
def test_disconnect_during_a_request_leaves_nothing_behind(sent: bytes, server: Any) -> None:
    for _ in range(20):
        with server.connect() as connection:
            connection.send(sent)
    assert server.ask(GOOD).status == 200
    assert server.metric("tidegate_requests_in_flight") == 0


def test_request_that_does_not_arrive_in_time_is_408(start_server: Callable[..., Any]) -> None:
    server = start_server(TIDEGATE_TIMEOUT_SECONDS="0.2")
    for sent in (LINE + b"content-length: 1000\r\n\r\n" + BODY, CHUNKED + b"5\r\n12"):
        with server.connect() as connection:
            connection.send(sent)
            reply = connection.reply()
            assert (reply.status, reply.headers["connection"]) == (408, "close")
            assert connection.is_closed()
    assert server.metric("tidegate_requests_in_flight") == 0
    assert server.ask(GOOD).status == 200
