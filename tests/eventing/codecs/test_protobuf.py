from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, timestamp_pb2, wrappers_pb2
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidEvent
from eventing.codecs import protobuf


def field(name: str, number: int, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "number": number, "type": f"TYPE_{kind}", "label": "LABEL_OPTIONAL", **more}


ENTRY = {
    "name": "SeatsEntry",
    "field": [field("key", 1, "BOOL"), field("value", 2, "INT32")],
    "options": {"mapEntry": True},
}
FLIGHT = {
    "name": "Flight",
    "field": [
        field("carrier_code", 1, "STRING"),
        field("number", 2, "INT64"),
        field("serial", 3, "UINT64"),
        field("distance", 4, "DOUBLE"),
        field("raw", 5, "BYTES"),
        field("state", 6, "ENUM", typeName=".air.State"),
        field("departed", 7, "MESSAGE", typeName=".google.protobuf.Timestamp"),
        field("gate", 8, "MESSAGE", typeName=".google.protobuf.Int64Value"),
        field("delays", 9, "INT32", label="LABEL_REPEATED"),
        field("seats", 10, "MESSAGE", label="LABEL_REPEATED", typeName=".air.Flight.SeatsEntry"),
        field("next", 11, "MESSAGE", typeName=".air.Flight"),
        field("late", 12, "BOOL", proto3Optional=True, oneofIndex=0),
    ],
    "oneofDecl": [{"name": "_late"}],
    "nestedType": [ENTRY, {"name": "Leg", "field": [field("to", 1, "STRING")]}],
}
FILE = {
    "name": "default",
    "package": "air",
    "syntax": "proto3",
    "dependency": ["google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto"],
    "messageType": [FLIGHT, {"name": "Other", "field": [field("a", 1, "INT32")]}],
    "enumType": [{"name": "State", "value": [{"name": "PLANNED", "number": 0}, {"name": "DEPARTED", "number": 1}]}],
}


def serialized(file: Mapping[str, Any]) -> str:
    return base64.b64encode(json_format.ParseDict(file, descriptor_pb2.FileDescriptorProto()).SerializeToString()).decode()


def flight_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    for module in (timestamp_pb2, wrappers_pb2):
        included = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(included)
        pool.Add(included)
    pool.Add(json_format.ParseDict(FILE, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("air.Flight"))


Flight = flight_class()
READ = protobuf.reader_of(serialized(FILE), {})
DEFAULTS = {"carrier_code": "", "number": 0, "serial": 0, "distance": 0.0, "raw": "", "state": "PLANNED", "delays": [], "seats": {}}


def read(message: Any) -> Any:
    return orjson.loads(READ(b"\x00" + message.SerializeToString()))


def test_message_becomes_json_with_the_names_of_its_schema() -> None:
    message = Flight(
        carrier_code="UA", number=-(2**62), serial=2**64 - 1, distance=12.5, raw=b"\x00\xff", state=1, delays=[3, -1], late=False
    )
    message.departed.FromJsonString("2026-11-27T09:05:00.25Z")
    message.gate.value = 2**60
    message.seats[True] = 7
    message.next.carrier_code = "AA"
    assert read(message) == {
        "carrier_code": "UA",
        "number": -(2**62),
        "serial": 2**64 - 1,
        "distance": 12.5,
        "raw": "AP8=",
        "state": "DEPARTED",
        "departed": "2026-11-27T09:05:00.250Z",
        "gate": 2**60,
        "delays": [3, -1],
        "seats": {"true": 7},
        "next": {**DEFAULTS, "carrier_code": "AA"},
        "late": False,
    }


def test_fields_that_are_not_set_have_their_default_or_are_left_out() -> None:
    assert read(Flight()) == DEFAULTS


def test_unknown_enum_is_its_number_and_not_a_number_is_null() -> None:
    found = read(Flight(state=9, distance=math.nan))
    assert (found["state"], found["distance"]) == (9, None)


texts = st.text(st.characters(exclude_categories=["Cs"]))
flights = st.fixed_dictionaries(
    {"carrier_code": texts, "number": st.integers(-(2**63), 2**63 - 1), "distance": st.floats(allow_nan=False, allow_infinity=False)},
    optional={"late": st.booleans()},
)


@given(flights, st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_value_becomes_the_same_json(fields: dict[str, Any], delays: list[int]) -> None:
    assert read(Flight(**fields, delays=delays)) == {**DEFAULTS, **fields, "delays": delays}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"\x02\x02\x08\x05", {"a": 5}), (b"\x04\x00\x02\x0a\x03LGA", {"to": "LGA"}), (b"\x02\x00", DEFAULTS)],
)
def test_indexes_name_the_message(value: bytes, expected: Any) -> None:
    assert orjson.loads(READ(value)) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "does not say of which message"),
        (b"\x04\x00", "does not say of which message"),
        (b"\x01", "does not say of which message"),
        (b"\xff\xff\xff\xff\xff\xff", "does not say of which message"),
        (b"\x02\x06", r"is of a message \[3\] that its Protobuf schema does not have"),
        (b"\x02\x01", r"is of a message \[-1\]"),
        (b"\x00\x0a\x05ab", "does not match its Protobuf schema"),
        (b"\x00\x0a\x02\xff\xff", "does not match its Protobuf schema"),
    ],
)
def test_value_of_another_schema_is_refused(value: bytes, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        READ(value)


def test_value_of_thousands_of_levels_is_refused() -> None:
    value = b""
    for _ in range(5000):
        value = b"\x5a" + _varint(len(value)) + value
    with pytest.raises(InvalidEvent, match="does not match its Protobuf schema"):
        READ(b"\x00" + value)


def _varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(value: bytes) -> None:
    try:
        found = READ(value)
    except InvalidEvent:
        return
    assert isinstance(orjson.loads(found), dict)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ('syntax = "proto3";', "the registry has its text only; use a registry"),
        (serialized({**FILE, "dependency": [*FILE["dependency"], "other.proto"]}), "imports 'other.proto', to which it has no reference"),
        (serialized({**FILE, "dependency": []}), "is invalid"),
        (serialized({**FILE, "dependency": ["schema.proto"]}), "is invalid"),
    ],
)
def test_schema_that_cannot_be_read_is_refused(schema: str, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        protobuf.reader_of(schema, {})
