"""Dead letters: the original record, unchanged, with the reason of its rejection in added headers.

The added headers follow the original ones, from the last `tidegate_origin` on, so that the original can be restored
byte for byte. Three of them follow Knative's data plane (eventing-kafka-broker), for its readers: extensions of the
event, with the body of the reply in Base64, cut at 1,024 bytes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import orjson

from common.errors import InvalidEvent
from common.redaction import redact_url
from eventing.codecs.kafka import Headers, Message, Record
from eventing.reply import Problem

ORIGIN = "tidegate_origin"
STREAM = "tidegate_stream"
ATTEMPTS = "tidegate_attempts"
PROBLEM = "tidegate_problem"
# kafka-python writes neither null headers nor records without key and value; this header lists what was null.
_NULLS = "tidegate_nulls"
OMITTED = "tidegate_omitted"
# Not one of the added headers: it belongs to the record that a dead letter is replayed as, and so it is among the
# original ones if that fails too.
REPLAY = "tidegate_replay"
_OWN = {ORIGIN, STREAM, ATTEMPTS, PROBLEM}
_ERROR_DATA_BYTES = 1024
# A longer reason is cut, so that it never displaces the record.
_REASON_BYTES = 8 * 1024
_TITLE_LENGTH = 200
_DETAIL_LENGTH = 2000
_PLACE = re.compile(r"(.+)/([0-9]{1,10})/([0-9]{1,19})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rejection:
    """The reason why an event is not retried, and the number of calls before: 0 for a record that is not an event."""

    problem: Problem
    attempts: int
    destination: str = field(default="", repr=False)
    """The URL that rejected the reply to the event; empty where the event itself was rejected."""


@dataclass(frozen=True, slots=True)
class OriginalRecord:
    """A record as it was read from the input topic."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Place(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


def place_of(text: str) -> Place | None:
    """Parse `<topic>/<partition>/<offset>`; None for any other text."""
    found = _PLACE.fullmatch(text)
    return None if found is None else Place(found[1], int(found[2]), int(found[3]))


def origin_of(headers: Headers) -> Place:
    """Return where the record in a dead letter was read. Raises InvalidEvent for another record."""
    value = headers[_added_from(headers)][1] or b""
    place = place_of(value.decode(errors="replace"))
    if place is None:
        raise InvalidEvent(f"the dead letter's {ORIGIN} is {value[:80]!r}; it must be a topic, a partition and an offset.")
    return place


class OriginalAtOrigin(NamedTuple):
    """The record in a dead letter as its topic had it, for a codec: the id of one that is no event is its place."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def original_at_origin(record: Record) -> OriginalAtOrigin:
    """Return the record in a dead letter at the place where it was read. Raises InvalidEvent as `original_record`."""
    found = original_record(record.key, record.value, record.headers)
    return OriginalAtOrigin(*origin_of(record.headers), found.key, found.value, found.headers)


def replay_marks(headers: Headers) -> list[tuple[str, bytes]]:
    """Return the marks of a replay in the headers of a record, which each of its outputs carries on."""
    return [(name, value) for name, value in headers if name == REPLAY and value]


def origin(record: Record) -> bytes:
    """Return the address of an input record, `<topic>/<partition>/<offset>`, which each of its outputs carries."""
    return b"%s/%d/%d" % (record.topic.encode(), record.partition, record.offset)


def to_dead_letter(record: Record, rejection: Rejection, *, stream: str, destination: str) -> Message:
    """Return the dead letter of a record that `destination`, a URL, rejected, unless the rejection names another one.

    Credentials in the URL are redacted.
    """
    nulls = [str(index) for index, (_, value) in enumerate(record.headers) if value is None]
    value = record.value
    if record.key is None and value is None:
        nulls.append("value")
        value = b""
    problem = _reason(rejection.problem)
    headers = [(name, item or b"") for name, item in record.headers]
    headers += [
        (ORIGIN, origin(record)),
        (STREAM, stream.encode()),
        (ATTEMPTS, b"%d" % rejection.attempts),
        (PROBLEM, problem),
        (_NULLS, ",".join(nulls).encode()),
    ]
    return Message(
        record.key, value, headers + _knative(record.headers, rejection.problem.status, problem, rejection.destination or destination)
    )


def reduced_forms(letter: Message) -> Iterator[Message]:
    """Yield the dead letter and smaller forms of it, in order of size, for topics that refuse it as too large.

    The last always fits.
    """
    yield letter
    yield _without_value(letter)
    yield _bare(letter)


def _without_value(letter: Message) -> Message:
    """Return the dead letter without the record's value, which remains at the address in `tidegate_origin`."""
    return replace(letter, value=b"", headers=[*letter.headers, (OMITTED, b"%d bytes" % len(letter.value or b""))])


def _bare(letter: Message) -> Message:
    """Return the dead letter without the record's key, value and headers.

    Its size is bounded by some kilobytes, independent of the record and the reply.
    """
    left = sum(len(name.encode()) + len(item) for name, item in letter.headers[: _added_from(letter.headers)])
    added = [(name, item) for name, item in letter.headers[_added_from(letter.headers) :] if name in _OWN]
    omitted = b"%d bytes" % (len(letter.key or b"") + len(letter.value or b"") + left)
    return Message(None, b"", [*added, (OMITTED, omitted)])


def original_record(key: bytes | None, value: bytes | None, headers: Headers) -> OriginalRecord:
    """Return the record in a dead letter.

    Raises InvalidEvent for another record, and when the value was too large to be kept.
    """
    if OMITTED in dict(headers):
        raise InvalidEvent(
            "the dead letter holds only a part of its record, which was too large", remedy=f"read the record that its {ORIGIN} names"
        )
    start = _added_from(headers)
    nulls = (dict(headers[start:]).get(_NULLS) or b"").decode().split(",")
    restored = [(name, None if str(index) in nulls else item) for index, (name, item) in enumerate(headers[:start])]
    return OriginalRecord(key, None if "value" in nulls else value, restored)


def problem_of(headers: Headers) -> Problem:
    """Return the reason in a dead letter. Raises InvalidEvent for another record."""
    added = dict(headers[_added_from(headers) :])
    try:
        return Problem.from_json(orjson.loads(added.get(PROBLEM) or b""))
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"the dead letter's {PROBLEM} is not JSON: {error}.") from None


def _reason(problem: Problem) -> bytes:
    """Return a problem as JSON of at most a few kilobytes: a sink may reply with anything."""
    try:
        written = orjson.dumps(problem.to_json())
    except orjson.JSONEncodeError:  # nested too deeply
        written = b""
    if written and len(written) <= _REASON_BYTES:
        return written
    model = problem.extensions.get("model")
    kept = {"model": model[:_TITLE_LENGTH]} if isinstance(model, str) else {}
    cut = Problem(problem.status, _cut(problem.title, _TITLE_LENGTH), _cut(problem.detail, _DETAIL_LENGTH), kept)
    return orjson.dumps(cut.to_json())


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _added_from(headers: Headers) -> int:
    for index in range(len(headers) - 1, -1, -1):
        if headers[index][0] == ORIGIN:
            return index
    raise InvalidEvent(f"the record is not a dead letter: it has no header {ORIGIN}.")


def _knative(headers: Headers, status: int, body: bytes, destination: str) -> list[tuple[str, bytes]]:
    # Attributes of an event in binary mode; `ce_` headers would make any other record look like one.
    prefix = "ce_" if any(name.startswith("ce_") for name, _ in headers) else ""
    values: Sequence[tuple[str, bytes]] = (
        ("knativeerrordest", redact_url(destination).encode()),
        ("knativeerrorcode", b"%d" % status),
        ("knativeerrordata", base64.b64encode(body[:_ERROR_DATA_BYTES])),
    )
    return [(prefix + name, value) for name, value in values]
