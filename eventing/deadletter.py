"""Dead letters: the original record, untouched, and after its headers what became of it.

The headers that are added stand behind the original ones, from the last `tidegate_origin` on, so the original can be
restored byte for byte. The three that Knative's readers know follow its data plane (eventing-kafka-broker): extensions of the event,
the reply's body in Base64 and cut at 1,024 bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import orjson

from common.errors import InvalidEvent
from common.redaction import redact_url
from eventing.codecs.kafka import Headers, Message, Record
from eventing.reply import Problem

ORIGIN = "tidegate_origin"
STREAM = "tidegate_stream"
ATTEMPTS = "tidegate_attempts"
PROBLEM = "tidegate_problem"
# kafka-python writes no null header and no record without both key and value; what was null is told here instead.
_NULLS = "tidegate_nulls"
OMITTED = "tidegate_omitted"
_OWN = {ORIGIN, STREAM, ATTEMPTS, PROBLEM}
_ERROR_DATA_BYTES = 1024
# A reason is a sentence. One that is longer is cut, so that it never takes the place of the record.
_REASON_BYTES = 8 * 1024
_TITLE_LENGTH = 200
_DETAIL_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an event will not be tried again, after how many calls (none, if it never was an event)."""

    problem: Problem
    attempts: int


@dataclass(frozen=True, slots=True)
class Original:
    """What was read from the input topic."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def origin(record: Record) -> bytes:
    """Which input record an output belongs to: `<topic>/<partition>/<offset>`."""
    return b"%s/%d/%d" % (record.topic.encode(), record.partition, record.offset)


def enclose(record: Record, rejection: Rejection, *, stream: str, destination: str) -> Message:
    """The dead letter of a record that `destination`, a URL, did not take; the URL's credentials stay out of it."""
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
    return Message(record.key, value, headers + _knative(record.headers, rejection.problem.status, problem, destination))


def forms(letter: Message) -> Iterator[Message]:
    """The dead letter, and what is left of it where it is too large: each smaller than the one before. The last always fits."""
    yield letter
    yield _without_value(letter)
    yield _bare(letter)


def _without_value(letter: Message) -> Message:
    """The dead letter of a record that leaves no room for its reason: the value stays behind, where `tidegate_origin` says."""
    return replace(letter, value=b"", headers=[*letter.headers, (OMITTED, b"%d bytes" % len(letter.value or b""))])


def _bare(letter: Message) -> Message:
    """The dead letter of a record that leaves no room even for its own key and headers: they stay behind as well.

    It always fits: it has some kilobytes, whatever the record and the reply were.
    """
    left = sum(len(name.encode()) + len(item) for name, item in letter.headers[: _added_from(letter.headers)])
    added = [(name, item) for name, item in letter.headers[_added_from(letter.headers) :] if name in _OWN]
    omitted = b"%d bytes" % (len(letter.key or b"") + len(letter.value or b"") + left)
    return Message(None, b"", [*added, (OMITTED, omitted)])


def original(key: bytes | None, value: bytes | None, headers: Headers) -> Original:
    """What a dead letter was made of. Raises InvalidEvent if it is none, or if its value was too large to be kept."""
    if OMITTED in dict(headers):
        raise InvalidEvent(
            "the dead letter was made without all of its record, which was too large; read the record that its tidegate_origin names."
        )
    start = _added_from(headers)
    nulls = (dict(headers[start:]).get(_NULLS) or b"").decode().split(",")
    restored = [(name, None if str(index) in nulls else item) for index, (name, item) in enumerate(headers[:start])]
    return Original(key, None if "value" in nulls else value, restored)


def problem_of(headers: Headers) -> Problem:
    """Why a dead letter was rejected. Raises InvalidEvent if it is none."""
    added = dict(headers[_added_from(headers) :])
    try:
        return Problem.from_json(orjson.loads(added.get(PROBLEM) or b""))
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"the dead letter's {PROBLEM} is not JSON: {error}.") from None


def _reason(problem: Problem) -> bytes:
    """As JSON, of a few kilobytes at the most: what a sink replies is anything."""
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
    raise InvalidEvent(f"the record is no dead letter; it has no header {ORIGIN}.")


def _knative(headers: Headers, status: int, body: bytes, destination: str) -> list[tuple[str, bytes]]:
    # Attributes of an event in binary mode; on any other record `ce_` headers would make it look like one.
    prefix = "ce_" if any(name.startswith("ce_") for name, _ in headers) else ""
    values: Sequence[tuple[str, bytes]] = (
        ("knativeerrordest", redact_url(destination).encode()),
        ("knativeerrorcode", b"%d" % status),
        ("knativeerrordata", base64.b64encode(body[:_ERROR_DATA_BYTES])),
    )
    return [(prefix + name, value) for name, value in values]
