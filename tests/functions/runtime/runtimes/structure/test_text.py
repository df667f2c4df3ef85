from __future__ import annotations

import math

import pytest

from functions.runtime.runtimes.structure import text
from functions.runtime.runtimes.structure.fault import Fault


def test_numbers_that_only_xgboost_writes_are_read() -> None:
    found = text.parse(b'{"a":[NaN,Infinity,-Infinity,1E0]}')
    assert math.isnan(found["a"][0])
    assert found["a"][1:] == [math.inf, -math.inf, 1.0]


@pytest.mark.parametrize("content", [b'{"a": 1, "b": {"c": [1, {"d": 2}]}}', b'{"a" : "\\":"}', b'{"a":"x\\":y"}', b'{"a":[1,{"b":1}]}'])
def test_any_layout_is_read(content: bytes) -> None:
    assert "a" in text.parse(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"a":1,"a":2}', "a field twice"),
        (b'{"a" :1,"x":"\\":","a":2}', "a field twice"),
        (b'{"b":[1,{"a":1,"a":2}]}', "a field twice"),
        (b'{"a":1', "not JSON"),
        (b'{"a":01}', "not JSON"),
        (b'{"a":1}x', "not JSON"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"a":NaN,"b":' + b"1" * 5000 + b"}", "a number that is too long"),
    ],
)
def test_an_ambiguous_document_is_a_fault(content: bytes, reason: str) -> None:
    with pytest.raises(Fault, match=reason):
        text.parse(content)
