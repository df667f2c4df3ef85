"""One dead letter, as a view of its record. A letter that anyone may have written raises nothing."""

from __future__ import annotations

import re
from typing import NamedTuple

from common.errors import InvalidEvent
from eventing import deadletter
from eventing.codecs import kafka as codec
from eventing.deadletter import OriginalAtOrigin, Place
from eventing.event import Event
from eventing.kafka.port import ConsumedRecord
from eventing.reply import Problem

_ADDRESS = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


class Address(NamedTuple):
    """The place of a letter in its topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Address | None:
        """Parse `PARTITION:OFFSET`; None for any other text."""
        found = _ADDRESS.fullmatch(text)
        return None if found is None else cls(int(found[1]), int(found[2]))


class Reason(NamedTuple):
    """What letters are counted by: details name values, so that each would be a reason of its own."""

    status: int
    title: str

    def __str__(self) -> str:
        return f"{self.status} {self.title}"


class Letter:
    """A dead letter. Nothing of it is read before it is asked for: most letters of a topic are only counted."""

    __slots__ = ("_problem", "record")

    def __init__(self, record: ConsumedRecord) -> None:
        self.record = record
        self._problem: Problem | None = None

    @property
    def address(self) -> Address:
        return Address(self.record.partition, self.record.offset)

    @property
    def offset(self) -> int:
        return self.record.offset

    @property
    def time_ms(self) -> int:
        """When the letter was written."""
        return self.record.timestamp

    @property
    def place(self) -> Place:
        return Place(self.record.topic, self.record.partition, self.record.offset)

    @property
    def problem(self) -> Problem:
        """The reason in full."""
        if self._problem is None:
            try:
                self._problem = deadletter.problem_of(self.record.headers)
            except InvalidEvent as error:
                self._problem = Problem(500, "unknown", error.message)
        return self._problem

    @property
    def reason(self) -> Reason:
        return Reason(self.problem.status, self.problem.title)

    @property
    def key(self) -> str | None:
        """The record's key as text; bytes that are not UTF-8 are escaped."""
        key = self.record.key
        return None if key is None else key.decode(errors="backslashreplace")

    @property
    def id(self) -> str | None:
        """The event's id; None for a record that has none."""
        headers = dict(self.record.headers)
        given = headers.get("ce_id")
        if given is not None and not (headers.get("content-type") or b"").lower().startswith(b"application/cloudevents"):
            return given.decode(errors="backslashreplace")
        event = self.event
        return event.id if isinstance(event, Event) else None

    @property
    def original(self) -> OriginalAtOrigin:
        """The record that was rejected. Raises InvalidEvent if the letter does not have all of it."""
        return deadletter.original_at_origin(self.record)

    @property
    def event(self) -> Event | InvalidEvent:
        """The event that was rejected, or why its record is none."""
        try:
            return codec.decode(self.original)
        except InvalidEvent as error:
            return error

    @property
    def origin(self) -> Place | None:
        """Where the rejected record was read."""
        try:
            return deadletter.origin_of(self.record.headers)
        except InvalidEvent:
            return None

    @property
    def is_complete(self) -> bool:
        """Whether its record can be restored from it."""
        try:
            return bool(self.original)
        except InvalidEvent:
            return False

    @property
    def stream(self) -> str:
        """The stream that rejected the record; an empty string if it is not named."""
        return self._text(deadletter.STREAM)

    @property
    def attempts(self) -> str:
        """The calls of the model before, as text."""
        return self._text(deadletter.ATTEMPTS)

    @property
    def replayed_by(self) -> tuple[str, Place] | None:
        """The run that the rejected record came from, and the letter that it was, if it was replayed."""
        return replay_of(self.record.headers)

    def _text(self, name: str) -> str:
        value = next((value for header, value in reversed(self.record.headers) if header == name), None)
        return (value or b"").decode(errors="backslashreplace")


def is_letter(headers: codec.Headers) -> bool:
    """Return whether a record with these headers is a dead letter."""
    return any(name == deadletter.ORIGIN for name, _ in headers)


def mark_of(run: str, place: Place) -> bytes:
    """Return the value of the header that a replayed letter's record carries."""
    return f"{run}/{place}".encode()


def replay_of(headers: codec.Headers) -> tuple[str, Place] | None:
    """Return the run and the letter that a record is marked with; None without a readable mark."""
    marks = deadletter.replay_marks(headers)
    run, slash, rest = marks[-1][1].decode(errors="replace").partition("/") if marks else ("", "", "")
    place = deadletter.place_of(rest)
    return (run, place) if slash and place is not None else None
