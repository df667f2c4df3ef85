"""The events of a run on their way into the input topic, at a steady rate, in a thread of their own."""

from __future__ import annotations

import threading
import time

from kafka import KafkaProducer

from common.errors import TidegateError
from loadtest.chaos.workload import Workload

_FLUSH_SECONDS = 120.0
# Records that are sent at once, so that a fast rate needs no sleep for each of them.
_TURN_SECONDS = 0.02
# New partitions get records this soon.
_METADATA_MS = 2_000
# After a broker's absence, records are waited for.
_RECONNECT_MS = 500
_MOST_BUFFERED = 50_000


class NotSent(TidegateError):
    """A record of the input was not accepted: the run proves nothing."""


class Sending:
    """Produces a workload between `start` and `join`."""

    def __init__(self, servers: str, topic: str, workload: Workload, per_second: float) -> None:
        self._servers = servers
        self._topic = topic
        self._workload = workload
        self._rate = per_second
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sending", daemon=True)
        self._failure: BaseException | None = None
        self._acknowledged = 0
        self.sent = 0

    def start(self) -> None:
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Produce no more, and wait for the thread."""
        self._stopping.set()
        self._thread.join()

    def check(self) -> None:
        """Raises NotSent."""
        if self._failure is not None:
            raise NotSent(f"a record could not be sent: {self._failure}.")

    def _run(self) -> None:
        try:
            self._produce()
        except Exception as error:  # noqa: BLE001 it is raised by check, in the main thread
            self._failure = error

    def _produce(self) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self._servers,
            linger_ms=5,
            metadata_max_age_ms=_METADATA_MS,
            retries=2**31 - 1,
            reconnect_backoff_max_ms=_RECONNECT_MS,
            delivery_timeout_ms=int(1000 * _FLUSH_SECONDS),
        )
        try:
            began = time.monotonic()
            for record in self._workload.records():
                while self.sent > (time.monotonic() - began) * self._rate or self.sent - self._acknowledged > _MOST_BUFFERED:
                    if self._stopping.wait(_TURN_SECONDS):
                        return
                delivery = producer.send(self._topic, key=record.key, value=record.value, headers=record.headers)
                delivery.add_callback(self._acknowledge)
                delivery.add_errback(self._fail)
                self.sent += 1
            producer.flush(_FLUSH_SECONDS)
        finally:
            producer.close(5 if self._stopping.is_set() else _FLUSH_SECONDS)

    def _acknowledge(self, _: object) -> None:
        self._acknowledged += 1

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
