"""Sending events to a sink by HTTP from a thread, with a persistent connection, batches and a few retries."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Event as Flag
from typing import TypeGuard
from urllib.parse import urlsplit

from common.delivery import Outcome, backoff, outcome_of
from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.event import Event

log = logging.getLogger("tidegate.observing")

_ATTEMPTS = 3
_TIMEOUT_SECONDS = 10.0
# A batch stays below the default limit of sinks (1 MiB for a Kafka broker).
_BATCH_EVENTS = 256
_BATCH_BYTES = 512 * 1_024


class Sender:
    """Sends events with up to `batched_bytes` of data (0 for none) in batches, and larger ones alone, in binary mode.

    Data in a batch with a content type of JSON must be valid. A sink that rejects a batch, but not its events, gets
    single events from then on. There are no retries once `stopping` is set.
    """

    def __init__(self, url: str, stopping: Flag, *, batched_bytes: int) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        # Names under `localhost` are this machine (RFC 6761, section 6.3), even if the system's resolver does not know
        # them.
        address = "127.0.0.1" if self._host.endswith(".localhost") else self._host
        connection = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = connection(address, parts.port, timeout=_TIMEOUT_SECONDS)
        self._headers = {"host": parts.netloc.rpartition("@")[2]}
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._stopping = stopping
        self._batched_bytes = batched_bytes
        self._failing = False

    def send(self, events: list[Event]) -> int:
        """Send events; returns the number that the sink did not accept, after a few attempts."""
        return sum(self._send_chunk(chunk) for chunk in self._chunks(events))

    def close(self) -> None:
        self._connection.close()

    def _send_chunk(self, events: list[Event]) -> int:
        if not self._may_share(events[0]):
            return self._send_singly(events)
        status = self._deliver(http.encode(events, Mode.BATCH))
        if _is_done(status):
            return 0
        if not _may_reject_batches(status):
            return len(events)
        lost = self._send_singly(events)
        if lost < len(events):
            self._batched_bytes = 0
            log.info("the payload sink at %s rejects batches (%d); sending single events.", self._host, status)
        return lost

    def _send_singly(self, events: list[Event]) -> int:
        """Send events one by one; after a failure that can be retried later, the rest are lost without an attempt."""
        lost = 0
        for number, event in enumerate(events):
            status = self._deliver(http.encode([event], Mode.BINARY))
            if _outcome(status) is Outcome.RETRY:
                return lost + len(events) - number
            lost += not _is_done(status)
        return lost

    def _deliver(self, message: Message) -> int | None:
        """Send a message with retries; returns the last status, or None if the sink cannot be reached."""
        for attempt in range(1, _ATTEMPTS + 1):
            status = self._post(message)
            if _outcome(status) is not Outcome.RETRY or self._stopping.is_set():
                break
            if attempt < _ATTEMPTS:
                self._stopping.wait(backoff(attempt))
        return status

    def _post(self, message: Message) -> int | None:
        try:
            self._connection.request("POST", self._path, message.body, {**self._headers, **message.headers})
            response = self._connection.getresponse()
            response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            self._warn(f"cannot be reached: {error!r}")
            return None
        if _is_done(response.status):
            self._failing = False
        else:
            self._warn(f"returned {response.status}")
        return response.status

    def _warn(self, what: str) -> None:
        """Log a failure once, until a success."""
        if not self._failing:
            self._failing = True
            log.warning("the payload sink at %s %s; payloads are dropped and counted until it accepts them.", self._host, what)

    def _may_share(self, event: Event) -> bool:
        return len(event.data or b"") <= self._batched_bytes and self._batched_bytes > 0

    def _chunks(self, events: list[Event]) -> Iterator[list[Event]]:
        """Divide events in order: into batches within their limits, and larger events alone."""
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


def _outcome(status: int | None) -> Outcome:
    return Outcome.RETRY if status is None else outcome_of(status)


def _is_done(status: int | None) -> bool:
    return _outcome(status) is Outcome.DONE


def _may_reject_batches(status: int | None) -> TypeGuard[int]:
    """Return whether single events may succeed after this status.

    Receivers of the Go SDK return 500 for unknown formats.
    """
    return status in (500, 501) or _outcome(status) is Outcome.DEAD_LETTER
