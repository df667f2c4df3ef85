from __future__ import annotations

from common import http_headers


def test_hop_by_hop_headers_are_dropped() -> None:
    text = [("Host", "a"), ("TE", "trailers"), ("connection", "close, X-Own"), ("x-own", "1"), ("X-Else", "2"), ("Connection", "x-more")]
    text += [("X-More", "3"), ("x-else", "4"), ("Transfer-Encoding", "chunked"), ("Expect", "100-continue")]
    assert http_headers.end_to_end(text) == [("Host", "a"), ("X-Else", "2"), ("x-else", "4")]
    raw = [(name.encode(), value.encode()) for name, value in text]
    assert http_headers.end_to_end([*raw, (b"x-\xff", b"\xff")]) == [
        (b"Host", b"a"),
        (b"X-Else", b"2"),
        (b"x-else", b"4"),
        (b"x-\xff", b"\xff"),
    ]
