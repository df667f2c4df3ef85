"""Exceptions of PyArrow while a file is read: is the file damaged, or its store out of reach?"""

from __future__ import annotations

import re

import pyarrow as pa

from common.errors import TidegateError
from functions.batch.errors import InvalidDataset, InvalidPath, first_line

# Exceptions of PyArrow for a damaged file.
DAMAGED = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, IndexError, KeyError)

# The reason in the texts of each store, as a name in capital letters, snake case or camel case.
_REASONS = (
    re.compile(r"AWS Error ([A-Z_]+)"),
    re.compile(r"google::cloud::Status\(([A-Z_]+)"),
    re.compile(r"Azure Error: \[(\w+)\]"),
)
# Azure's SDK got no response: the reason follows instead, after a URL that may hold a token.
_NO_RESPONSE = re.compile(r"Azure Error: \[\] (.+)")
_STORE = re.compile(r"AWS Error|google::cloud|GcsFile|Azure|curl", re.IGNORECASE)


def damaged(name: str, error: BaseException, fault: str = "is damaged", *, remedy: str = "write it again") -> TidegateError:
    """Return the error of a file that cannot be read, by the exception that the library raised."""
    if _STORE.search(str(error)):
        return unreachable(name, error)
    return InvalidDataset(f"{name} {fault} ({first_line(error)})", remedy=remedy)


def unreachable(name: str, error: BaseException) -> InvalidPath:
    """Return the error of a store that does not give a file. The library's text may hold keys, and is redacted."""
    return InvalidPath(f"cannot read {name} ({store_reason(error)})", remedy="check the location, and the credentials of the store")


def store_reason(error: BaseException) -> str:
    """Return the reason that a store gave, in few words."""
    text = str(error)
    if isinstance(error, FileNotFoundError) or text.startswith("No such file or directory"):
        return "not found"
    found = next(filter(None, (pattern.search(text) for pattern in _REASONS)), None)
    if found:
        return _words(found[1])
    no_response = _NO_RESPONSE.search(text)
    return first_line(ConnectionError(no_response[1]) if no_response else error)


def _words(name: str) -> str:
    """Return a name such as NOT_FOUND or ContainerNotFound as words."""
    return name.lower().replace("_", " ") if name.isupper() else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
