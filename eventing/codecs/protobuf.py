"""Protobuf values as JSON, read with the descriptors of their schema: no code is generated, and no compiler is run.

Fields keep the names of the schema. Integers of 64 bits are numbers, unlike in Protobuf's own mapping to JSON, since a
model takes numbers; bytes are Base64, and NaN and the infinities null. Messages of `google.protobuf`, such as a
Timestamp, have the form of that mapping.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    json_format,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

from common.errors import InvalidEvent
from eventing.codecs.registry import Reader

_FILE = "schema.proto"
_DETAIL_LENGTH = 300
_PACKAGE = "google.protobuf"
_INCLUDED = {
    module.DESCRIPTOR.name: module.DESCRIPTOR
    for module in (any_pb2, descriptor_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
}


def reader_of(schema: str, references: Mapping[str, str]) -> Reader:
    """Return a reader of values that begin with the indexes of their message.

    Schemas are file descriptors in Base64; `references` are those of the files that are imported, by their names.
    Raises InvalidEvent for a schema that is invalid, or imports a file that is neither there nor Google's own.
    """
    try:
        pool = descriptor_pool.DescriptorPool()
        files = {name: _descriptor(name, text) for name, text in (*references.items(), (_FILE, schema))}
        _add(pool, _FILE, files, set())
        file = pool.FindFileByName(_FILE)
    except InvalidEvent:
        raise
    except Exception as error:  # noqa: BLE001 a schema is anybody's, and the library raises whatever it comes upon
        raise InvalidEvent(f"the Protobuf schema is invalid: {_shown(error)}.") from None
    known: dict[tuple[int, ...], Any] = {}
    return partial(_read, file, known)


def _descriptor(name: str, text: str) -> Any:
    try:
        found = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise InvalidEvent(
            "the registry has its text only", remedy="use a registry that answers with serialized Protobuf schemas (format=serialized)"
        ) from None
    found.name = name
    return found


def _add(pool: Any, name: str, files: Mapping[str, Any], added: set[str]) -> None:
    """Add a file after those that it imports."""
    if name in added:
        return
    added.add(name)
    found = files.get(name)
    if found is None:
        if name not in _INCLUDED:
            raise InvalidEvent(f"the Protobuf schema imports {name[:200]!r}, to which it has no reference", remedy="register it with one")
        found = descriptor_pb2.FileDescriptorProto()
        _INCLUDED[name].CopyToProto(found)
    for dependency in found.dependency:
        _add(pool, dependency, files, added)
    pool.Add(found)


def _read(file: Any, known: dict[tuple[int, ...], Any], value: bytes) -> bytes:
    indexes, start = _indexes(value)
    try:
        if indexes not in known:
            known[indexes] = message_factory.GetMessageClass(_message_type(file, indexes))
        return orjson.dumps(_object(known[indexes].FromString(value[start:])))
    except InvalidEvent:
        raise
    except Exception as error:  # noqa: BLE001 a record is anybody's
        raise InvalidEvent(f"the record's value does not match its Protobuf schema: {_shown(error)}.") from None


def _message_type(file: Any, indexes: tuple[int, ...]) -> Any:
    types = list(file.message_types_by_name.values())
    found = None
    for index in indexes:
        if not 0 <= index < len(types):
            raise InvalidEvent(f"the record's value is of a message {list(indexes)[:20]} that its Protobuf schema does not have.")
        found = types[index]
        types = list(found.nested_types)
    return found


def _indexes(value: bytes) -> tuple[tuple[int, ...], int]:
    """Return the place of the message in its file, and where its value starts. A count of 0 means the first message."""
    count, at = _varint(value, 0)
    if count < 0 or count > len(value):
        raise _no_message()
    indexes: list[int] = []
    for _ in range(count):
        index, at = _varint(value, at)
        indexes.append(index)
    return tuple(indexes) or (0,), at


def _varint(value: bytes, at: int) -> tuple[int, int]:
    """Return a signed integer in ZigZag encoding, and where the next begins."""
    found = 0
    for shift in range(0, 35, 7):
        if at >= len(value):
            break
        byte = value[at]
        at += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (found >> 1) ^ -(found & 1), at
    raise _no_message()


def _no_message() -> InvalidEvent:
    return InvalidEvent("the record's value does not say of which message of its Protobuf schema it is.")


def _object(message: Any) -> Any:
    descriptor = message.DESCRIPTOR
    if descriptor.file.package == _PACKAGE:
        if descriptor.full_name.endswith("Value") and list(descriptor.fields_by_name) == ["value"]:  # wrappers
            return _of(descriptor.fields_by_name["value"])(message.value)
        return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=descriptor.file.pool)
    found: dict[str, Any] = {}
    for field in descriptor.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        found[field.name] = _field(field, getattr(message, field.name))
    return found


def _field(field: Any, value: Any) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        convert = _of(kind.fields_by_name["value"])
        return {_key(key): convert(value[key]) for key in value}
    if _is_repeated(field):
        return [_of(field)(item) for item in value]
    return _of(field)(value)


def _is_repeated(field: Any) -> bool:
    # The older attribute is deprecated, and the newer one not in all supported versions.
    return bool(field.is_repeated) if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


def _of(field: Any) -> Callable[[Any], Any]:
    """Return the conversion of one value of a field."""
    if field.message_type is not None:
        return _object
    if field.enum_type is not None:
        names = field.enum_type.values_by_number
        return lambda value: names[value].name if value in names else value
    if field.type == field.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    return lambda value: value


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _shown(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:_DETAIL_LENGTH].rstrip(".")
