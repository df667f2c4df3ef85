"""Reader of the stream's results while it runs, since the embedded broker keeps only the newest records."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

import orjson

from eventing import deadletter
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker, ConsumedRecord, TopicPartition
from tidegate.demo.broken import CASE_HEADER


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """One reply. `written_ms` is the time at which the worker wrote it, in ms since the epoch."""

    version: str
    key: str
    score: float
    written_ms: int


@dataclass(slots=True)
class Collected:
    """Replies by the id of their event, reasons of dead letters by their case, and the number of copies of each."""

    scored: dict[str, Scored] = field(default_factory=dict)
    dead: dict[str, str] = field(default_factory=dict)
    copies: Counter[str] = field(default_factory=Counter)

    @property
    def events(self) -> int:
        return len(self.scored) + len(self.dead)


class Collector:
    """A context manager that reads both topics from their current end, in a thread, which calls `on_scored` for each score."""

    def __init__(self, broker: Broker, scored: str, deadletter: str, on_scored: Callable[[str], None]) -> None:
        self.collected = Collected()
        self.error: Exception | None = None
        self._scored, self._deadletter, self._on_scored = scored, deadletter, on_scored
        self._consumer = cluster_of(broker).consumer()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def __enter__(self) -> Collector:
        partitions = [
            TopicPartition(topic, number) for topic in (self._scored, self._deadletter) for number in self._consumer.partitions_for(topic)
        ]
        self._consumer.assign(partitions)
        for partition, end in self._consumer.end_offsets(partitions).items():
            self._consumer.seek(partition, end)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def wait(self, events: int, seconds: float) -> bool:
        """Wait until there are results of so many different events, or the time is up. Returns whether there are."""
        with self._changed:
            done = self._changed.wait_for(lambda: self.error is not None or self.collected.events >= events, seconds)
        if self.error is not None:
            raise self.error
        return done

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                batches = self._consumer.poll(0.1).values()
                with self._changed:
                    for record in (record for batch in batches for record in batch):
                        self._take(record)
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 wait() raises it again
            with self._changed:
                self.error = error
                self._changed.notify_all()

    def _take(self, record: ConsumedRecord) -> None:
        headers = {name: value or b"" for name, value in record.headers}
        if record.topic == self._deadletter:
            name = headers.get(CASE_HEADER, b"").decode() or f"event {headers.get('ce_id', b'without an id').decode()}"
            self.collected.dead[name] = deadletter.problem_of(record.headers).detail
        else:
            name = headers["ce_causationid"].decode()
            version, key = headers["ce_modelversion"].decode(), headers["ce_partitionkey"].decode()
            self.collected.scored[name] = Scored(
                version=version, key=key, score=orjson.loads(record.value or b"")["late"], written_ms=record.timestamp
            )
            self._on_scored(name)
        self.collected.copies[name] += 1
