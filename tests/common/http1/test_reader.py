"""Replies that are cut anywhere, framed in every way, and malformed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.http1.errors import MalformedReply
from common.http1.reader import MAX_OVERHEAD_BYTES, ReplyReader

NAMES = st.from_regex(r"\Ax-[a-zA-Z0-9_-]{1,12}\Z").map(str.encode)
VALUES = st.from_regex(r"\A([!-~]([ -~]{0,20}[!-~])?)?\Z").map(str.encode)


@dataclass(frozen=True)
class Sent:
    """A reply as a server sends it, with what a client should find in it."""

    data: bytes
    method: str
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    ends: bool  # the end of the connection is that of the body
    keeps: bool  # the connection can carry another request


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
    pieces = [piece for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True) if (piece := body[start:end])]
    extension = draw(st.sampled_from([b"", b";a=b"]))
    trailers = draw(st.sampled_from([b"", b"x-digest: 7\r\n"]))
    return b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"


@st.composite
def replies(draw: st.DrawFn) -> Sent:
    method = draw(st.sampled_from(["GET", "POST", "HEAD"]))
    status = draw(st.sampled_from([200, 201, 204, 304, 404, 503, 599]))
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))
    body = draw(st.binary(max_size=60))
    framing = draw(st.sampled_from(["length", "chunked", "end"]))
    interim = draw(
        st.lists(st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n"]), max_size=2)
    )
    if framing == "length":
        headers = [*headers, (b"Content-Length", b"%d" % len(body))]
    elif framing == "chunked":
        headers = [(b"Transfer-Encoding", b"Chunked"), *headers]
    head = b"HTTP/1.1 %d Of any kind\r\n" % status + b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n"
    bodiless = method == "HEAD" or status in (204, 304)
    content = b"" if bodiless else draw(chunked(body)) if framing == "chunked" else body
    ends = framing == "end" and not bodiless
    keeps = framing != "end" or status in (204, 304)
    return Sent(b"".join(interim) + head + content, method, status, headers, b"" if bodiless else body, ends, keeps)


@given(replies(), st.data())
def test_a_reply_is_the_same_wherever_it_is_cut(sent: Sent, data: st.DataObject) -> None:
    reader = ReplyReader()
    for _ in range(2 if sent.keeps else 1):  # and so is the next one on the same connection
        reader.begin(sent.method)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(sent.data)), max_size=8)))
        body = b""
        for start, end in zip([0, *cuts], [*cuts, len(sent.data)], strict=True):
            if start < end:
                assert not reader.complete
                reader.feed(sent.data[start:end])
                body += reader.take()
        assert (reader.status, reader.headers, body) == (sent.status, sent.headers, sent.body)
        if sent.ends:
            assert not reader.complete
            assert reader.end()
        assert reader.complete
        assert reader.reusable is sent.keeps


@given(replies(), st.integers(1, 40))
def test_a_reply_that_breaks_off_is_not_complete(sent: Sent, missing: int) -> None:
    head = len(sent.data) - len(sent.body)
    reader = ReplyReader()
    reader.begin(sent.method)
    kept = sent.data[: max(len(sent.data) - missing, 0)]
    if kept:
        reader.feed(kept)
    assert reader.end() is (sent.ends and len(kept) >= head)


@given(replies(), st.binary(min_size=1, max_size=30), st.booleans())
def test_bytes_after_a_reply_end_the_connection_but_not_the_reply(sent: Sent, more: bytes, at_once: bool) -> None:
    if sent.ends:
        return
    reader = ReplyReader()
    reader.begin(sent.method)
    for data in (sent.data + more,) if at_once else (sent.data, more):
        reader.feed(data)
    assert reader.complete
    # A parser skips line breaks between replies, as it has to between requests.
    assert not reader.reusable or (at_once and not more.strip(b"\r\n"))
    assert reader.take() == sent.body


@pytest.mark.parametrize(
    "data",
    [
        *(b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00" * 20, b"HTTP/1.1 42 Odd\r\n\r\n", b"HTTP/1.1 999 Odd\r\n\r\n", b"HTTP/1.1 000 Odd\r\n\r\n"),
        *(b"HTTP/1.1 101 Switching\r\n\r\n", b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        *(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", b"HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n", b"HTTP/1.1 200 OK\r\n a: b\r\n\r\n"),
        *(b"HTTP/1.1 200 OK\r\ncontent-length: %b\r\n\r\n" % length for length in (b"-1", b"+1", b"1, 1", b"0x1", b"", b"9" * 30)),
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        *(b"HTTP/1.1 200 OK\r\ntransfer-encoding: %b\r\n\r\n0\r\n\r\n" % coding for coding in (b"gzip", b"gzip, chunked", b"identity")),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * MAX_OVERHEAD_BYTES,
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (MAX_OVERHEAD_BYTES // 6 + 1),
        b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_OVERHEAD_BYTES // 25 + 1),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * (MAX_OVERHEAD_BYTES // 6 + 1),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"a" * MAX_OVERHEAD_BYTES,
    ],
    ids=lambda data: data[:60].decode("latin-1").encode("unicode_escape").decode(),
)
@pytest.mark.parametrize("size", [1, 10_000_000])
def test_a_malformed_reply_is_refused(data: bytes, size: int) -> None:
    reader = ReplyReader()
    reader.begin("POST")

    def feed_all() -> None:
        for start in range(0, len(data), size):
            reader.feed(data[start : start + size])

    with pytest.raises(MalformedReply):
        feed_all()


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n", True),
    ],
)
def test_a_connection_is_used_again_if_the_server_keeps_it(head: bytes, reusable: bool) -> None:
    reader = ReplyReader()
    reader.feed(head + b"content-length: 2\r\n\r\n{}")
    assert (reader.complete, reader.reusable) == (True, reusable)
