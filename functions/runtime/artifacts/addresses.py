"""Addresses of artifacts: what a URI says, whether it lies within another, and how much of it a person may be shown."""

from __future__ import annotations

import re
from typing import NamedTuple

# One strict form rather than a parser that mends: two libraries never mend alike, and between them a URI leads elsewhere.
_FORM = (
    r"(?P<scheme>[a-z][a-z0-9+.\-]*)://(?P<authority>(?:[A-Za-z0-9._\-]*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?)"
    r"(?P<path>(?:/[^\x00-\x1f\x7f?#\\]*)?)(?P<query>(?:\?[^\x00-\x20\x7f#\\]*)?)"
)
# A dot, a slash, a backslash, a percent sign, a control character, or the beginning of what is no UTF-8.
_HIDDEN = r"(?i)%(2e|2f|5c|25|7f|c[01]|[01][0-9a-f])"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_WITHOUT_AUTHORITY = ("file", "memory")


class InvalidAddress(ValueError):
    """The message says what is wrong without repeating the address, which may hold a password."""


class Address(NamedTuple):
    """`path` is the path's segments as they are written; `query` begins with its question mark, and is part of no comparison."""

    scheme: str
    authority: str
    path: tuple[str, ...]
    query: str = ""

    def within(self, prefix: Address) -> bool:
        """Under it, at the boundary of a segment: s3://models-old is not within s3://models."""
        segments = prefix.path[:-1] if prefix.path[-1:] == ("",) else prefix.path
        return self[:2] == prefix[:2] and self.path[: len(segments)] == segments

    @property
    def suffix(self) -> str:
        """Of the file, such as .ubj; empty when it has none that could name a format."""
        found = re.search(r"\.[A-Za-z0-9]{1,16}$", self.path[-1]) if self.path else None
        return found[0] if found else ""

    def __str__(self) -> str:
        """Without the query, which may be a signature."""
        path = "".join(f"/{segment}" for segment in self.path)
        return f"{self.scheme}://{self.authority}{path}{'?…' if self.query else ''}"


def parse(uri: str) -> Address:
    """Raises InvalidAddress, most of all for what could lead elsewhere than it seems to."""
    found = re.fullmatch(_FORM, uri)
    if found is None:
        raise InvalidAddress("is no plain scheme://host/path; leave out user names, passwords, fragments and backslashes")
    scheme, authority, path = found["scheme"], found["authority"], tuple(found["path"].split("/")[1:])
    if not authority and scheme not in _WITHOUT_AUTHORITY:
        raise InvalidAddress("names no host or bucket")
    if authority and scheme == "file":
        raise InvalidAddress("names a host; a file is file:///path")
    if re.search(_HIDDEN, found["path"]) or any(segment.partition(";")[0] in (".", "..") for segment in path):
        raise InvalidAddress("does not lead straight to its file; leave out . and .. and their percent-encodings")
    if scheme in _DEFAULT_PORTS:
        authority = authority.lower().removesuffix(_DEFAULT_PORTS[scheme])
    return Address(scheme, authority, path, found["query"])


def shown(uri: str) -> str:
    """For messages: never a user name, a password or a query."""
    try:
        return str(parse(uri))
    except InvalidAddress:
        found = re.match(r"[A-Za-z0-9+.\-]{0,20}", uri)
        return f"{found[0] if found else ''}://…"
