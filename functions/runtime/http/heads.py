"""Checks of an HTTP/1.1 request's head beyond its grammar, and the responses that refuse it (RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Iterable

# The limit of a request line and its headers together; proxies allow 8 to 64 KiB.
MAX_HEAD_BYTES = 64 * 1024
# A host and a port (RFC 3986, section 3.2), or nothing.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")


def refusal(status: bytes, sentence: bytes) -> bytes:
    """Make a whole response with an error sentence, after which the connection is closed."""
    body = b'{"error":"%b"}' % sentence
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def bad_request(sentence: bytes) -> bytes:
    """Make a whole 400 response."""
    return refusal(b"400 Bad Request", sentence)


TOO_LARGE = refusal(b"431 Request Header Fields Too Large", b"the headers have more than 65536 bytes; send smaller ones.")
TOO_SLOW = refusal(b"408 Request Timeout", b"the request did not arrive in time; send it faster, or in parts.")
NOT_HTTP = bad_request(b"the request is not valid HTTP/1.1: its head or the framing of its body cannot be parsed.")
BAD_VERSION = bad_request(b"unsupported HTTP version; send HTTP/1.1 or HTTP/1.0.")
NO_HOST = bad_request(b"the request has no Host header; send one.")
MANY_HOSTS = bad_request(b"the request has more than one Host header; send one.")
BAD_HOST = bad_request(b"the Host header must be a host with an optional port; send the one of the URL.")
BAD_CODING = bad_request(b"unsupported Transfer-Encoding; send the body with a Content-Length, or chunked only.")
TWO_LENGTHS = bad_request(b"the request has both Content-Length and Transfer-Encoding; send one of them.")


def fault_of(version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the response that refuses a request with these headers (names in lower case), or None for a valid one.

    Source: RFC 9112, sections 3.2 (Host), 6.1 and 6.3 (message body length). Servers that parse such a request in
    different ways can be made to see different requests (request smuggling).
    """
    host: bytes | None = None
    coding: bytes | None = None
    has_length = False
    for name, value in headers:
        if name == b"host":
            if host is not None:
                return MANY_HOSTS
            host = value
        elif name == b"content-length":
            has_length = True
        elif name == b"transfer-encoding":
            coding = value if coding is None else b"several"
    if coding is not None and (fault := _coding_fault(version, coding, has_length=has_length)):
        return fault
    if host is None:
        return NO_HOST if version == "1.1" else _version_fault(version)
    return _version_fault(version) if _HOST.fullmatch(host) else BAD_HOST


def size_of(url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return the bytes of the head, without the spaces around its values."""
    return len(url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in headers)


def _version_fault(version: str) -> bytes | None:
    return None if version in ("1.1", "1.0") else BAD_VERSION


def _coding_fault(version: str, coding: bytes, *, has_length: bool) -> bytes | None:
    if has_length:
        return TWO_LENGTHS
    return None if version == "1.1" and coding.strip().lower() == b"chunked" else BAD_CODING
