"""Limits of JSON that hold before it is parsed: a parser holds the interpreter until it is done, and nothing else is
answered meanwhile."""

from __future__ import annotations

from functions.runtime.errors import TooLarge

# Lists and objects take a parser longest. 100,000 rows or events have fewer; parsing this many takes 50 ms.
MOST_CONTAINERS = 400_000
_SMALL_BYTES = 1_000_000


def check_json(
    body: bytes, length: int, limit: int, *, what: str = "request", remedy: str = "send binary tensors, or several requests"
) -> None:
    """Check the first `length` bytes of a body against `limit` (bytes) and MOST_CONTAINERS. Raises TooLarge."""
    if length > limit:
        raise TooLarge(f"the {what} has {length} bytes of JSON; at most {limit} fit: {remedy}.")
    if length > _SMALL_BYTES and body.count(b"[", 0, length) + body.count(b"{", 0, length) > MOST_CONTAINERS:
        raise TooLarge(f"the {what}'s JSON has more than {MOST_CONTAINERS} lists and objects; {remedy}.")
