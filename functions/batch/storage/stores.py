"""The stores that files lie in: what each kind can do, and which one has a location."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol

from functions.batch.storage import locations
from functions.batch.storage.damage import DAMAGED, damaged
from functions.batch.storage.locations import Location
from functions.batch.storage.policy import Policy

# A file that is open for reading: a Python file, or one of PyArrow's.
OpenFile = IO[bytes] | Any


@dataclass(frozen=True, slots=True)
class Found:
    """A file in a store; `name` is relative to what was listed."""

    name: str
    location: Location
    size: int


class Store(Protocol):
    """A place with files. Errors are InvalidPath, of which each names the location."""

    def stat(self, location: Location) -> Found | None:
        """Return the file at a location, None when there is a folder, or nothing."""

    def walk(self, location: Location) -> Iterator[Found]:
        """Yield the files below a folder, in any order."""

    def open(self, location: Location) -> OpenFile:
        """Open a file for reading, seekable."""

    def version(self, file: OpenFile) -> str:
        """Return the version of an open file, which changes with its content."""


def store_of(location: Location, policy: Policy) -> Store:
    """Return the store that has a location."""
    if location.is_local:
        from functions.batch.storage.local import LocalStore

        return LocalStore(policy)
    if location.is_object:
        from functions.batch.storage.objects import ObjectStore

        return ObjectStore(location.scheme)
    from functions.batch.storage.web import WebStore

    return WebStore(policy)


def digest_of(location: str, policy: Policy) -> str | None:
    """Return the SHA-256 of a file in hexadecimal, None if there is none. Raises InvalidPath and InvalidDataset."""
    place = locations.parse(location)
    store = store_of(place, policy)
    if store.stat(place) is None:
        return None
    try:
        opened: Any = store.open(place)
        with opened as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except DAMAGED as error:
        raise damaged(location, error) from None
