from __future__ import annotations

import pytest

from common.environ import flag, integer, number, one_of, required, url
from common.errors import InvalidSetting


def test_empty_variable_counts_as_missing() -> None:
    environ = {"X": ""}
    assert number(environ, "X", 0.5) == 0.5
    assert integer(environ, "X", 3) == 3
    assert one_of(environ, "X", "a", ("a", "b")) == "a"
    assert flag(environ, "X", True)
    with pytest.raises(InvalidSetting, match="X is not set; set it in the environment of the process"):
        required(environ, "X")


def test_bounds_are_included() -> None:
    assert number({"X": "1"}, "X", 0, least=1, most=2) == 1
    assert integer({"X": "2"}, "X", 0, least=1, most=2) == 2


@pytest.mark.parametrize("value", ["0.5", "2.5", "nan", "inf", "-inf", "one", "1,5", "1_0e400"])
def test_invalid_number_is_reported_with_its_bounds(value: str) -> None:
    with pytest.raises(InvalidSetting) as raised:
        number({"X": value}, "X", 1, least=1, most=2)
    assert (raised.value.message, raised.value.remedy) == (f"X is {value!r}", "set a number from 1 to 2")


def test_invalid_number_without_an_upper_bound_is_reported() -> None:
    with pytest.raises(InvalidSetting, match=r"X is '-1'; set a number of at least 0\."):
        number({"X": "-1"}, "X", 1)


def test_fraction_is_not_an_integer() -> None:
    with pytest.raises(InvalidSetting, match=r"X is '1.5'; set an integer\."):
        integer({"X": "1.5"}, "X", 1)


def test_unknown_choice_is_reported_with_the_choices() -> None:
    with pytest.raises(InvalidSetting, match=r"X is 'yes'; set one of true, false\."):
        flag({"X": "yes"}, "X", False)


@pytest.mark.parametrize(
    "value", ["broker/x", "ftp://broker", "http://", "http://broker:0/", "http://[::1", "http://user:secret@", f"http://{70 * 'ü'}/"]
)
def test_what_is_not_an_http_url_is_reported_without_its_credentials(value: str) -> None:
    with pytest.raises(InvalidSetting, match=r"^X is '.*'; set an http or https URL, such as") as raised:
        url({"X": value}, "X")
    assert "secret" not in str(raised.value)


def test_a_url_is_optional() -> None:
    assert url({"X": "https://broker.svc:8443/a?b=c"}, "X") == "https://broker.svc:8443/a?b=c"
    assert url({"X": ""}, "X") is None
