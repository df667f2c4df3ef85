"""Brokers: each is a topic in Kafka, written by its ingress and by the replies of its Triggers' subscribers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from aiohttp import web

from common.errors import InvalidEvent, TidegateError
from eventing.event import Event
from eventing.kafka.errors import KafkaError, RecordTooLarge
from eventing.kafka.port import Cluster, ProducerOptions, TopicPartition
from tidegate.local.eventing import ingress
from tidegate.local.eventing.delivery import hops
from tidegate.local.eventing.ingress import Address, Refused
from tidegate.local.eventing.kafka.topic import EventTopic
from tidegate.local.eventing.kafka.writer import Writer
from tidegate.local.eventing.runner import Condition, Report, Resolved
from tidegate.local.objects.eventing import Broker

log = logging.getLogger("tidegate.eventing")

TOPIC_READY = "TopicReady"
# `default.topic.partitions` of Knative's ConfigMap kafka-broker-config.
_PARTITIONS = 10
_PAUSE_SECONDS = 2.0
# The longest call of the library, which waits for the metadata of a topic; its default is 60 s.
_BLOCK_SECONDS = 5.0
_CLOSE_SECONDS = 1.0


class BrokerRunner:
    """Runs the Brokers: a `Runner`, and the handler of their ingress.

    A deleted Broker accepts no more events; its topic is kept, so that nothing is lost by mistake.
    """

    def __init__(self, cluster: Cluster, report: Report, *, create_topics: bool) -> None:
        """`create_topics` is for clusters whose broker does not create a topic when it is first used."""
        self._cluster = cluster
        self._report = report
        self._create_topics = create_topics
        self._writer: Writer | None = None
        self._connecting = asyncio.Lock()
        self._topics: dict[str, asyncio.Task[EventTopic]] = {}
        self._brokers: dict[Address, asyncio.Task[EventTopic]] = {}
        self._applied = asyncio.Event()

    def apply(self, item: Broker, context: Resolved) -> None:
        address = Address(item.metadata.namespace or "", item.metadata.name or "")
        name = item.topic
        if address in self._brokers and not self._brokers[address].cancelled():
            return
        task = self._topics.get(name)
        if task is None or task.cancelled():
            task = self._topics[name] = asyncio.create_task(self._open(name, address))
        task.add_done_callback(lambda done: self._opened(address, done))
        self._brokers[address] = task
        self._applied.set()

    def delete(self, namespace: str, name: str) -> None:
        self._brokers.pop(Address(namespace, name), None)

    async def close(self) -> None:
        # A call of the library cannot be cancelled, and would keep the process from its end.
        if self._topics:
            await asyncio.wait(self._topics.values(), timeout=_CLOSE_SECONDS)
        for task in self._topics.values():
            task.cancel()
        await asyncio.gather(*self._topics.values(), return_exceptions=True)
        if self._writer is not None:
            await self._writer.close()

    async def topic(self, namespace: str, name: str) -> EventTopic:
        """Return the topic of a Broker, once the Broker has been applied and its topic is there."""
        while True:
            if (task := self._brokers.get(Address(namespace, name))) is not None:
                return await asyncio.shield(task)
            self._applied.clear()
            await self._applied.wait()

    def ends(self, namespace: str, name: str) -> Mapping[int, int] | None:
        """Return the ends of a Broker's topic, by partition; None before the topic is there."""
        task = self._brokers.get(Address(namespace, name))
        return dict(task.result().ends) if task and task.done() and not task.cancelled() else None

    async def writer(self) -> Writer:
        """Return the writer of everything in this process that writes events, connected at the first call. Raises KafkaError."""
        async with self._connecting:
            if self._writer is None:
                call = asyncio.to_thread(self._cluster.producer, ProducerOptions(block_seconds=_BLOCK_SECONDS))
                connecting = asyncio.ensure_future(call)
                try:
                    self._writer = Writer(await asyncio.shield(connecting))
                except asyncio.CancelledError:
                    # The call goes on in its thread, and `close` must close what it returns.
                    with suppress(KafkaError):
                        self._writer = Writer(await connecting)
                    raise
            return self._writer

    def written(self) -> Mapping[Address, int]:
        """Return how many events each Broker has accepted, replies included."""
        return {address: task.result().written for address, task in self._brokers.items() if task.done() and not task.cancelled()}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Accept the events of a request to the ingress: 202 once Kafka has them."""
        try:
            topic = self._topic_of(request)
            await _append(topic, await ingress.events_of(request))
        except Refused as refused:
            return refused.response
        return web.Response(status=202)

    def _topic_of(self, request: web.BaseRequest) -> EventTopic:
        address, task = ingress.find(request, self._brokers, none="no Broker")
        if not task.done():
            raise Refused(503, f"the topic of the Broker {address.name} is not ready; retry later.", {"Retry-After": "1"})
        return task.result()

    async def _open(self, name: str, address: Address) -> EventTopic:
        """Create the topic unless it exists; try again until Kafka does so."""
        while True:
            try:
                if self._create_topics:
                    await asyncio.to_thread(self._create, name)
                writer = await self.writer()
                return EventTopic(name, writer, await asyncio.to_thread(self._ends, name, await writer.partitions(name)))
            except TidegateError as error:
                failed = Condition(type=TOPIC_READY, status="False", reason=f"Failed to create topic: {name}", message=str(error))
                self._report(*address, failed)
                log.warning("the topic %s of the Broker %s is not there: %s", name, address.name, error)
                await asyncio.sleep(_PAUSE_SECONDS)

    def _create(self, name: str) -> None:
        admin = self._cluster.admin()
        try:
            admin.create_topic(name, _PARTITIONS)
        finally:
            admin.close()

    def _ends(self, name: str, partitions: Collection[int]) -> dict[int, int]:
        consumer = self._cluster.consumer()
        try:
            found = consumer.end_offsets([TopicPartition(name, number) for number in partitions], _BLOCK_SECONDS)
        finally:
            consumer.close()
        return {source.partition: offset for source, offset in found.items()}

    def _opened(self, address: Address, task: asyncio.Task[EventTopic]) -> None:
        if not task.cancelled():
            self._report(*address, Condition(type=TOPIC_READY))


async def _append(topic: EventTopic, events: Sequence[Event]) -> None:
    """Write the events of a request. Raises Refused if one of them is not written; others may be."""
    for event in events:
        if hops.left(event) <= 0:
            raise Refused(400, f"the event {event.id[:200]} has gone through {hops.MAX_HOPS} Brokers; Triggers feed each other.")
    try:
        if len(events) == 1:
            await topic.append(events[0])
            return
        failed = [found for found in await asyncio.gather(*map(topic.append, events), return_exceptions=True) if found is not None]
        if failed:
            raise failed[0]
    except InvalidEvent as error:
        raise Refused(400, str(error)) from None
    except RecordTooLarge as error:
        raise Refused(413, f"an event is larger than Kafka accepts: {error}") from None
    except KafkaError as error:
        raise Refused(503, f"Kafka has not taken the event: {error}") from None
