"""JSON bodies, for all protocols: their limits, which are checked before parsing, and their parsing.

A parser holds the interpreter until it is done, and no other request is served meanwhile.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from functions.runtime.errors import InvalidInput, TooLarge

# Lists and objects are slowest to parse. 100,000 rows or events have fewer than this; parsing this many takes 50 ms.
MOST_CONTAINERS = 400_000
_SMALL_BYTES = 1_000_000
_NO_NUMBER = re.compile("-?(NaN|Infinity)")


def check_json(
    body: bytes, length: int, limit: int, *, what: str = "request", remedy: str = "send binary tensors, or several requests"
) -> None:
    """Check the first `length` bytes of a body against `limit` (bytes) and MOST_CONTAINERS. Raises TooLarge."""
    if length > limit:
        raise TooLarge(f"the {what} has {length} bytes of JSON, more than the limit of {limit}", remedy=remedy)
    if length > _SMALL_BYTES and body.count(b"[", 0, length) + body.count(b"{", 0, length) > MOST_CONTAINERS:
        raise TooLarge(f"the {what}'s JSON has more than {MOST_CONTAINERS} lists and objects", remedy=remedy)


def parse_json(body: bytes) -> Any:
    """Parse a body. Raises InvalidInput with the position of the error."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if _NO_NUMBER.match(error.doc, error.pos):
            remedy = "send null for a missing value"
            raise InvalidInput(f"the body is not JSON: {error}; NaN and infinity are not JSON", remedy=remedy) from None
        raise InvalidInput(f"the body is not JSON: {error}.") from None
