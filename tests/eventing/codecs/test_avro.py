from __future__ import annotations

import base64
import io
import json
import math
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidEvent
from eventing.codecs import avro


def written(schema: Any, value: Any) -> bytes:
    target = io.BytesIO()
    fastavro.schemaless_writer(target, fastavro.parse_schema(schema), value)
    return target.getvalue()


def read(schema: Any, value: Any) -> Any:
    return orjson.loads(avro.reader_of(json.dumps(schema))(written(schema, value)))


# Pairs of a type and of values with what they are in JSON; names are the places of their types.
texts = st.text(st.characters(exclude_categories=["Cs"]))
Typed = tuple[Any, Any, Any]
leaves: st.SearchStrategy[Typed] = st.one_of(
    st.booleans().map(lambda value: ("boolean", value, value)),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: ("int", value, value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: ("long", value, value)),
    st.floats(width=32).map(lambda value: ("float", value, value if math.isfinite(value) else None)),
    st.floats().map(lambda value: ("double", value, value if math.isfinite(value) else None)),
    st.binary().map(lambda value: ("bytes", value, base64.b64encode(value).decode())),
    texts.map(lambda value: ("string", value, value)),
)


def composed(within: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    def record(fields: list[Typed]) -> Typed:
        schema = {"type": "record", "fields": [{"name": f"f{number}", "type": field[0]} for number, field in enumerate(fields)]}
        given, expected = ({f"f{number}": field[part] for number, field in enumerate(fields)} for part in (1, 2))
        return schema, given, expected

    return st.one_of(
        st.lists(within, min_size=1, max_size=4).map(record),
        st.tuples(within, st.integers(0, 3)).map(
            lambda item: ({"type": "array", "items": item[0][0]}, [item[0][1]] * item[1], [item[0][2]] * item[1])
        ),
        st.tuples(within, texts).map(lambda item: ({"type": "map", "values": item[0][0]}, {item[1]: item[0][1]}, {item[1]: item[0][2]})),
        within.filter(lambda item: not isinstance(item[0], list)).map(lambda item: (["null", item[0]], item[1], item[2])),
        within.filter(lambda item: not isinstance(item[0], list)).map(lambda item: (["null", item[0]], None, None)),
    )


def named(schema: Any, path: str = "R") -> Any:
    """Return the schema with a name for each record."""
    if isinstance(schema, list):
        return [named(branch, f"{path}u{number}") for number, branch in enumerate(schema)]
    if not isinstance(schema, dict):
        return schema
    found = {key: named(value, f"{path}{key}") if key in {"items", "values"} else value for key, value in schema.items()}
    if schema["type"] == "record":
        found["name"] = path
        found["fields"] = [{**field, "type": named(field["type"], path + field["name"])} for field in schema["fields"]]
    return found


@given(st.recursive(leaves, composed, max_leaves=8))
def test_value_becomes_the_same_json(typed: Typed) -> None:
    schema, value, expected = typed
    assert read(named(schema), value) == expected or schema == "bytes"


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "int", "logicalType": "date"}, date(2026, 11, 27), '"2026-11-27"'),
        ({"type": "int", "logicalType": "time-millis"}, time(9, 5, 1, 250_000), '"09:05:01.250000"'),
        ({"type": "long", "logicalType": "timestamp-millis"}, datetime(2026, 11, 27, 9, 5, tzinfo=UTC), '"2026-11-27T09:05:00Z"'),
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            datetime(1969, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
            '"1969-01-01T00:00:00.000001Z"',
        ),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, datetime(2026, 11, 27, 9, 5), '"2026-11-27T09:05:00"'),  # noqa: DTZ001
        (
            {"type": "string", "logicalType": "uuid"},
            uuid.UUID("0b8a6f0e-8f5b-4b1c-9d8b-1f8f1c2d3e4f"),
            '"0b8a6f0e-8f5b-4b1c-9d8b-1f8f1c2d3e4f"',
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2},
            Decimal("12345678901234567890.10"),
            "12345678901234567890.10",
        ),
        ({"type": "fixed", "name": "F", "size": 4, "logicalType": "decimal", "precision": 5, "scale": 3}, Decimal("-0.500"), "-0.500"),
        ({"type": "enum", "name": "E", "symbols": ["AA", "UA"]}, "UA", '"UA"'),
        ({"type": "fixed", "name": "F", "size": 3}, b"\x00\x01\xff", '"AAH/"'),
        (["null", "string", "double"], 0.5, "0.5"),
        ("double", math.nan, "null"),
        ("double", -math.inf, "null"),
        ("null", None, "null"),
    ],
)
def test_types_have_a_form_in_json(schema: Any, value: Any, expected: str) -> None:
    assert avro.reader_of(json.dumps(schema))(written(schema, value)).decode() == expected


def test_top_level_bytes_have_no_length() -> None:
    assert avro.reader_of('"bytes"')(b"ab") == b'"YWI="'


def test_schema_may_refer_to_others_by_name() -> None:
    place = '{"type": "record", "name": "Place", "namespace": "air", "fields": [{"name": "code", "type": "string"}]}'
    leg = '{"type": "record", "name": "Leg", "namespace": "air", "fields": [{"name": "to", "type": "Place"}]}'
    legs = {"type": "array", "items": "air.Leg"}
    for schema in (legs, ["null", legs]):
        value = (b"\x02" if isinstance(schema, list) else b"") + b"\x02\x06LGA\x00"
        assert avro.reader_of(json.dumps(schema), [place, leg])(value) == b'[{"to":{"code":"LGA"}}]'


TREE = {"type": "record", "name": "Tree", "namespace": "a", "fields": [{"name": "left", "type": ["null", "Tree"]}]}
ENDLESS = {"type": "record", "name": "Endless", "fields": [{"name": "next", "type": "Endless"}]}
CHAIN: list[Any] = [{"type": "record", "name": "R0", "fields": [{"name": "f", "type": "int"}]}]
CHAIN += [{"type": "record", "name": f"R{number}", "fields": [{"name": "f", "type": f"R{number - 1}"}]} for number in range(1, 20_000)]
NOTHING = {"type": "record", "name": "Nothing", "fields": [{"name": "none", "type": "null"}]}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("{", "is invalid"),
        ("[]x", "is invalid"),
        ("{}", "is invalid"),
        ("5", "is invalid"),
        ('"unknown"', "is invalid: unknown"),
        ('{"type": "record", "name": "R"}', "is invalid"),
        (json.dumps(TREE), "a.Tree contains itself"),
        (json.dumps(ENDLESS), "Endless contains itself"),
        ('{"type": "array", "items": "null"}', "array of items without bytes"),
        (json.dumps({"type": "map", "values": {"type": "array", "items": NOTHING}}), "array of items without bytes"),
        ('{"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}', "array of items without bytes"),
        ('{"type":"array","items":' * 2000 + '"int"' + "}" * 2000, "is invalid"),
        ('{"type":"array","items":' * 300 + '"int"' + "}" * 300, "more than 250 levels"),
        (json.dumps(CHAIN), "more than 250 levels"),
    ],
)
def test_schema_that_cannot_be_read_is_refused(schema: str, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        avro.reader_of(schema)


FLIGHT = {
    "type": "record",
    "name": "Flight",
    "fields": [
        {"name": "carrier", "type": {"type": "enum", "name": "Carrier", "symbols": ["AA", "UA"]}},
        {"name": "departed", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
        {"name": "legs", "type": {"type": "array", "items": {"type": "map", "values": "string"}}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    ],
}
READ_FLIGHT = avro.reader_of(json.dumps(FLIGHT))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(value: bytes) -> None:
    try:
        found = READ_FLIGHT(value)
    except InvalidEvent:
        return
    assert orjson.loads(found).keys() == {"carrier", "departed", "legs", "price", "day"}


@pytest.mark.parametrize(
    ("schema", "value", "reason"),
    [
        ('"string"', b"\x06ab", "does not match its Avro schema"),
        ('"string"', b"\x04\xff\xff", "does not match its Avro schema: .*utf-8"),
        ('"int"', b"\x02\x02", "1 bytes are left after it"),
        ('{"type": "int", "logicalType": "date"}', b"\xfe\xff\xff\xff\x0f", "does not match its Avro schema"),
        ('["null", "int"]', b"\x08", "does not match its Avro schema"),
        ('{"type": "array", "items": "int"}', b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", "does not match its Avro schema"),
    ],
)
def test_value_of_another_schema_is_refused(schema: str, value: bytes, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        avro.reader_of(schema)(value)
