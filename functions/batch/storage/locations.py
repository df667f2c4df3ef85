"""Locations of data: a local path, or a URI of an object store or of a web server, as one value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from functions.batch.errors import InvalidPath
from functions.runtime.artifacts import addresses
from functions.runtime.artifacts.addresses import Address, InvalidAddress

OBJECT_STORES = ("s3", "gs", "az")
WEB = ("http", "https")

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
# Characters of a path that a message quotes.
_MAX_SHOWN = 200
# Characters that begin a pattern in a path. A question mark begins the query of a URI, so that it is none.
_PATTERN = re.compile(r"[*\[]")


@dataclass(frozen=True, slots=True)
class Location:
    """Where data lies.

    `path` is a local path as written, `bucket/key` in an object store, or a whole URL on a web server. The string form
    has no secrets, and is for messages.
    """

    scheme: str
    path: str
    query: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine's file systems."""
        return self.scheme == "file"

    @property
    def is_object(self) -> bool:
        """Whether it is in an object store."""
        return self.scheme in OBJECT_STORES

    @property
    def is_web(self) -> bool:
        """Whether it is on a web server."""
        return self.scheme in WEB

    @property
    def name(self) -> str:
        """The last segment of the path; empty for a bucket or a path that ends with a slash."""
        return "" if "/" not in self.path and self.is_object else self.path.rpartition("/")[2]

    @property
    def uri(self) -> str:
        """The location as `parse` reads it: a path, or a URI with its query."""
        return self.path if self.is_local else f"{self.scheme}://{self.path}{self.query}"

    @property
    def address(self) -> Address:
        """The address, for comparisons with prefixes; that of a local path is resolved."""
        if self.is_local:
            return Address("file", "", tuple(str(Path(self.path).resolve()).split("/")[1:]))
        authority, _, path = self.path.partition("/")
        return Address(self.scheme, authority, tuple(path.split("/")) if path else ())

    def child(self, name: str) -> Location:
        """Return the location of a relative name below this folder or prefix."""
        return Location(self.scheme, f"{self.path.rstrip('/')}/{name}" if name else self.path, self.query)

    def __str__(self) -> str:
        if self.is_local:
            return self.path if len(self.path) <= _MAX_SHOWN else f"{self.path[:_MAX_SHOWN]}…"
        return f"{self.scheme}://{self.path}{'?…' if self.query else ''}"


def parse(text: str) -> Location:
    """Parse a path or a URI. Raises InvalidPath, without the secrets that a URI may hold."""
    if "\0" in text:
        raise InvalidPath(f"the path {text[:_MAX_SHOWN]!r} has a NUL character", remedy="remove it")
    found = _URI.match(text)
    if found is None:
        return Location("file", text)
    scheme = found[1].lower()
    if scheme not in ("file", *OBJECT_STORES, *WEB):
        raise InvalidPath(f"the scheme {scheme} is not supported", remedy=f"use a path, or one of {', '.join((*OBJECT_STORES, *WEB))}")
    try:
        address = addresses.parse(f"{scheme}{text[len(scheme) :]}")
    except InvalidAddress as error:
        raise InvalidPath(f"the location {addresses.redacted(text)} {error.reason}", remedy=error.remedy) from None
    return _of_address(address)


def split_pattern(location: Location) -> tuple[Location, str]:
    """Return the folder above the first segment with a pattern, and the pattern below it; empty when there is none."""
    segments = location.path.split("/")
    first = next((number for number, segment in enumerate(segments) if _PATTERN.search(segment)), None)
    if first is None or location.is_web:
        return location, ""
    above = "/".join(segments[:first]) or ("/" if location.path.startswith("/") else ".")
    return Location(location.scheme, above), "/".join(segments[first:])


def _of_address(address: Address) -> Location:
    path = "/".join(address.path)
    if address.scheme == "file":
        return Location("file", unquote(f"/{path}"))
    if address.scheme in OBJECT_STORES:
        if ":" in address.authority or address.authority.startswith("["):
            raise InvalidPath(f"the location {address} has a host instead of a bucket", remedy="write s3://bucket/key")
        if address.query:
            raise InvalidPath(f"the location {address} has a query", remedy="set options of the store in the environment")
    return Location(address.scheme, f"{address.authority}/{path}" if address.path else address.authority, address.query)
