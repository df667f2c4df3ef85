from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from eventing.codecs.kafka import Headers
from eventing.reply import Problem
from tests.fixtures.deadletters import Record, letter_of, stored
from tidegate.deadletters.errors import InvalidFilter
from tidegate.deadletters.filters import parse
from tidegate.deadletters.letter import Letter

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR_MS = 3_600_000
STRUCTURED = b'{"specversion":"1.0","id":"s","source":"/a","type":"t"}'
HEADERS: Headers = [("ce_specversion", b"1.0"), ("ce_id", b"flight-7"), ("ce_source", b"/airline"), ("ce_type", b"t")]


def letter(record: Record | None = None, problem: Problem | None = None, hours_ago: float = 2.0) -> Letter:
    original = record or Record(b"N14228", b"{}", HEADERS)
    problem = problem or Problem(422, "Unknown model", "there is no model trains.")
    written = int(NOW.timestamp() * 1000 - hours_ago * HOUR_MS)
    return Letter(stored(letter_of(original, problem), partition=3, offset=14, timestamp=written))


@pytest.mark.parametrize(
    ("given", "matches"),
    [
        ({}, True),
        ({"reasons": ["422"]}, True),
        ({"reasons": ["400"]}, False),
        ({"reasons": ["400", "unknown MODEL"]}, True),
        ({"reasons": ["trains"]}, True),
        ({"since": "3h"}, True),
        ({"since": "1h"}, False),
        ({"until": "1h"}, True),
        ({"until": "2026-11-01T10:00:00Z"}, False),
        ({"since": "2026-11-01T12:00:00+02:00", "until": "2026-11-01T10:00:01"}, True),
        ({"keys": ["N14228"]}, True),
        ({"keys": ["N1"]}, False),
        ({"ids": ["flight-7", "flight-8"]}, True),
        ({"ids": ["flight-8"]}, False),
        ({"addresses": ["3:14"]}, True),
        ({"addresses": ["3:15", "2:14"]}, False),
        ({"reasons": ["422"], "keys": ["N1"]}, False),
    ],
)
def test_letter_matches_each_kind_of_filter(given: dict[str, Any], matches: bool) -> None:
    assert parse(**given, now=NOW).matches(letter()) is matches


@pytest.mark.parametrize(
    ("record", "id_"),
    [
        (Record(value=STRUCTURED), "s"),
        (Record(value=STRUCTURED, headers=[("content-type", b"application/cloudevents+json"), ("ce_id", b"x")]), "s"),
        (Record(value=b"{}"), "partition:2/offset:17"),
        (Record(value=b"{no json", headers=HEADERS), "flight-7"),
        (Record(value=b"{no json"), None),
    ],
    ids=["structured", "content-type", "wrapped", "invalid-data", "no-event"],
)
def test_id_is_that_of_the_event_in_any_mode(record: Record, id_: str | None) -> None:
    assert letter(record).id == id_


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"since": "yesterday"}, "--since is 'yesterday', which is no time; write 2026-11-01T08:00:00Z"),
        ({"until": "5 minutes"}, "--until is '5 minutes', which is no time"),
        ({"since": "1h", "until": "2h"}, "--since 1h is not before --until 2h; name an --until after --since"),
        ({"addresses": ["3/14"]}, "--at is '3/14', which is no address of a letter; write PARTITION:OFFSET"),
    ],
)
def test_invalid_option_is_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidFilter) as raised:
        parse(**given, now=NOW)
    assert str(raised.value).startswith(sentence)
