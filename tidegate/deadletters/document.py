"""Letters as JSON documents. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from common.redaction import HIDDEN, redact
from eventing.codecs.kafka import Headers
from eventing.event import Event, to_text
from tidegate.deadletters.ledger import Ledger, ReasonCount, State
from tidegate.deadletters.letter import Letter
from tidegate.times import shown


def listed(
    topic: str, ledger: Ledger, reasons: Iterable[ReasonCount], rows: Iterable[tuple[Letter, State]], *, now_ms: float
) -> dict[str, Any]:
    """Return the document of `list`; `held` are the claimed letters that other runs must leave alone yet, by run."""
    counts = ledger.counts()
    return {
        "topic": topic,
        "read": ledger.letters,
        "other_records": ledger.others,
        **{state.name.lower(): counts[state] for state in State},
        "held": dict(ledger.held(now_ms)),
        "reasons": reason_list(reasons),
        "letters": [row(letter, state) for letter, state in rows],
    }


def reason_list(reasons: Iterable[ReasonCount]) -> list[dict[str, Any]]:
    """Return reasons with their counts."""
    return [{"status": reason.status, "title": reason.title, "count": count, "example": example} for reason, count, example in reasons]


def row(letter: Letter, state: State) -> dict[str, Any]:
    """Return one letter of a list."""
    replay = letter.replayed_by
    return {
        "partition": letter.record.partition,
        "offset": letter.record.offset,
        "time": shown(letter.time_ms),
        "state": state.name.lower(),
        "status": letter.problem.status,
        "title": letter.problem.title,
        "detail": redact(letter.problem.detail),
        "id": letter.id,
        "key": letter.key,
        "replay": None if replay is None else {"run": replay[0], "letter": str(replay[1])},
    }


def whole(letter: Letter, state: State) -> dict[str, Any]:
    """Return everything of one letter; credentials in headers and reasons are redacted, its data is as it is."""
    event, origin = letter.event, letter.origin
    is_event = isinstance(event, Event)
    return {
        **row(letter, state),
        "topic": letter.record.topic,
        "stream": letter.stream,
        "attempts": letter.attempts,
        "origin": None if origin is None else origin._asdict(),
        "complete": letter.is_complete,
        "problem": _redacted(letter.problem.to_json()),
        "attributes": {name: to_text(value) for name, value in event.attributes.items()} if isinstance(event, Event) else None,
        "not_an_event": None if is_event else str(event),
        **_data(letter.record.value),
        "headers": _headers(letter.record.headers),
    }


def _data(value: bytes | None) -> dict[str, str | None]:
    """Return the record's value as text, or in hexadecimal."""
    if value is None:
        return {"data": None}
    try:
        return {"data": value.decode()}
    except UnicodeDecodeError:
        return {"data_hex": value.hex()}


def _headers(headers: Headers) -> list[list[str | None]]:
    return [[name, None if value is None else _header(name, value)] for name, value in headers]


def _header(name: str, value: bytes) -> str:
    """Return a header's value as text, or in hexadecimal; hidden if its name says that it is a secret."""
    if redact(f"{name}=x") != f"{name}=x":
        return HIDDEN
    try:
        return redact(value.decode())
    except UnicodeDecodeError:
        return value.hex()


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _redacted(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    return redact(value) if isinstance(value, str) else value
