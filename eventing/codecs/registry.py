"""The wire format of values with a schema in a registry (Confluent's): a byte 0, the schema's id, and the value itself."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import orjson

from common.errors import InvalidEvent

_HEAD = struct.Struct(">BI")
_MAGIC = 0

Reader = Callable[[bytes], bytes]
"""Returns the value without its head as JSON. Raises InvalidEvent for bytes that do not match the schema."""


class Framed(NamedTuple):
    """A value and the id of the schema that it was written with."""

    schema: int
    value: bytes


def split(value: bytes | None) -> Framed | None:
    """Return the parts of a value in the wire format; None for any other. No JSON text begins as the format does."""
    if value is None or len(value) < _HEAD.size or value[0] != _MAGIC:
        return None
    return Framed(_HEAD.unpack_from(value)[1], value[_HEAD.size :])


def join(schema: int, value: bytes) -> bytes:
    """Return a value in the wire format."""
    return _HEAD.pack(_MAGIC, schema) + value


def read_json(value: bytes) -> bytes:
    """Return a value of a JSON schema, which is JSON already. Raises InvalidEvent when it is not."""
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"the record's value is not JSON, although its schema is of JSON: {error}.") from None
    return value
