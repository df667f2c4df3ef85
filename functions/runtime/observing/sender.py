"""Events to a sink by HTTP, from a thread: one connection that is kept, batches where the sink takes them, and a little patience."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Event as Flag
from urllib.parse import urlsplit

from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.delivery import Outcome, backoff, outcome_of
from eventing.event import Event

log = logging.getLogger("tidegate.observing")

_ATTEMPTS = 3
_TIMEOUT_SECONDS = 10.0
# A batch stays below what sinks take by default (1 MiB at a Kafka broker).
_BATCH_EVENTS = 256
_BATCH_BYTES = 512 * 1_024


class Sender:
    """Events with up to `batched_bytes` of data (0: none) share batches: it must be JSON where it says so. Others go alone, in binary mode.

    A sink that refuses batches is found out by the first, and gets single events from then on. Once `stopping` is set nothing is retried.
    """

    def __init__(self, url: str, stopping: Flag, *, batched_bytes: int) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        # Every name under `localhost` is this machine (RFC 6761, section 6.3), whatever the system's resolver thinks.
        address = "127.0.0.1" if self._host.endswith(".localhost") else self._host
        connection = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = connection(address, parts.port, timeout=_TIMEOUT_SECONDS)
        self._headers = {"host": parts.netloc.rpartition("@")[2]}
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._stopping = stopping
        self._batched_bytes = batched_bytes
        self._failing = False

    def send(self, events: list[Event]) -> int:
        """How many were not taken, after a few attempts."""
        return sum(self._send_chunk(chunk) for chunk in self._chunks(events))

    def close(self) -> None:
        self._connection.close()

    def _send_chunk(self, events: list[Event]) -> int:
        if not self._may_share(events[0]):
            return self._send_singly(events)
        outcome = self._deliver(http.encode(events, Mode.BATCH))
        if outcome is not Outcome.DEAD_LETTER:
            return 0 if outcome is Outcome.DONE else len(events)
        lost = self._send_singly(events)
        if lost < len(events):
            self._batched_bytes = 0
        return lost

    def _send_singly(self, events: list[Event]) -> int:
        return sum(self._deliver(http.encode([event], Mode.BINARY)) is not Outcome.DONE for event in events)

    def _deliver(self, message: Message) -> Outcome:
        for attempt in range(1, _ATTEMPTS + 1):
            outcome = self._post(message)
            if outcome is not Outcome.RETRY or self._stopping.is_set():
                break
            if attempt < _ATTEMPTS:
                self._stopping.wait(backoff(attempt))
        return outcome

    def _post(self, message: Message) -> Outcome:
        try:
            self._connection.request("POST", self._path, message.body, {**self._headers, **message.headers})
            response = self._connection.getresponse()
            response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            self._complain(f"cannot be reached: {error!r}")
            return Outcome.RETRY
        outcome = outcome_of(response.status)
        if outcome is Outcome.DONE:
            self._failing = False
        else:
            self._complain(f"answers {response.status}")
        return outcome

    def _complain(self, what: str) -> None:
        """Once, until it works again."""
        if not self._failing:
            self._failing = True
            log.warning("the payload sink at %s %s; payloads that it does not take are dropped and counted.", self._host, what)

    def _may_share(self, event: Event) -> bool:
        return len(event.data or b"") <= self._batched_bytes and self._batched_bytes > 0

    def _chunks(self, events: list[Event]) -> Iterator[list[Event]]:
        """In their order: those that may share up to the limits of a batch, every other alone."""
        chunk: list[Event] = []
        size = 0
        for event in events:
            length = len(event.data or b"")
            alone = not (chunk and self._may_share(event) and self._may_share(chunk[0]))
            if chunk and (alone or len(chunk) == _BATCH_EVENTS or size + length > _BATCH_BYTES):
                yield chunk
                chunk, size = [], 0
            chunk.append(event)
            size += length
        if chunk:
            yield chunk
