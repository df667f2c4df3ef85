"""The HTTP protocol binding (CloudEvents HTTP Binding 1.0.2) in binary, structured and batch mode."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote, unquote_to_bytes

from common.errors import InvalidEvent
from eventing.codecs import json
from eventing.event import Event, check, to_text

# Printable ASCII except space, double quote and percent sign is not encoded (section 3.1.3.2).
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')

# A double-quoted string with backslash escapes (RFC 9110, section 5.6.4), the form of values in older versions of the
# binding.
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Mode(Enum):
    """The content mode of a message (section 1.3)."""

    BINARY = "binary"
    STRUCTURED = "structured"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Message:
    """The headers, by lower-case name and decoded as Latin-1, and the body of an HTTP request or response."""

    headers: Mapping[str, str]
    body: bytes


def mode_of(headers: Mapping[str, str]) -> Mode | None:
    """Return the content mode of a message, or None when it carries no event.

    The content type takes precedence over `ce-` headers (section 3). Raises InvalidEvent for an unsupported event
    format.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == json.BATCH_MEDIA_TYPE:
        return Mode.BATCH
    if media_type == json.MEDIA_TYPE:
        return Mode.STRUCTURED
    if media_type.startswith("application/cloudevents"):
        raise InvalidEvent(f"unsupported event format {media_type}", remedy=f"send {json.MEDIA_TYPE} or {json.BATCH_MEDIA_TYPE}")
    return Mode.BINARY if any(name.startswith("ce-") for name in headers) else None


def decode(message: Message, mode: Mode, *, verbatim: bool = False) -> list[Event]:
    """Return the events of a message: exactly one unless it is a batch. Raises InvalidEvent.

    `verbatim` leaves the data of a binary message as it is, JSON or not, for those that only pass events on.
    """
    if mode is Mode.BATCH:
        return json.decode_batch(message.body)
    if mode is Mode.STRUCTURED:
        return [json.decode(message.body)]
    event = _from_binary(message)
    # JSON data is parsed, so that invalid JSON is refused here rather than copied into another message.
    return [Event(event.attributes, event.value()) if event.is_json and not verbatim else event]


def encode(events: Sequence[Event], mode: Mode) -> Message:
    """Return a message with these events: exactly one unless the mode is batch. Raises InvalidEvent."""
    if mode is Mode.BATCH:
        return Message({"content-type": json.BATCH_MEDIA_TYPE}, json.encode_batch(events))
    (event,) = events
    if mode is Mode.STRUCTURED:
        return Message({"content-type": json.MEDIA_TYPE}, json.encode(event))
    return _to_binary(event)


def _from_binary(message: Message) -> Event:
    attributes = {name[3:]: attribute_of(name[3:], value) for name, value in message.headers.items() if name.startswith("ce-")}
    if "content-type" in message.headers:
        attributes["datacontenttype"] = message.headers["content-type"]
    check(attributes)
    return Event(attributes, message.body or None)


def attribute_of(name: str, value: str) -> str:
    """Return the attribute of a header value (section 3.1.3.2). Raises InvalidEvent.

    Raw UTF-8, as sent by Go's SDK, violates the binding but is unambiguous.
    """
    if value.isascii() and "%" not in value and not value.startswith('"'):
        return value
    if quoted := _QUOTED.fullmatch(value):
        value = _ESCAPED.sub(r"\1", quoted[1])
    if _BAD_PERCENT.search(value):
        raise InvalidEvent(
            f"the header ce-{name} has a percent sign without two hexadecimal digits after it", remedy="write a percent sign as %25"
        )
    try:
        return unquote_to_bytes(_bytes(value)).decode()
    except UnicodeDecodeError:
        raise InvalidEvent(f"the header ce-{name} is not UTF-8", remedy="send UTF-8, percent-encoded") from None


def _bytes(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:  # not decoded from a header: a string in the first place
        return value.encode("utf-8", "surrogateescape")


def _to_binary(event: Event) -> Message:
    headers = {f"ce-{name}": quote(to_text(value), safe=_SAFE) for name, value in event.attributes.items() if name != "datacontenttype"}
    body = event.payload()
    # Data that is a value is JSON; of bytes without a type nothing is known.
    is_value = body is not None and not isinstance(event.data, bytes)
    content_type = event.get("datacontenttype") or ("application/json" if is_value else None)
    if content_type is not None:
        headers["content-type"] = content_type
    return Message(headers, body or b"")
