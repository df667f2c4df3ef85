"""KafkaSinks: an ingress that writes events to a topic, in the content mode of the sink.

The topic is in the Kafka that `tidegate up` has, whatever the sink's `bootstrapServers`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from common.errors import InvalidEvent, TidegateError
from eventing.codecs import json, kafka
from eventing.codecs.kafka import Message
from eventing.event import Event, check_characters
from eventing.kafka.errors import KafkaError, RecordTooLarge
from eventing.kafka.port import Cluster
from tidegate.local.eventing import ingress
from tidegate.local.eventing.delivery import hops
from tidegate.local.eventing.ingress import Address, Refused
from tidegate.local.eventing.kafka.broker import TOPIC_READY, BrokerRunner
from tidegate.local.eventing.runner import Condition, Report, Resolved
from tidegate.local.objects.eventing import KafkaSink

log = logging.getLogger("tidegate.eventing")

_PAUSE_SECONDS = 2.0


@dataclass(slots=True)
class _Sink:
    """A KafkaSink. `ready` is set when its topic is there; `written` counts its events."""

    topic: str
    structured: bool
    partitions: int | None
    ready: bool = False
    written: int = 0
    opening: asyncio.Task[None] | None = None


class KafkaSinkRunner:
    """Runs the KafkaSinks: a `Runner`, and the handler of their ingress. A topic outlives its sink."""

    def __init__(self, cluster: Cluster, brokers: BrokerRunner, report: Report, *, create_topics: bool) -> None:
        """Without `create_topics`, the broker creates a topic when it is first used."""
        self._cluster = cluster
        self._brokers = brokers
        self._report = report
        self._create_topics = create_topics
        self._sinks: dict[Address, _Sink] = {}

    def apply(self, item: KafkaSink, context: Resolved) -> None:
        """Accept the events of a sink as soon as its topic is there."""
        address = Address(item.metadata.namespace or "", item.metadata.name or "")
        # As in Knative, a topic is created only if both are given; otherwise it must exist.
        partitions = item.spec.num_partitions if item.spec.replication_factor else None
        sink = _Sink(topic=item.spec.topic, structured=item.spec.content_mode == "structured", partitions=partitions)
        old = self._sinks.get(address)
        if old is not None and old.topic == sink.topic:
            old.structured = sink.structured
            return
        self.delete(*address)
        self._sinks[address] = sink
        sink.opening = asyncio.create_task(self._open(address, sink))

    def delete(self, namespace: str, name: str) -> None:
        """Accept no more events for a sink."""
        sink = self._sinks.pop(Address(namespace, name), None)
        if sink is not None and sink.opening is not None:
            sink.opening.cancel()

    async def close(self) -> None:
        """Give up what is being opened. An event that is being written has its own caller, who waits for it."""
        opening = [sink.opening for sink in self._sinks.values() if sink.opening is not None]
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)

    def written(self) -> Mapping[Address, int]:
        """Return how many events each sink has accepted."""
        return {address: sink.written for address, sink in self._sinks.items()}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Write the events of a request: 202 once Kafka has them."""
        try:
            sink = self._sink_of(request)
            events = await ingress.events_of(request)
            await self._write(sink, [_message(event, structured=sink.structured) for event in events])
        except Refused as refused:
            return refused.response
        return web.Response(status=202)

    def _sink_of(self, request: web.BaseRequest) -> _Sink:
        address, sink = ingress.find(request, self._sinks, none="no KafkaSink")
        if not sink.ready:
            raise Refused(503, f"the topic {sink.topic} of the KafkaSink {address.name} is not there; retry later.", {"Retry-After": "1"})
        return sink

    async def _write(self, sink: _Sink, messages: list[Message]) -> None:
        """Write records. Raises Refused if one of them is not written; others may be."""
        try:
            writer = await self._brokers.writer()
            results = await asyncio.gather(*(writer.write(sink.topic, message) for message in messages), return_exceptions=True)
        except TidegateError as error:
            results = [error]
        sink.written += sum(not isinstance(result, BaseException) for result in results)
        failure = next((result for result in results if isinstance(result, BaseException)), None)
        if isinstance(failure, RecordTooLarge):
            raise Refused(413, f"an event is larger than Kafka accepts: {failure}")
        if isinstance(failure, TidegateError):
            raise Refused(503, f"Kafka has not taken the event: {failure}")
        if failure is not None:
            raise failure

    async def _open(self, address: Address, sink: _Sink) -> None:
        """Wait until the topic is there, and create it if the sink says how."""
        while True:
            try:
                await self._find_topic(sink)
            except TidegateError as error:
                reason = f"Failed to create topic: {sink.topic}" if sink.partitions else "Topic is not present or invalid"
                self._report(*address, Condition(type=TOPIC_READY, status="False", reason=reason, message=str(error)))
                log.warning("the topic %s of the KafkaSink %s is not there: %s", sink.topic, address.name, error)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                sink.ready = True
                self._report(*address, Condition(type=TOPIC_READY))
                return

    async def _find_topic(self, sink: _Sink) -> None:
        if self._create_topics:
            await asyncio.to_thread(self._create_or_check, sink)
        await (await self._brokers.writer()).partitions(sink.topic)

    def _create_or_check(self, sink: _Sink) -> None:
        if sink.partitions:
            admin = self._cluster.admin()
            try:
                admin.create_topic(sink.topic, sink.partitions)
            finally:
                admin.close()
            return
        consumer = self._cluster.consumer()
        try:
            if not consumer.partitions_for(sink.topic):
                raise KafkaError(f"the topic {sink.topic} does not exist", remedy="create it, or set numPartitions and replicationFactor")
        finally:
            consumer.close()


def _message(event: Event, *, structured: bool) -> Message:
    """Return the record of an event, whose key is its `partitionkey`. Raises Refused."""
    event = hops.without(event)
    try:
        binary = kafka.encode(event)
        if not structured:
            return binary
        check_characters(event.attributes)
        # Data in JSON is written into the event unchanged, so it is checked first.
        checked = Event(event.attributes, event.value()) if event.is_json and event.data is not None else event
        return Message(binary.key, json.encode(checked), [("content-type", json.MEDIA_TYPE.encode())])
    except InvalidEvent as error:
        raise Refused(400, str(error)) from None
