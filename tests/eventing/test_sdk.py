from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cloudevents.core.bindings import http as sdk_http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v03.event import CloudEvent as OldCloudEvent
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidEvent
from eventing.codecs import http, json
from eventing.event import Event, to_json
from eventing.sdk import from_sdk, to_sdk

MINIMAL: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t"}
TIMES = ["2026-11-23T02:30:00.272531213Z", "2026-11-23T02:30:00+00:00", "2026-11-23t02:30:00z", "2026-11-23T02:30:00.5-09:30"]

text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
names = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(lambda name: name not in {"data", "time", "subject", "dataschema"})
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(text, values, max_size=3)
json_types = st.sampled_from(["application/json", "application/problem+json", "Application/JSON; charset=utf-8", "model/gltf+json"])
other_types = st.sampled_from(["text/plain", "text/csv; charset=latin-1", "application/xml", "application/octet-stream"])
optional = st.fixed_dictionaries({}, optional={"time": st.sampled_from(TIMES), "subject": text, "dataschema": text})


def attributes_with(extensions: st.SearchStrategy[Any], content_types: st.SearchStrategy[str] | None) -> st.SearchStrategy[dict[str, Any]]:
    typed = (
        st.fixed_dictionaries({}, optional={"datacontenttype": json_types})
        if content_types is None
        else st.fixed_dictionaries({"datacontenttype": content_types})
    )
    required = st.fixed_dictionaries({"specversion": st.just("1.0"), "id": text, "source": text, "type": text})
    more = st.dictionaries(names, extensions, max_size=3)
    return st.builds(lambda a, b, c, d: {**a, **b, **c, **d}, more, optional, typed, required)


scalars = text | st.booleans() | st.integers(-(2**31), 2**31 - 1)
json_events = st.builds(Event, attributes_with(scalars, None), values | values.map(lambda value: to_json(value)))
other_events = st.builds(Event, attributes_with(scalars, other_types), st.none() | st.binary())


@given(json_events)
def test_json_event_survives_the_sdk(event: Event) -> None:
    returned = from_sdk(to_sdk(event))
    assert returned.attributes == event.attributes
    assert returned.value() == event.value()
    if isinstance(event.data, (bytes, dict)) and event.get("datacontenttype") in {None, "application/json"}:
        assert returned.data == event.data


@given(other_events)
def test_event_with_other_data_survives_the_sdk(event: Event) -> None:
    assert from_sdk(to_sdk(event)) == event


@given(st.builds(Event, attributes_with(text, None), values.filter(lambda value: value is not None)))
def test_sdk_writes_what_the_codecs_read(event: Event) -> None:
    """Both content modes of HTTP; the SDK writes booleans and integers of headers in Python's form, so attributes are
    strings here.
    """
    binary = sdk_http.to_binary(to_sdk(event), JSONFormat())
    headers = {name.lower(): value for name, value in binary.headers.items()}
    (read,) = http.decode(http.Message(headers, binary.body), http.Mode.BINARY)
    assert (read.attributes, read.value()) == (_canonical(event), event.value())
    structured = json.decode(JSONFormat().write(to_sdk(event)))
    assert (structured.attributes, structured.value()) == (_canonical(event), event.value())


def _canonical(event: Event) -> dict[str, Any]:
    """The SDK writes the offset `+00:00` as `Z`."""
    changed = {"time": str(event.attributes["time"]).replace("+00:00", "Z")} if "time" in event.attributes else {}
    return {**event.attributes, **changed}


@given(
    attributes_with(scalars, None),
    st.none() | objects,
    st.datetimes(timezones=st.just(UTC) | st.just(timezone(timedelta(hours=5, minutes=45)))),
)
def test_sdk_event_survives_the_conversion(attributes: dict[str, Any], data: dict[str, Any] | None, time: datetime) -> None:
    attributes["time"] = time
    event = CloudEvent(dict(attributes), data)
    returned = to_sdk(from_sdk(event))
    assert returned.get_attributes() == attributes
    if attributes.get("datacontenttype") in {None, "application/json"}:
        assert returned.get_data() == data


def test_time_keeps_its_nanoseconds() -> None:
    converted = to_sdk(Event({**MINIMAL, "time": TIMES[0]}))
    assert converted.get_time() == datetime(2026, 11, 23, 2, 30, 0, 272531, UTC)
    assert b'"time": "2026-11-23T02:30:00.272531213Z"' in JSONFormat().write(converted)


def test_event_without_a_time_gets_none() -> None:
    assert to_sdk(Event(MINIMAL)).get_time() is None


def test_text_is_a_string_in_the_sdk_and_bytes_here() -> None:
    event = Event({**MINIMAL, "datacontenttype": "text/plain"}, "zürich".encode())
    assert to_sdk(event).get_data() == "zürich"
    assert from_sdk(to_sdk(event)) == event


def test_typed_attributes_become_strings() -> None:
    event = CloudEvent({**MINIMAL, "time": datetime(2026, 1, 2, tzinfo=UTC), "seen": datetime(2026, 1, 3, tzinfo=UTC), "hash": b"\x00\xff"})
    found = from_sdk(event).attributes
    assert (found["time"], found["seen"], found["hash"]) == ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "AP8=")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"time": "noon"}, "the event's time is 'noon'; send a time by RFC 3339"),
        ({"time": "2026-11-23T02:30:00"}, "the event's time is '2026-11-23T02:30:00'; send a time by RFC 3339"),
        ({"time": 7}, "the event's time is '7'"),
        ({"subject": ""}, "the CloudEvents SDK refuses the event: .*subject"),
        ({"data": "x"}, "the CloudEvents SDK refuses the event: .*data"),
    ],
)
def test_event_that_the_sdk_cannot_hold_is_refused(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEvent, match=message):
        to_sdk(Event({**MINIMAL, **attributes}))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (CloudEvent({**MINIMAL, "own": 1.5}), "the event's attribute own is 1.5; it must be a string, an integer or a boolean"),
        (CloudEvent(dict(MINIMAL), b"{"), "the event's data is not JSON"),
        (OldCloudEvent({**MINIMAL, "specversion": "0.3"}), "unsupported specversion '0.3'"),
    ],
)
def test_invalid_sdk_event_is_refused(event: Any, message: str) -> None:
    with pytest.raises(InvalidEvent, match=message):
        from_sdk(event)


def test_sdk_is_imported_at_the_first_conversion() -> None:
    script = "import sys, eventing.sdk; assert not [name for name in sys.modules if name.startswith('cloudevents')]"
    subprocess.run([sys.executable, "-c", script], check=True)
