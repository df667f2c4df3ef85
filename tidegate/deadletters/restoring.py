"""The record that a letter is replayed as: the one that was rejected, with the mark of the replay. Pure.

The mark is a header with the run and the letter, which every output of the record carries on, and for an event in
binary mode also the attribute `deadletterreplay`. A reply's id is a hash of the event's source and id and of the model
alone, so that the mark does not change it.
"""

from __future__ import annotations

from dataclasses import replace

from common.errors import InvalidEvent
from eventing import deadletter
from eventing.codecs import json
from eventing.codecs import kafka as codec
from eventing.codecs.kafka import Message
from eventing.deadletter import OriginalAtOrigin, Rejection
from eventing.event import Event, has_control
from eventing.reply import DEADLETTER_REPLAY, Problem
from tidegate.deadletters.letter import Letter, mark_of

_ATTRIBUTE = f"ce_{DEADLETTER_REPLAY}"
_CONTENT_TYPE = "content-type"


def record_of(letter: Letter, run: str) -> Message:
    """Return the record for the source topic. Raises InvalidEvent if the letter does not have all of it.

    It is the rejected one, except where that would be another event: a record that was no CloudEvent has its place in
    its id, and so gets its attributes as headers; one without key and value cannot be written, and so is written in
    structured mode.
    """
    original = _unmarked(letter.original)
    mark = (deadletter.REPLAY, mark_of(run, letter.place))
    headers = [(name, value or b"") for name, value in original.headers]
    try:
        event, is_wrapped = _writable(codec.decode(original)), codec.is_wrapped(original)
        if original.key is None and original.value is None:
            return _structured(event, headers, mark)
        if is_wrapped:
            headers = _with_attributes(event, headers)
    except InvalidEvent:
        pass  # it fails in the same way again, unless the worker has changed
    if _is_binary(headers):
        headers.append((_ATTRIBUTE, run.encode()))
    return Message(original.key, original.value, [*headers, mark])


def event_of(letter: Letter, run: str) -> Event:
    """Return the event for the model. Raises InvalidEvent if the letter has none."""
    return codec.decode(_unmarked(letter.original)).with_attributes(**{DEADLETTER_REPLAY: run})


def output_of(letter: Letter, run: str, reply: Event) -> Message:
    """Return the record of a model's reply, as the stream worker writes it. Raises InvalidEvent if it cannot be one."""
    message = codec.encode(reply, letter.record.key)
    message.headers.append((deadletter.ORIGIN, deadletter.origin(letter.original)))
    message.headers.append((deadletter.STREAM, letter.stream.encode()))
    message.headers.append((deadletter.REPLAY, mark_of(run, letter.place)))
    return message


def letter_of(letter: Letter, run: str, problem: Problem, *, attempts: int, destination: str) -> Message:
    """Return the letter of an event that was rejected again."""
    original = _unmarked(letter.original)
    headers = [*original.headers, (deadletter.REPLAY, mark_of(run, letter.place))]
    return deadletter.to_dead_letter(
        original._replace(headers=headers), Rejection(problem, attempts), stream=letter.stream, destination=destination
    )


def _unmarked(original: OriginalAtOrigin) -> OriginalAtOrigin:
    """Return the record without the marks of an earlier replay."""
    kept = [(name, value) for name, value in original.headers if name not in (deadletter.REPLAY, _ATTRIBUTE)]
    return original._replace(headers=kept)


def _writable(event: Event) -> Event:
    """Return the event without attributes that no event may have, which headers of a record that is none can make."""
    kept = {name: value for name, value in event.attributes.items() if not (isinstance(value, str) and has_control(value))}
    return replace(event, attributes=kept)


def _is_binary(headers: list[tuple[str, bytes]]) -> bool:
    content_type = dict(headers).get(_CONTENT_TYPE, b"").lower()
    return any(name.startswith("ce_") for name, _ in headers) and not content_type.startswith(b"application/cloudevents")


def _with_attributes(event: Event, headers: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    added = codec.encode(event, b"").headers
    return headers + [item for item in added if item[0] != _CONTENT_TYPE or _CONTENT_TYPE not in dict(headers)]


def _structured(event: Event, headers: list[tuple[str, bytes]], mark: tuple[str, bytes]) -> Message:
    others = [(name, value) for name, value in headers if name != _CONTENT_TYPE and not name.startswith("ce_")]
    return Message(None, json.encode(event), [(_CONTENT_TYPE, json.MEDIA_TYPE.encode()), *others, mark])
