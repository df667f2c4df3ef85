"""Triggers: each reads its Broker's topic as a consumer group, filters, and delivers to its subscriber."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from weakref import WeakSet

from common.errors import TidegateError
from eventing.codecs import kafka
from eventing.event import Event
from eventing.kafka.port import Cluster
from tidegate.local.eventing.delivery import hops
from tidegate.local.eventing.delivery.deliveries import FILTERED, Deliveries, Delivery
from tidegate.local.eventing.delivery.filters import Filter, compile_filters
from tidegate.local.eventing.delivery.policy import DeliveryPolicy
from tidegate.local.eventing.delivery.subscriber import Counts, Delivered, Sleep, Subscriber
from tidegate.local.eventing.delivery.transport import Post
from tidegate.local.eventing.ingress import Address
from tidegate.local.eventing.kafka.broker import BrokerRunner
from tidegate.local.eventing.kafka.dispatcher import Dispatcher
from tidegate.local.eventing.kafka.reader import Reader
from tidegate.local.eventing.kafka.topic import EventTopic
from tidegate.local.eventing.runner import Condition, Report, Resolved
from tidegate.local.objects.eventing import DELIVERY_ORDER, Trigger

log = logging.getLogger("tidegate.eventing")

# The consumer group of a Trigger of Kafka's is what its DependencyReady is about.
DEPENDENCY_READY = "DependencyReady"
_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Source:
    """What a Trigger reads, and how. A change needs a new reader."""

    broker: Address
    ordered: bool


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a Trigger delivers. It can change at any time."""

    trigger: Address
    filter: Filter
    subscriber: Subscriber
    deliveries: Deliveries

    def accepts(self, event: Event) -> bool:
        passes = self.filter(hops.without(event))
        if not passes:
            self.subscriber.counts.filtered += 1
            self._begin(event).finish(FILTERED)
        return passes

    async def deliver(self, event: Event, sleep: Sleep) -> None:
        course = self._begin(event)
        delivered = await self.subscriber.deliver(event, sleep, course)
        if delivered is Delivered.SUBSCRIBER:
            course.finish(delivered.value)
            return
        name, cause = self.trigger.name, self.subscriber.counts.last_failure
        course.finish(delivered.value, cause)
        log.warning("Trigger %s: the event %s of %s is %s: %s", name, event.id, event.source, delivered.value, cause)

    def _begin(self, event: Event) -> Delivery:
        course = Delivery(namespace=self.trigger.namespace, trigger=self.trigger.name, subscriber=self.subscriber.url)
        self.deliveries.add(event, course)
        return course


class TriggerRunner:
    """Runs the Triggers: a `Runner`."""

    def __init__(self, cluster: Cluster, brokers: BrokerRunner, post: Post, report: Report) -> None:
        self._cluster = cluster
        self._brokers = brokers
        self._post = post
        self._report = report
        self.deliveries = Deliveries()
        self._running: dict[Address, _Running] = {}
        self._stopping: dict[Address, asyncio.Task[None]] = {}
        self._deleted: set[Address] = set()
        self._all: WeakSet[_Running] = WeakSet()

    def apply(self, item: Trigger, context: Resolved) -> None:
        """Run a Trigger; while its subscriber or dead letter sink has no address, it waits."""
        trigger = Address(item.metadata.namespace or "", item.metadata.name or "")
        source = _source_of(item, trigger)
        running = self._running.get(trigger)
        if running is None or running.source != source:
            if running is not None:
                self._stop(trigger, running)
            running = self._running[trigger] = _Running(trigger, source, self._brokers.ends(*source.broker))
            self._all.add(running)
            running.start(self._run(running, self._stopping.get(trigger)))
        running.set_target(self._target(item, context, running))

    def delete(self, namespace: str, name: str) -> None:
        """Stop a Trigger. One of the same name that is created later receives later events only."""
        trigger = Address(namespace, name)
        if running := self._running.pop(trigger, None):
            self._deleted.add(trigger)
            self._stop(trigger, running)

    async def close(self) -> None:
        for trigger, running in self._running.items():
            self._stop(trigger, running)
        self._running.clear()
        await asyncio.gather(*self._stopping.values())

    def kill(self) -> None:
        """Give up the events in flight: they are delivered after the next start."""
        for running in self._all:
            if running.dispatcher is not None:
                running.dispatcher.kill()

    def counts(self) -> Mapping[Address, Counts]:
        """Return the counts of each Trigger."""
        return {trigger: running.counts for trigger, running in self._running.items()}

    def in_flight(self) -> int:
        """Return how many events are being delivered."""
        return sum(running.dispatcher.in_flight for running in self._running.values() if running.dispatcher)

    def _target(self, item: Trigger, context: Resolved, running: _Running) -> _Target | None:
        wants_sink = context.delivery is not None and context.delivery.dead_letter_sink is not None
        if context.subscriber is None or (wants_sink and context.dead_letter is None):
            return None
        subscriber = Subscriber(
            url=context.subscriber,
            dead_letter_sink=context.dead_letter,
            policy=DeliveryPolicy.of(context.delivery),
            namespace=running.trigger.namespace,
            post=self._post,
            reply=running.reply,
            counts=running.counts,
        )
        return _Target(running.trigger, compile_filters(item.spec), subscriber, self.deliveries)

    def _stop(self, trigger: Address, running: _Running) -> None:
        self._stopping[trigger] = asyncio.create_task(running.stop(self._stopping.get(trigger)))

    async def _run(self, running: _Running, before: asyncio.Task[None] | None) -> None:
        """Connect a Trigger once its Broker is there; try again until Kafka answers."""
        if before is not None:
            await asyncio.wait([before])
        topic = await self._brokers.topic(*running.source.broker)
        while True:
            try:
                await self._connect(running, topic)
            except TidegateError as error:
                reason = "failed to reconcile consumer group"
                self._report(*running.trigger, Condition(type=DEPENDENCY_READY, status="False", reason=reason, message=str(error)))
                log.warning("the Trigger %s cannot read its Broker's topic (%s); trying again", running.trigger.name, error)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._report(*running.trigger, Condition(type=DEPENDENCY_READY))
                return

    async def _connect(self, running: _Running, topic: EventTopic) -> None:
        reader = Reader(self._cluster, topic.name, group_of(running.trigger), kafka.decode_verbatim, topic.recent)
        dispatcher = Dispatcher(reader, ordered=running.source.ordered)
        try:
            start = running.created_at or topic.opened_at
            await reader.start(topic.opened_at, start, dispatcher.dispatch, reset=running.trigger in self._deleted)
        except BaseException:
            await reader.close()
            raise
        self._deleted.discard(running.trigger)
        running.connected(topic, reader, dispatcher)


class _Running:
    """One Trigger from its first application to its deletion, or to a change of what it reads."""

    def __init__(self, trigger: Address, source: _Source, created_at: Mapping[int, int] | None) -> None:
        """`created_at` are the ends of the Broker's topic now, by partition, or None if it is not there yet.

        A Trigger gets the events from its creation on, although it takes a while to connect.
        """
        self.trigger = trigger
        self.source = source
        self.created_at = created_at
        self.counts = Counts()
        self.dispatcher: Dispatcher | None = None
        self._reader: Reader | None = None
        self._topic: EventTopic | None = None
        self._target: _Target | None = None
        self._starting: asyncio.Task[None] | None = None

    def start(self, starting: Awaitable[None]) -> None:
        self._starting = asyncio.ensure_future(starting)

    def set_target(self, target: _Target | None) -> None:
        self._target = target
        if self.dispatcher is not None:
            self.dispatcher.set_target(target)

    def connected(self, topic: EventTopic, reader: Reader, dispatcher: Dispatcher) -> None:
        """Start to deliver."""
        self._topic, self._reader, self.dispatcher = topic, reader, dispatcher
        dispatcher.start()
        topic.watch(dispatcher.dispatch)
        dispatcher.set_target(self._target)

    async def reply(self, reply: Event, event: Event) -> None:
        """Write the reply to an event into the Broker. Raises TooManyHops, KafkaError or InvalidEvent."""
        if self._topic is not None:
            await self._topic.append(hops.following(reply, event))

    async def stop(self, before: asyncio.Task[None] | None) -> None:
        """Finish the attempts in flight and commit, after an earlier run of the same Trigger has done so."""
        if before is not None:
            await asyncio.wait([before])
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        if self._topic is not None and self.dispatcher is not None and self._reader is not None:
            self._topic.unwatch(self.dispatcher.dispatch)
            await self.dispatcher.close()
            await self._reader.close()


def group_of(trigger: Address) -> str:
    """Return the consumer group of a Trigger, by Knative's default template."""
    return f"knative-trigger-{trigger.namespace}-{trigger.name}"


def _source_of(item: Trigger, trigger: Address) -> _Source:
    ref = item.spec.broker_ref
    broker = Address((ref.namespace if ref else None) or trigger.namespace, ref.name if ref else item.spec.broker)
    return _Source(broker, item.metadata.annotations.get(DELIVERY_ORDER, "").lower() == "ordered")
