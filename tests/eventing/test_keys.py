from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.event import to_text
from eventing.keys import UnsupportedKey, key_text, plain_number

UTC = dt.UTC


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("007", "007"),
        ("1E05", "1E05"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (-(10**30), "-1" + 30 * "0"),
        (1.0, "1"),
        (-0.0, "0"),
        (0.1, "0.1"),
        # Of RFC 8785, appendix B.
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740992.0, "9007199254740992"),
        (295147905179352830000.0, "295147905179352830000"),
        (999999999999999700000.0, "999999999999999700000"),
        (1e21, "1e+21"),
        (9.999999999999997e22, "9.999999999999997e+22"),
        (0.000001, "0.000001"),
        (9.999999999999997e-7, "9.999999999999997e-7"),
        (333333333.33333329, "333333333.3333333"),
        (-0.0000033333333333333333, "-0.0000033333333333333333"),
        (Decimal("0.10"), "0.1"),
        (Decimal("1.00"), "1"),
        (Decimal("-0.00"), "0"),
        (Decimal("1E+3"), "1000"),
        (Decimal("12345678901234567890123456"), "12345678901234567890123456"),
        (Decimal("12345678901234567.125000"), "12345678901234567.125"),
        (dt.date(2013, 1, 2), "2013-01-02"),
        (dt.time(5, 0), "05:00:00"),
        (dt.datetime(2013, 1, 2, 5), "2013-01-02T05:00:00"),  # noqa: DTZ001
        (dt.datetime(2013, 1, 2, 5, 0, 0, 1, tzinfo=UTC), "2013-01-02T05:00:00.000001+00:00"),
    ],
)
def test_key_has_one_canonical_string(value: Any, text: str) -> None:
    assert key_text(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), b"1", [1], {}, None, dt.timedelta(1), object()])
def test_unsupported_key_is_refused(value: Any) -> None:
    with pytest.raises(UnsupportedKey, match="cannot be a key"):
        key_text(value)


@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.text()))
def test_key_is_equal_before_and_after_json(value: Any) -> None:
    assert key_text(orjson.loads(orjson.dumps(value))) == key_text(value)


@given(st.one_of(st.integers(), st.booleans(), st.text()))
def test_attribute_is_written_like_a_key(value: Any) -> None:
    assert to_text(value) == key_text(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_number_keeps_its_value(value: float) -> None:
    assert float(key_text(value)) == value


@given(st.integers(-(2**53), 2**53))
def test_integer_is_written_alike_in_every_type(value: int) -> None:
    assert {key_text(value), key_text(float(value)), key_text(Decimal(value)), key_text(Decimal(value).scaleb(-2).scaleb(2))} == {
        str(value)
    }


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_decimal_that_json_can_carry_is_written_like_its_number(value: Decimal) -> None:
    number = plain_number(value)
    assert Decimal(key_text(value)) == value
    assert number is None or key_text(number) == key_text(value)
