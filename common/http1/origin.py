"""The server of a URL, the parts of a request to it, and the head of a request."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

_PORTS = {"http": 80, "https": 443}
# Methods whose requests have a meaning for a body (RFC 9110, section 8.6): without one they say so.
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
# Characters of a path or a query that remain as they are (RFC 3986, sections 3.3 and 3.4).
_SAFE = "%/?:@!$&'()*+,;="


class InvalidHead(ValueError):
    """A header or the target has a line break, and would become another header, or another request."""


class Origin(NamedTuple):
    """A host and a port, the `authority` that the Host header names, and the path that its targets begin with."""

    host: str
    port: int
    authority: bytes
    path: bytes
    is_secure: bool


class Address(NamedTuple):
    """A request's origin, its target, and the header with the credentials that its URL has, if any."""

    origin: Origin
    target: str
    credentials: tuple[tuple[bytes, bytes], ...]


@lru_cache(4096)
def origin_of(url: str) -> Origin:
    """Return the origin of a URL, whose scheme is https or http."""
    parts = urlsplit(url)
    return _origin(parts, parts.path)


def address_of(url: str) -> Address:
    """Return what a request to exactly this URL needs. Characters that no request may have are percent-encoded."""
    parts = urlsplit(url)
    target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    return Address(_origin(parts, ""), target, _credentials(parts))


def _origin(parts: SplitResult, path: str) -> Origin:
    host = parts.hostname or ""
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    shown = f"[{host}]" if ":" in host else host
    default = _PORTS["https" if parts.scheme == "https" else "http"]
    port = parts.port or default
    authority = shown if port == default else f"{shown}:{port}"
    return Origin(host, port, authority.encode("ascii"), path.encode(), parts.scheme == "https")


def _credentials(parts: SplitResult) -> tuple[tuple[bytes, bytes], ...]:
    """The header of the user information of a URL (RFC 7617)."""
    if parts.username is None:
        return ()
    pair = b"%b:%b" % (unquote_to_bytes(parts.username), unquote_to_bytes(parts.password or ""))
    return ((b"authorization", b"Basic " + b2a_base64(pair, newline=False)),)


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
