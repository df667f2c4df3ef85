"""The way of outcomes to their sink: one after the other, and kept while the sink does not accept them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from time import monotonic
from typing import Self

from common.delivery import Outcome, backoff, outcome_of, retry_after_seconds
from common.http1.errors import CallFailed
from common.http1.origin import address_of
from common.http1.pool import Pool
from common.redaction import redact_url
from eventing.codecs.http import Message
from functions.router.headers import value_of
from functions.router.metrics import Metrics

log = logging.getLogger("tidegate.router")

# Half an hour of two models, and many times less than a router's memory.
_MOST_EVENTS = 4_096
_MOST_BYTES = 16 * 2**20
_TIMEOUT_SECONDS = 10.0
# Of the time that a sink asks to wait.
_LONGEST_PAUSE_SECONDS = 60.0


class Sender:
    """Sends events in order; a context manager that closes the connection.

    An event that the sink rejects for good is dropped, and so is the oldest one when too many wait. Both are counted.
    """

    def __init__(self, url: str, metrics: Metrics, *, most_events: int = _MOST_EVENTS, most_bytes: int = _MOST_BYTES) -> None:
        self._url = url
        self._address = address_of(url)
        self._metrics = metrics
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._queue: deque[Message] = deque()
        self._bytes = 0
        self._waiting = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._failing = False
        self._is_sending = False

    @property
    def queued(self) -> int:
        """The number of events that wait, including one that is being sent."""
        return len(self._queue)

    def put(self, event: Message) -> None:
        """Queue an event. It never waits."""
        self._queue.append(event)
        self._bytes += len(event.body)
        self._idle.clear()
        self._waiting.set()
        # The oldest, but not one that is being sent: it may be accepted.
        oldest = 1 if self._is_sending else 0
        while len(self._queue) > oldest + 1 and (len(self._queue) > self._most_events or self._bytes > self._most_bytes):
            self._take(oldest)
            self._metrics.sent_outcome("dropped")

    async def __aenter__(self) -> Self:
        self._pool = Pool()
        self._task = asyncio.create_task(self._send_all())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._pool.close()

    async def flush(self, seconds: float) -> None:
        """Wait until the sink has everything, for at most this time."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            log.warning("%d outcomes were not accepted by %s before the shutdown", len(self._queue), redact_url(self._url))

    async def _send_all(self) -> None:
        attempt = 0
        while True:
            await self._waiting.wait()
            self._is_sending = True
            try:
                outcome, pause = await self._post(self._queue[0])
            except Exception:
                log.exception("bug: an outcome cannot be sent; it is kept")
                outcome, pause = Outcome.RETRY, 0.0
            self._is_sending = False
            if outcome is Outcome.RETRY:
                attempt += 1
                await asyncio.sleep(min(max(pause, backoff(attempt)), _LONGEST_PAUSE_SECONDS))
                continue
            attempt = 0
            self._metrics.sent_outcome("sent" if outcome is Outcome.DONE else "rejected")
            self._take(0)

    async def _post(self, event: Message) -> tuple[Outcome, float]:
        """Post an event; returns what follows, and the seconds that the sink asks to wait."""
        origin, target, credentials = self._address
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in event.headers.items()]
        headers += [(b"user-agent", b"tidegate"), *credentials]
        try:
            reply = await self._pool.call(origin, "POST", target, headers, event.body, monotonic() + _TIMEOUT_SECONDS)
            while await reply.next():  # to its end, so that the connection is kept
                pass
        except (CallFailed, TimeoutError) as error:
            self._warn(f"cannot be reached ({str(error) or type(error).__name__}); they are kept")
            return Outcome.RETRY, 0.0
        outcome = outcome_of(reply.status)
        if outcome is Outcome.DONE:
            self._failing = False
        else:
            kept = "they are kept" if outcome is Outcome.RETRY else "they are dropped; check that the sink takes CloudEvents"
            self._warn(f"responded {reply.status}; {kept}")
        return outcome, retry_after_seconds((value_of(reply.headers, b"retry-after") or b"").decode("latin-1"))

    def _take(self, position: int) -> None:
        self._bytes -= len(self._queue[position].body)
        del self._queue[position]
        if not self._queue:
            self._waiting.clear()
            self._idle.set()

    def _warn(self, what: str) -> None:
        """Log a failure once, until a success."""
        if not self._failing:
            self._failing = True
            log.warning("outcomes: the sink at %s %s", redact_url(self._url), what)
