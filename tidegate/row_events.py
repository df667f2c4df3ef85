"""From rows to the records of a topic: each row is the data of a CloudEvent. Pure, but for reading the rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from common.errors import InvalidEvent
from eventing.codecs import kafka as codec
from eventing.codecs.kafka import Message
from eventing.event import SPECVERSION, Event, check
from tidegate.rows import Row, UnreadableFile

# A key that would not be shown, or not fit beside the data; Kafka's headers are read by people and by other programs.
_LONGEST_TEXT = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """What all events of a file have in common. `key_column` None is no key."""

    file: Path
    type: str
    source: str
    id_column: str = "id"
    key_column: str | None = None

    @property
    def name(self) -> str:
        return quoted_name(self.file)


def quoted_name(file: Path) -> str:
    """The file's name as a part of a URI reference, whatever its bytes (RFC 3986, section 2.1)."""
    return quote(os.fsencode(file.name), safe="")


def messages(rows: Iterable[Row], envelope: Envelope) -> Iterator[tuple[str, Message]]:
    """The record of each row, after its place. Raises UnreadableFile, naming the row."""
    for number, row in enumerate(rows, 1):
        if envelope.key_column is not None and not row.key:
            names = ", ".join(name for name, value in row.data.items() if value not in (None, ""))[:300]
            raise UnreadableFile(
                f"{row.place} of {envelope.file} has no {envelope.key_column}, which --key names; its columns are {names}."
            )
        try:
            yield row.place, codec.encode(_event(row, number, envelope))
        except InvalidEvent as error:
            raise UnreadableFile(f"{row.place} of {envelope.file}: {error}") from None


def _event(row: Row, number: int, envelope: Envelope) -> Event:
    attributes = {
        "specversion": SPECVERSION,
        "id": f"{envelope.name}:{number}" if row.id is None else _checked(row.id, "id", envelope.id_column),
        "source": envelope.source,
        "type": envelope.type,
        "datacontenttype": "application/json",
    }
    if row.key is not None:
        attributes["partitionkey"] = _checked(row.key, "key", envelope.key_column or "")
    check(attributes)
    return Event(attributes, row.data)


def _checked(text: str, what: str, column: str) -> str:
    if not text:
        raise InvalidEvent(f"the column {column} is empty, and an event needs an {what}; fill it, or leave the column out.")
    if len(text) > _LONGEST_TEXT:
        raise InvalidEvent(f"the {what} in the column {column} has {len(text):,} characters; at most {_LONGEST_TEXT:,} are sent.")
    return text
