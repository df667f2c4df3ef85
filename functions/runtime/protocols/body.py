"""A body of JSON, whichever protocol it speaks."""

from __future__ import annotations

import re
from typing import Any

import orjson

from functions.runtime.errors import InvalidInput

_NO_NUMBER = re.compile("-?(NaN|Infinity)")


def parse_json(body: bytes) -> Any:
    """Raises InvalidInput, saying where it is no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        remedy = "; NaN and infinity are not JSON: send null for what is missing" if _NO_NUMBER.match(error.doc, error.pos) else ""
        raise InvalidInput(f"the body is not JSON: {error}{remedy}.") from None
