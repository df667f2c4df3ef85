from __future__ import annotations

import re

import pytest

from tidegate.scaffolding.names import UnusableName, check


@pytest.mark.parametrize("name", ["a", "prices", "r2d2", "runtime2", "z" * 30])
def test_letters_and_digits_are_accepted(name: str) -> None:
    check(name)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("house-prices", "houseprices"),
        ("house_prices", "houseprices"),
        ("Prices", "prices"),
        ("2nd", "nd"),
        ("../prices", "prices"),
        ("prices\n", "prices"),
        ("é", "prices"),
        ("", "prices"),
        ("Router", "prices"),
        ("z" * 31, "z" * 30),
    ],
)
def test_invalid_name_is_refused_with_a_valid_one(name: str, near: str) -> None:
    with pytest.raises(UnusableName, match="use lower-case letters and digits, a letter first, at most 30") as raised:
        check(name)
    assert str(raised.value).startswith(repr(name))
    assert str(raised.value).endswith(f"such as {near}.")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("flights", "the example"),
        ("router", "a part of Tidegate"),
        ("stream", "a part of Tidegate"),
        ("kubernetes", "the Service of Kubernetes itself"),
        ("class", "a keyword of Python"),
        ("json", "a module of Python's own library"),
        ("null", "not a string in YAML"),
        ("yes", "not a string in YAML"),
        ("n", "not a string in YAML"),
    ],
)
def test_what_means_something_else_is_refused_with_one_that_does_not(name: str, reason: str) -> None:
    with pytest.raises(UnusableName, match=f"^{name} is {reason}") as raised:
        check(name)
    suggested = re.search(r"such as (\w+)\.$", str(raised.value))
    assert suggested
    check(suggested[1])
