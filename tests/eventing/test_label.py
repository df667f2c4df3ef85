from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidEvent
from eventing.event import Event
from eventing.label import Label, Request, from_event, prediction_digest
from eventing.reply import completed, reply_id

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
VALUES = st.floats(-1e299, 1e299)
LABELS = (
    st.builds(Label, model=TEXTS, value=VALUES, prediction=TEXTS)
    | st.builds(Label, model=TEXTS, value=VALUES, request=st.builds(Request, TEXTS, TEXTS))
    | st.builds(Label, model=TEXTS, value=VALUES, key=TEXTS)
)


@given(LABELS)
def test_a_label_survives_its_event(label: Label) -> None:
    event = label.to_event()
    assert from_event(Event(event.attributes, orjson.dumps(event.data))) == label
    assert event == label.to_event(), "an attempt to deliver it again is the same event"
    assert event.get("subject") == event.get("partitionkey") == label.model


@given(LABELS, LABELS)
def test_only_one_label_has_the_id_of_its_event(one: Label, other: Label) -> None:
    assert (one.to_event().id == other.to_event().id) == (one.to_event().data == other.to_event().data)


@pytest.mark.parametrize(("value", "expected"), [(True, 1.0), (False, 0.0), (3, 3.0), (-0.5, -0.5)])
def test_a_label_is_a_number_or_a_boolean(value: Any, expected: float) -> None:
    data = {"model": "flights", "prediction": "a", "value": value}
    assert from_event(Event(Label(model="flights", value=0, prediction="a").to_event().attributes, data)).value == expected


def test_a_request_names_the_reply_to_it() -> None:
    request = Event({"specversion": "1.0", "id": "7", "source": "/airline", "type": "departed"})
    reply = completed(request, "flights", None, {})
    label = Label(model="flights", value=True, request=Request("/airline", "7"))
    assert label.prediction_id == reply.id == reply_id("/airline", "7", "flights")
    assert Label(model="flights", value=True, key="N14228").prediction_id is None


@given(TEXTS, TEXTS)
def test_a_digest_is_a_number_that_json_keeps(one: str, other: str) -> None:
    digest = prediction_digest(one)
    assert 0 < digest < 2**53
    assert int(float(digest)) == digest
    assert (digest == prediction_digest(other)) == (one == other)


VALID: dict[str, Any] = {"model": "flights", "prediction": "a", "value": 1}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": None}, "model of the label must be a string of 1 to 1,024 characters"),
        ({"model": "m" * 1_025}, "model of the label must be a string of 1 to 1,024 characters"),
        ({"value": None}, "value of the label must be a number or a boolean"),
        ({"value": "1"}, "value of the label must be a number or a boolean"),
        ({"value": 1e300}, "value of the label must be a number or a boolean"),
        ({"prediction": ""}, "prediction of the label must be a string of 1 to 1,024 characters"),
        ({"prediction": None}, "the label is about no prediction; give exactly one of prediction, request, key"),
        ({"key": "N14228"}, "the label is about prediction and key at once; give exactly one of prediction, request, key"),
        ({"prediction": None, "key": 7}, "key of the label must be a string"),
        ({"request": "7"}, "request of the label must be an object with the source and the id"),
        ({"request": {"source": "/airline"}}, "id of request of the label must be a string"),
        ({"request": {"id": "7"}}, "source of request of the label must be a string"),
    ],
)
def test_an_invalid_label_is_refused_by_the_name_of_its_field(changes: dict[str, Any], sentence: str) -> None:
    event = Label(model="flights", value=1, prediction="a").to_event()
    with pytest.raises(InvalidEvent, match=sentence):
        from_event(Event(event.attributes, {**VALID, **changes}))


@pytest.mark.parametrize("data", [None, [], 3, b"\xff", b""])
def test_data_of_another_shape_is_no_label(data: Any) -> None:
    event = Label(model="flights", value=1, prediction="a").to_event()
    with pytest.raises(InvalidEvent):
        from_event(Event(event.attributes, data))
    with pytest.raises(InvalidEvent, match=r"not a dev\.tidegate\.outcome\.labelled"):
        from_event(event.with_attributes(type="other"))
