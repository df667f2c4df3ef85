"""What was answered at the time, from the output topic and the dead letters, as a compact index by reply id.

A reply's id is a hash of its event's source and id and of the model, so that it joins an answer to its event. Here its
first 64 bits are kept: 26 bytes an answer.
"""

from __future__ import annotations

from array import array
from collections import Counter
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import InvalidEvent
from eventing import deadletter
from eventing.codecs import kafka as codec
from eventing.event import Event
from eventing.kafka.port import ConsumedRecord
from eventing.reply import reply_id
from eventing.types import INFERENCE_COMPLETED

_HEX_DIGITS = 16
# More versions than a byte holds count as the last one.
_MAX_VERSIONS = 128


class Kind(IntEnum):
    """What became of an event."""

    MISSING = 0
    SCORED = 1
    REJECTED = 2


class Answer(NamedTuple):
    """What was answered to one event. `score` is NaN without one; `written_ms` is the time of the record."""

    kind: Kind
    score: float = float("nan")
    version: str = ""
    written_ms: int = 0


MISSING = Answer(Kind.MISSING)


class AnswerIndex:
    """Collects answers, and finds them when it is complete. Of several answers to an event, the first counts."""

    def __init__(self, model: str, score: str) -> None:
        self._model = model
        self._score = score
        self._keys, self._scores, self._times = array("Q"), array("d"), array("q")
        self._kinds, self._version_codes = array("b"), array("b")
        self._versions: dict[str, int] = {}
        self._names: list[str] = []
        self._sorted: NDArray[np.uint64] | None = None
        self._order: NDArray[np.intp] | None = None

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def versions(self) -> dict[str, int]:
        """The scored answers by version; an empty string where the answer names none."""
        names = self._names
        counted = Counter(code for code, kind in zip(self._version_codes, self._kinds, strict=True) if kind == Kind.SCORED)
        return {names[code]: count for code, count in counted.items()}

    def add_reply(self, record: ConsumedRecord) -> None:
        """Add a record of the output topic; one that is no reply of the model is ignored."""
        try:
            event = codec.decode(record)
            if event.type != INFERENCE_COMPLETED or event.source != f"/models/{self._model}":
                return
            score = number(event.value(), self._score)
        except InvalidEvent:
            return
        self._add(event.id, Answer(Kind.SCORED, score, event.get("modelversion") or "", record.timestamp))

    def add_dead_letter(self, record: ConsumedRecord) -> None:
        """Add a dead letter; one of a record that was no event, or was too large to be kept, is ignored."""
        try:
            event = codec.decode(deadletter.original_at_origin(record))
        except InvalidEvent:
            return
        self._add(self._id(event), Answer(Kind.REJECTED, written_ms=record.timestamp))

    def find(self, events: list[Event]) -> list[Answer]:
        """Return the answer to each event."""
        if not self._keys:
            return [MISSING] * len(events)
        ordered, order = self._index()
        keys = np.array([_key(self._id(event)) for event in events], dtype=np.uint64)
        places = np.searchsorted(ordered, keys)
        found = places < len(ordered)
        found[found] = ordered[places[found]] == keys[found]
        return [self._at(int(order[place])) if here else MISSING for place, here in zip(places, found, strict=True)]

    def _id(self, event: Event) -> str:
        return reply_id(event.source, event.id, self._model)

    def _add(self, id_: str, answer: Answer) -> None:
        key = _key(id_)
        if key is None:
            return
        self._sorted = None
        self._keys.append(key)
        self._scores.append(answer.score)
        self._times.append(answer.written_ms)
        self._kinds.append(answer.kind)
        self._version_codes.append(self._version_code(answer.version))

    def _version_code(self, version: str) -> int:
        if version not in self._versions:
            self._versions[version] = min(len(self._names), _MAX_VERSIONS - 1)
            self._names = [*self._names, version][:_MAX_VERSIONS]
        return self._versions[version]

    def _index(self) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
        if self._sorted is None or self._order is None:
            keys = np.frombuffer(self._keys.tobytes(), dtype=np.uint64)
            self._order = np.argsort(keys, kind="stable")
            self._sorted = keys[self._order]
        return self._sorted, self._order

    def _at(self, index: int) -> Answer:
        version = self._names[self._version_codes[index]]
        return Answer(Kind(self._kinds[index]), self._scores[index], version, self._times[index])


def number(data: Any, name: str) -> float:
    """Return the score in the data of a reply; NaN if it has none."""
    value = data.get(name) if isinstance(data, dict) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")


def _key(id_: str) -> int | None:
    try:
        return int(id_[:_HEX_DIGITS], 16)
    except ValueError:
        return None
