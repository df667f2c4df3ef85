"""Avro values as JSON (Apache Avro 1.12, binary encoding), read with the schema that they were written with.

Decimals become numbers with all of their digits; dates, times and timestamps strings of ISO 8601; bytes and fixed ones
Base64; a union its value alone. NaN and the infinities, which JSON has not, become null.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import fastavro
import orjson

from common.errors import InvalidEvent
from eventing.codecs.registry import Reader

# Any schema becomes the type of this record's only field, which is encoded as the field alone: a union or a primitive
# type would lose the schemas that it refers to.
_RECORD, _FIELD = "tidegate__Value", "value"
_DETAIL_LENGTH = 300
# JSON of more levels is not written either.
_MOST_LEVELS = 250


def reader_of(schema: str, references: Sequence[str] = ()) -> Reader:
    """Return a reader of values. `references` are the schemas that it refers to, each after those that it needs itself.

    Raises InvalidEvent for a schema that is invalid, contains itself, or lets a few bytes mean endless items.
    """
    try:
        parsed = [orjson.loads(text) for text in (*references, schema)]
        types = _Types()
        for each in parsed:
            types.check(each)
        named: dict[str, Any] = {}
        for reference in parsed[:-1]:
            fastavro.parse_schema(reference, named)
        whole = {"type": "record", "name": _RECORD, "fields": [{"name": _FIELD, "type": parsed[-1]}]}
        writer = fastavro.parse_schema(whole, named)
    except InvalidEvent:
        raise
    except Exception as error:  # noqa: BLE001 a schema is anybody's, and the library raises whatever it comes upon
        raise InvalidEvent(f"the Avro schema is invalid: {_shown(error)}.") from None
    if parsed[-1] in ("bytes", {"type": "bytes"}):
        return _to_json  # Confluent's serializer writes such a value without its length
    return lambda value: _read(writer, value)


def _read(writer: Any, value: bytes) -> bytes:
    source = io.BytesIO(value)
    try:
        found: Any = fastavro.schemaless_reader(source, writer, None)
    except Exception as error:  # noqa: BLE001 a record is anybody's: too few bytes, no UTF-8, a date beyond the calendar
        raise InvalidEvent(f"the record's value does not match its Avro schema: {_shown(error)}.") from None
    if left := len(source.read()):
        raise InvalidEvent(f"the record's value does not match its Avro schema: {left} bytes are left after it.")
    return _to_json(found[_FIELD])


def _to_json(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=_default, option=orjson.OPT_UTC_Z)
    except orjson.JSONEncodeError as error:
        raise InvalidEvent(f"the record's value cannot be written as JSON: {error}.") from None


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is no type of Avro")


def _shown(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:_DETAIL_LENGTH].rstrip(".")


class _Type(NamedTuple):
    """What is known of a type: whether its values may have no bytes, and how many levels they have in JSON at most."""

    empty: bool
    levels: int


_PRIMITIVE = _Type(False, 0)


class _Types:
    """The checks that the library does not make, and that keep a record from ending the process.

    It reads on the stack of C, which a value of a schema that contains itself, or of one with thousands of levels, can
    exhaust; and an array of items of no bytes has as many items as its first bytes say.
    """

    def __init__(self) -> None:
        self._named: dict[str, _Type] = {}
        self._open: set[str] = set()

    def check(self, schema: Any, namespace: str = "") -> _Type:
        """Return what is known of a type, after the same checks of all types within it."""
        if isinstance(schema, list):
            return _Type(False, max((self.check(branch, namespace).levels for branch in schema), default=0))
        if isinstance(schema, str):
            return self._find(schema, namespace)
        kind = schema["type"]
        if isinstance(kind, (dict, list)):
            return self.check(kind, namespace)
        if kind in {"array", "map"}:
            return self._collection(kind, self.check(schema["items" if kind == "array" else "values"], namespace))
        if kind in {"record", "error", "enum", "fixed"}:
            return self._define(schema, kind, namespace)
        return self._find(kind, namespace)

    def _collection(self, kind: str, item: _Type) -> _Type:
        if item.empty and kind == "array":
            raise InvalidEvent("the Avro schema has an array of items without bytes", remedy="use a schema whose items have a value")
        return _deeper(False, item.levels)

    def _define(self, schema: Any, kind: str, namespace: str) -> _Type:
        name = _full_name(schema["name"], schema.get("namespace", namespace))
        if kind in {"enum", "fixed"}:
            found = _Type(kind == "fixed" and not schema["size"], 0)
        else:
            self._open.add(name)
            within = [self.check(field["type"], name.rpartition(".")[0]) for field in schema["fields"]]
            self._open.discard(name)
            found = _deeper(all(field.empty for field in within), max((field.levels for field in within), default=0))
        self._named[name] = found
        return found

    def _find(self, name: str, namespace: str) -> _Type:
        if name == "null":
            return _Type(True, 0)
        for known in (_full_name(name, namespace), name):
            if known in self._open:
                raise InvalidEvent(f"the Avro schema {known[:80]} contains itself", remedy="use a schema without recursion")
            if known in self._named:
                return self._named[known]
        return _PRIMITIVE


def _deeper(empty: bool, levels: int) -> _Type:
    if levels >= _MOST_LEVELS:
        raise InvalidEvent(f"the Avro schema has more than {_MOST_LEVELS} levels", remedy="use a flatter schema")
    return _Type(empty, levels + 1)


def _full_name(name: str, namespace: str | None) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
