"""KafkaSources: each reads topics as a consumer group, and delivers every record to its sink.

The topics are those of the Kafka that `tidegate up` has, whatever the source's `bootstrapServers`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from common.errors import TidegateError
from eventing.event import Event
from eventing.kafka.errors import KafkaError
from eventing.kafka.port import Cluster
from tidegate.local.eventing.broker import BrokerRunner
from tidegate.local.eventing.delivery import DeliveryPolicy
from tidegate.local.eventing.dispatcher import Dispatcher
from tidegate.local.eventing.ingress import Address
from tidegate.local.eventing.kafka_records import KEY_TYPE, event_of
from tidegate.local.eventing.reader import Reader, Start
from tidegate.local.eventing.runner import Condition, Report, Resolved
from tidegate.local.eventing.subscriber import Counts, Delivered, Sleep, Subscriber
from tidegate.local.eventing.transport import Post
from tidegate.local.objects.eventing import KafkaSource

log = logging.getLogger("tidegate.eventing")

CONSUMER_GROUP = "ConsumerGroup"
_PAUSE_SECONDS = 2.0
# Of a source without a `delivery`, unlike a Trigger (`source.go` of the control plane).
_DELIVERY = DeliveryPolicy(retries=10, delay_seconds=0.3)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a source reads, and how. A change needs new readers."""

    topics: tuple[str, ...]
    group: str
    start: Start
    ordered: bool
    key_type: str


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a source delivers. It can change at any time."""

    source: Address
    subscriber: Subscriber
    overrides: Mapping[str, str]

    def accepts(self, event: Event) -> bool:
        return True

    async def deliver(self, event: Event, sleep: Sleep) -> None:
        delivered = await self.subscriber.deliver(event.with_attributes(**self.overrides), sleep)
        if delivered is not Delivered.SUBSCRIBER:
            cause = self.subscriber.counts.last_failure
            log.warning("KafkaSource %s: the event %s of %s is %s: %s", self.source.name, event.id, event.source, delivered.value, cause)


class KafkaSourceRunner:
    """Runs the KafkaSources: a `Runner`."""

    def __init__(self, cluster: Cluster, brokers: BrokerRunner, post: Post, report: Report, *, create_topics: bool) -> None:
        """Without `create_topics`, the broker creates a topic when it is first used."""
        self._cluster = cluster
        self._brokers = brokers
        self._post = post
        self._report = report
        self._create_topics = create_topics
        self._running: dict[Address, _Running] = {}
        self._stopping: dict[Address, asyncio.Task[None]] = {}
        self._deleted: set[Address] = set()

    def apply(self, item: KafkaSource, context: Resolved) -> None:
        """Run a source. While its sink has no address, or `consumers` is 0, it waits."""
        address = Address(item.metadata.namespace or "", item.metadata.name or "")
        reading = _reading_of(item)
        running = self._running.get(address)
        if running is None or running.reading != reading:
            if running is not None:
                self._stop(address, running)
            running = self._running[address] = _Running(reading)
            running.starting = asyncio.create_task(self._run(address, running, self._stopping.get(address)))
        running.set_target(self._target(item, context, running, address))

    def delete(self, namespace: str, name: str) -> None:
        """Stop a source. One of the same name that is created later begins at its `initialOffset`."""
        address = Address(namespace, name)
        if running := self._running.pop(address, None):
            self._deleted.add(address)
            self._stop(address, running)

    async def close(self) -> None:
        for address, running in self._running.items():
            self._stop(address, running)
        self._running.clear()
        await asyncio.gather(*self._stopping.values())

    def counts(self) -> Mapping[Address, Counts]:
        """Return the counts of each source."""
        return {address: running.counts for address, running in self._running.items()}

    def _target(self, item: KafkaSource, context: Resolved, running: _Running, address: Address) -> _Target | None:
        wants_sink = context.delivery is not None and context.delivery.dead_letter_sink is not None
        if context.sink is None or item.spec.consumers == 0 or (wants_sink and context.dead_letter is None):
            return None
        subscriber = Subscriber(
            url=context.sink,
            dead_letter_sink=context.dead_letter,
            policy=DeliveryPolicy.of(context.delivery) if context.delivery else _DELIVERY,
            namespace=address.namespace,
            post=self._post,
            counts=running.counts,
        )
        return _Target(address, subscriber, item.spec.ce_overrides.extensions if item.spec.ce_overrides else {})

    def _stop(self, address: Address, running: _Running) -> None:
        self._stopping[address] = asyncio.create_task(running.stop(self._stopping.get(address)))

    async def _run(self, address: Address, running: _Running, before: asyncio.Task[None] | None) -> None:
        """Connect a source; try again until Kafka answers and has all topics."""
        if before is not None:
            await asyncio.wait([before])
        while True:
            try:
                for topic in running.reading.topics:
                    if topic not in running.connected:
                        await self._connect(address, running, topic)
            except TidegateError as error:
                message = f"failed to initialize offset: {error}"
                self._report(*address, Condition(type=CONSUMER_GROUP, status="False", reason="InitializeOffset", message=message))
                log.warning("the KafkaSource %s cannot read its topics (%s); trying again", address.name, error)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._deleted.discard(address)
                self._report(*address, Condition(type=CONSUMER_GROUP))
                return

    async def _connect(self, address: Address, running: _Running, topic: str) -> None:
        reading = running.reading
        path = f"/apis/v1/namespaces/{address.namespace}/kafkasources/{address.name}"
        reader = Reader(self._cluster, topic, reading.group, partial(event_of, source=path, key_type=reading.key_type))
        dispatcher = Dispatcher(reader, ordered=reading.ordered)
        try:
            await reader.start(await self._partitions(topic), reading.start, dispatcher.dispatch, reset=address in self._deleted)
        except BaseException:
            await reader.close()
            raise
        running.add(topic, reader, dispatcher)

    async def _partitions(self, topic: str) -> set[int]:
        """Return the partitions of a topic. Raises KafkaError if there is no such topic."""
        if not self._create_topics:
            return await (await self._brokers.writer()).partitions(topic)
        found = await asyncio.to_thread(self._existing_partitions, topic)
        if not found:
            raise KafkaError(f"the topic {topic} does not exist", remedy="create it")
        return found

    def _existing_partitions(self, topic: str) -> set[int]:
        consumer = self._cluster.consumer()
        try:
            return consumer.partitions_for(topic)
        finally:
            consumer.close()


class _Running:
    """One source from its first application to its deletion, or to a change of what it reads."""

    def __init__(self, reading: _Reading) -> None:
        self.reading = reading
        self.counts = Counts()
        self.connected: dict[str, tuple[Reader, Dispatcher]] = {}
        self.starting: asyncio.Task[None] | None = None
        self._target: _Target | None = None

    def set_target(self, target: _Target | None) -> None:
        self._target = target
        for _, dispatcher in self.connected.values():
            dispatcher.set_target(target)

    def add(self, topic: str, reader: Reader, dispatcher: Dispatcher) -> None:
        """Start to deliver the records of a topic."""
        self.connected[topic] = (reader, dispatcher)
        dispatcher.start()
        dispatcher.set_target(self._target)

    async def stop(self, before: asyncio.Task[None] | None) -> None:
        """Finish the attempts in flight and commit, after an earlier run of the same source has done so."""
        if before is not None:
            await asyncio.wait([before])
        if self.starting is not None:
            self.starting.cancel()
            await asyncio.wait([self.starting])
        for reader, dispatcher in self.connected.values():
            await dispatcher.close()
            await reader.close()


def _reading_of(item: KafkaSource) -> _Reading:
    spec = item.spec
    return _Reading(
        topics=tuple(dict.fromkeys(spec.topics)),
        group=spec.consumer_group,
        start=Start(spec.initial_offset),
        ordered=spec.ordering == "ordered",
        key_type=item.metadata.labels.get(KEY_TYPE, "string"),
    )
