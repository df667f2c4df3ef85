"""The server of a URL, and the head of a request to it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
# Methods whose requests have a meaning for a body (RFC 9110, section 8.6): without one they say so.
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class InvalidHead(ValueError):
    """A header or the target has a line break, and would become another header, or another request."""


class Origin(NamedTuple):
    """A host and a port, the `authority` that the Host header names, and the path that its targets begin with."""

    host: str
    port: int
    authority: bytes
    path: bytes
    is_secure: bool


@lru_cache(4096)
def origin_of(url: str) -> Origin:
    """Return the origin of a URL, whose scheme is https or http."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    default = _PORTS["https" if parts.scheme == "https" else "http"]
    port = parts.port or default
    authority = shown if port == default else f"{shown}:{port}"
    return Origin(host, port, authority.encode("ascii" if authority.isascii() else "idna"), parts.path.encode(), parts.scheme == "https")


def head_of(origin: Origin, method: str, target: str, headers: Iterable[tuple[bytes, bytes]], length: int) -> bytes:
    """Return the head of a request with a body of `length` bytes. Raises InvalidHead."""
    lines = [b"%b %b%b HTTP/1.1\r\nhost: %b" % (method.encode(), origin.path, target.encode("latin-1"), origin.authority)]
    lines += [name + b": " + value for name, value in headers]
    if length or method in _WITH_BODY:
        lines.append(b"content-length: %d" % length)
    lines.append(b"\r\n")
    head = b"\r\n".join(lines)
    # The first line has one break more than the others, and the last one is a break: equal numbers but for those.
    if head.count(b"\n") != len(lines) + 1 or head.count(b"\r") != len(lines) + 1:
        raise InvalidHead
    return head
