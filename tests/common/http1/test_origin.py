from __future__ import annotations

import pytest

from common.http1.origin import InvalidHead, address_of, head_of, origin_of


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("http://flights.models.svc.cluster.local", "flights.models.svc.cluster.local", 80, b"flights.models.svc.cluster.local"),
        ("http://V1-flights.localhost:8080", "v1-flights.localhost", 8080, b"v1-flights.localhost:8080"),
        ("http://flights.example.com:80", "flights.example.com", 80, b"flights.example.com"),
        ("http://[::1]:8080", "::1", 8080, b"[::1]:8080"),
        ("https://flights.example.com", "flights.example.com", 443, b"flights.example.com"),
        ("https://flights.example.com:80", "flights.example.com", 80, b"flights.example.com:80"),
        ("http://flüge:8080", "xn--flge-1ra", 8080, b"xn--flge-1ra:8080"),
        ("http://user:secret@flights:8080", "flights", 8080, b"flights:8080"),
    ],
)
def test_a_url_names_a_host_and_a_port(url: str, host: str, port: int, authority: bytes) -> None:
    assert origin_of(url) == (host, port, authority, b"", url.startswith("https:"))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://sink", "/"),
        ("http://sink?a=b", "/?a=b"),
        ("http://sink/a/b?c=d%20e&f=%2F#part", "/a/b?c=d%20e&f=%2F"),
        ("http://sink/a b\u00e9?c=d e", "/a%20b%C3%A9?c=d%20e"),
        ("http://sink/a?labelSelector=a.b%2Fc%3Dd", "/a?labelSelector=a.b%2Fc%3Dd"),
    ],
)
def test_a_request_to_a_url_names_its_path_and_query(url: str, target: str) -> None:
    address = address_of(url)
    assert (address.target, address.credentials) == (target, ())
    assert head_of(address.origin, "GET", address.target, [], 0).startswith(b"GET %b HTTP/1.1\r\nhost: sink\r\n" % target.encode())


def test_credentials_of_a_url_become_a_header() -> None:
    address = address_of("http://user:pa%3Ass%C3%A9@sink/a")
    assert address.credentials == ((b"authorization", b"Basic dXNlcjpwYTpzc8Op"),)
    assert address.origin.authority == b"sink"


def test_a_head_says_how_long_the_body_is() -> None:
    origin = origin_of("http://flights:8080")
    assert head_of(origin, "GET", "/a", [], 0) == b"GET /a HTTP/1.1\r\nhost: flights:8080\r\n\r\n"
    assert head_of(origin, "POST", "/a", [], 0) == b"POST /a HTTP/1.1\r\nhost: flights:8080\r\ncontent-length: 0\r\n\r\n"
    assert head_of(origin, "DELETE", "/a", [(b"x", b"\xff")], 3).endswith(b"\r\nx: \xff\r\ncontent-length: 3\r\n\r\n")


@pytest.mark.parametrize("breaks", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("place", ["target", "name", "value"])
def test_a_line_break_cannot_begin_another_header(breaks: str, place: str) -> None:
    parts = {name: f"/a{breaks}x: 1" if name == place else "/a" for name in ("target", "name", "value")}
    with pytest.raises(InvalidHead):
        head_of(origin_of("http://flights"), "POST", parts["target"], [(parts["name"].encode(), parts["value"].encode())], 1)
