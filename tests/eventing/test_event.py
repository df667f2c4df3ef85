from __future__ import annotations

from typing import Any

import pytest

from common.errors import InvalidEvent
from eventing.event import Event, check, is_json, to_text

EVENT = Event({"specversion": "1.0", "id": "1", "source": "/a", "type": "t", "urgent": True, "rank": 3})


def test_attributes_are_read_in_canonical_form() -> None:
    assert (EVENT.id, EVENT.source, EVENT.type) == ("1", "/a", "t")
    assert (EVENT.get("urgent"), EVENT.get("rank"), EVENT.get("absent")) == ("true", "3", None)
    assert to_text(value=False) == "false"


def test_with_attributes_leaves_the_event_unchanged() -> None:
    assert EVENT.with_attributes(rank=4).get("rank") == "4"
    assert EVENT.get("rank") == "3"


@pytest.mark.parametrize(
    "content_type", [None, "application/json", "Application/JSON; charset=utf-8", "application/problem+json", "text/json"]
)
def test_json_media_types_are_recognised(content_type: str | None) -> None:
    assert is_json(content_type)


@pytest.mark.parametrize("content_type", ["text/plain", "application/jsonlines", "application/xml", ""])
def test_other_media_types_are_not_json(content_type: str) -> None:
    assert not is_json(content_type)


def test_data_is_read_as_a_value_or_as_bytes() -> None:
    assert Event({}, b'{"a":1}').value() == {"a": 1}
    assert Event({}, {"a": 1}).payload() == b'{"a":1}'
    assert Event({}, b"\xff").payload() == b"\xff"
    assert Event({}).payload() is None
    with pytest.raises(InvalidEvent, match="not JSON"):
        Event({}, b"{").value()


@pytest.mark.parametrize("name", ["source", "own"])
def test_deeply_nested_attribute_is_refused(name: str) -> None:
    deep: Any = []
    for _ in range(1_000):
        deep = [deep]
    attributes: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", name: deep}
    with pytest.raises(InvalidEvent, match=r"is a list; it must be a (non-empty )?string"):
        check(attributes)
