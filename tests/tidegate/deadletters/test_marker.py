from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from eventing.codecs.kafka import Headers
from eventing.kafka.port import TopicPartition
from tests.fixtures.deadletters import Record, stored
from tidegate.deadletters.marker import Kind, Marker, is_marker, marker_of, ranges_of

offsets = st.sets(st.integers(0, 2**40), max_size=50).map(sorted)
markers = st.builds(
    Marker,
    kind=st.sampled_from(Kind),
    run=st.text(st.characters(categories=("L", "N", "P")), min_size=1),
    letters=offsets.map(ranges_of),
    seen=st.integers(0, 2**40),
    lease_seconds=st.floats(0, 1e6),
    ends=st.dictionaries(st.builds(TopicPartition, st.text(), st.integers(0, 99)), st.integers(0, 2**40), max_size=4),
)


@given(markers, st.integers(1))
@settings(max_examples=50)
def test_marker_is_read_as_it_was_written(marker: Marker, number: int) -> None:
    record = stored(marker.to_message("flights.deadletter", number))
    assert is_marker(record.headers)
    assert marker_of(record) == marker


@given(offsets)
def test_ranges_have_the_offsets_and_no_others(given_: list[int]) -> None:
    ranges = ranges_of(given_)
    assert sum(last - first + 1 for first, last in ranges) == len(given_)
    assert all(any(first <= offset <= last for first, last in ranges) for offset in given_)


pairs = st.lists(st.lists(st.integers() | st.text(max_size=3), max_size=3), max_size=3)
values = st.none() | st.integers() | st.text(max_size=5) | pairs | st.dictionaries(st.text(max_size=3), st.integers() | pairs, max_size=2)
HEADERS: Headers = Marker(kind=Kind.CLAIMED, run="r", letters=()).to_message("t", 1).headers


@given(st.fixed_dictionaries(dict.fromkeys(("letters", "ends", "run", "seen", "lease_seconds"), values)) | values)
@settings(max_examples=50)
def test_malformed_marker_raises_nothing(value: object) -> None:
    found = marker_of(Record(None, json.dumps(value).encode(), HEADERS))
    assert found is None or all(first <= last for first, last in found.letters)
