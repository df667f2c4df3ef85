"""Records of a topic from rows: each row is the data of a CloudEvent."""

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

# The length of an id or a key, which are Kafka headers: people and other programs read them, and they must fit beside
# the data.
_MAX_CHARACTERS = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """The attributes that all events of a file share. Without a `key_column`, events have no key."""

    file: Path
    type: str
    source: str
    id_column: str = "id"
    key_column: str | None = None

    @property
    def name(self) -> str:
        return quoted_name(self.file)


def quoted_name(file: Path) -> str:
    """The file's name, which may have any bytes, as a part of a URI reference (RFC 3986, section 2.1)."""
    return quote(os.fsencode(file.name), safe="")


def messages(rows: Iterable[Row], envelope: Envelope) -> Iterator[tuple[str, Message]]:
    """The place and the record of each row. Raises UnreadableFile, which names the row."""
    for number, row in enumerate(rows, 1):
        if envelope.key_column is not None and not row.key:
            names = ", ".join(name for name, value in row.data.items() if value not in (None, ""))[:300]
            raise UnreadableFile(
                f"{row.place} of {envelope.file} has no {envelope.key_column}, which --key names; its columns are {names}."
            )
        try:
            yield row.place, codec.encode(_event(row, number, envelope))
        except InvalidEvent as error:
            raise UnreadableFile(f"{row.place} of {envelope.file}: {error.message}", remedy=error.remedy) from None


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


def _checked(text: str, name: str, column: str) -> str:
    if not text:
        raise InvalidEvent(f"the column {column} is empty, and an event needs an {name}", remedy="fill it, or remove the column")
    if len(text) > _MAX_CHARACTERS:
        raise InvalidEvent(f"the {name} in the column {column} has {len(text):,} characters; at most {_MAX_CHARACTERS:,} are allowed.")
    return text
