from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidEvent
from eventing.codecs import registry


@given(st.integers(0, 2**32 - 1), st.binary())
def test_value_survives_the_wire_format(schema: int, value: bytes) -> None:
    framed = registry.join(schema, value)
    assert framed[:5] == b"\x00" + schema.to_bytes(4, "big")
    assert registry.split(framed) == (schema, value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])), st.lists
)


@given(json_values, st.sampled_from([b"", b" ", b"\n"]))
def test_json_is_never_taken_for_the_wire_format(value: object, before: bytes) -> None:
    assert registry.split(before + orjson.dumps(value)) is None


@pytest.mark.parametrize("value", [None, b"", b"\x00", b"\x00\x00\x00\x01", b"\x01\x00\x00\x00\x01\x02"])
def test_too_short_or_unmarked_value_is_not_in_the_wire_format(value: bytes | None) -> None:
    assert registry.split(value) is None


def test_value_of_a_json_schema_must_be_json() -> None:
    assert registry.read_json(b'{"a":1}') == b'{"a":1}'
    with pytest.raises(InvalidEvent, match="is not JSON, although its schema is of JSON"):
        registry.read_json(b"{a")
