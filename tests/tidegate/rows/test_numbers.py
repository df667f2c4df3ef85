from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.rows.numbers import by_form


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.011811023622047244", 0.011811023622047244),
        ("1e-100", 1e-100),
        ("+50.5", 50.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1E5", 1e5),
        ("-0.0", -0.0),
        ("9223372036854775808", 2**63),
        ("18446744073709551616", "18446744073709551616"),
        ("00123", "00123"),
        ("-007", "-007"),
        ("1e999", "1e999"),
        ("1_000", "1_000"),
        ("٣", "٣"),
        (" 5", " 5"),
        ("0x10", "0x10"),
        ("nan", "nan"),
        ("Infinity", "Infinity"),
        ("True", "True"),
        ("true", True),
        ("false", False),
        ("2024-01-02", "2024-01-02"),
        ("1.2.3", "1.2.3"),
        ("-", "-"),
        (".", "."),
    ],
)
def test_cell_of_unknown_type_is_converted_by_its_form(text: str, value: Any) -> None:
    found = by_form(text)
    assert (found, type(found)) == (value, type(value))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_survives_as_text(number: float) -> None:
    for text in (repr(number), json.dumps(number), f"{number:.17g}", f"{number:.17E}", f"{number:+.17e}"):
        assert struct.pack("d", by_form(text)) == struct.pack("d", number) or (number == 0 and by_form(text) == 0)


@given(st.text(min_size=1))
def test_any_text_becomes_a_json_value(text: str) -> None:
    found = by_form(text)
    assert found == text or (type(found) in (int, float, bool) and math.isfinite(found))
