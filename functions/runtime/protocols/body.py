"""A body of JSON, whichever protocol it speaks."""

from __future__ import annotations

from typing import Any

import orjson

from functions.runtime.errors import InvalidInput


def parse_json(body: bytes) -> Any:
    """Raises InvalidInput, saying where it is no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error}.") from None
