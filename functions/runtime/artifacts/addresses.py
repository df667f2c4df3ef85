"""Addresses of artifacts: the parts of a URI, prefixes, and a form without secrets for messages."""

from __future__ import annotations

import re
from typing import NamedTuple

# One strict form rather than a parser that repairs: two libraries do not repair alike, and the URI that was checked
# would not be the one that is fetched.
_FORM = (
    r"(?P<scheme>[a-z][a-z0-9+.\-]*)://(?P<authority>(?:[A-Za-z0-9._\-]*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?)"
    r"(?P<path>(?:/[^\x00-\x1f\x7f?#\\]*)?)(?P<query>(?:\?[^\x00-\x20\x7f#\\]*)?)"
)
# A dot, a slash, a backslash, a percent sign, a control character, or the first byte of invalid UTF-8.
_HIDDEN = r"(?i)%(2e|2f|5c|25|7f|c[01]|[01][0-9a-f])"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_WITHOUT_AUTHORITY = ("file", "memory")


class InvalidAddress(ValueError):
    """An invalid URI.

    `reason` continues "the artifact …"; neither it nor `remedy` repeats the address, which may hold a password.
    """

    def __init__(self, reason: str, *, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


class Address(NamedTuple):
    """A parsed URI.

    `path` has the segments as written; `query` includes its question mark, and takes no part in comparisons.
    """

    scheme: str
    authority: str
    path: tuple[str, ...]
    query: str = ""

    def within(self, prefix: Address) -> bool:
        """Whether the address is under the prefix, by whole segments: s3://models-old is not within s3://models."""
        segments = prefix.path[:-1] if prefix.path[-1:] == ("",) else prefix.path
        return self[:2] == prefix[:2] and self.path[: len(segments)] == segments

    @property
    def suffix(self) -> str:
        """The suffix of the file, such as .ubj; empty when it has none that could name a format."""
        found = re.search(r"\.[A-Za-z0-9]{1,16}$", self.path[-1]) if self.path else None
        return found[0] if found else ""

    def __str__(self) -> str:
        """The address without its query, which may be a signature."""
        path = "".join(f"/{segment}" for segment in self.path)
        return f"{self.scheme}://{self.authority}{path}{'?…' if self.query else ''}"


def parse(uri: str) -> Address:
    """Parse a URI. Raises InvalidAddress, above all for a URI that another parser could resolve to another place."""
    found = re.fullmatch(_FORM, uri)
    if found is None:
        raise InvalidAddress("is not a plain scheme://host/path", remedy="leave out user names, passwords, fragments and backslashes")
    scheme, authority, path = found["scheme"], found["authority"], tuple(found["path"].split("/")[1:])
    if not authority and scheme not in _WITHOUT_AUTHORITY:
        raise InvalidAddress("has no host or bucket", remedy="write scheme://host/path")
    if authority and scheme == "file":
        raise InvalidAddress("has a host", remedy="write a file as file:///path")
    if re.search(_HIDDEN, found["path"]) or any(segment.partition(";")[0] in (".", "..") for segment in path):
        raise InvalidAddress("is not normalized", remedy="leave out . and .. and their percent-encodings")
    if scheme in _DEFAULT_PORTS:
        authority = authority.lower().removesuffix(_DEFAULT_PORTS[scheme])
    return Address(scheme, authority, path, found["query"])


def redacted(uri: str) -> str:
    """A URI for messages, without user name, password and query."""
    try:
        return str(parse(uri))
    except InvalidAddress:
        found = re.match(r"[A-Za-z0-9+.\-]{0,20}", uri)
        return f"{found[0] if found else ''}://…"
