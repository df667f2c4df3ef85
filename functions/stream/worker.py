"""The stream worker: polls, calls, writes and commits; every decision is in the modules beside it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

from common import http_client
from common.errors import InvalidEvent
from common.redaction import redact_url
from eventing.codecs import json
from eventing.codecs import kafka as codec
from eventing.deadletter import Rejection
from eventing.event import Event
from eventing.kafka.errors import BrokerRefused, KafkaError, NotAuthorized, RequestTimedOut
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Cluster, Producer, ProducerOptions, TopicPartition
from eventing.reply import Problem
from functions.stream import guard, limits, recovery
from functions.stream.dispatch import Calls
from functions.stream.guard import Guard
from functions.stream.health import Health
from functions.stream.input import Commits, Input
from functions.stream.partition import Lane
from functions.stream.report import Seldom, Summary, Tally, logger
from functions.stream.settings import StreamSettings
from functions.stream.sink import Sink
from functions.stream.watch import Held, Seen, Sight, Stalled, Watch
from functions.stream.writer import NEVER_GIVE_UP_SECONDS, Topics, WriteFailed, Writer

_POLL_SECONDS = 0.1
# While a partition is paused a poll may sleep through its whole time, and a resume has to wait for it.
_POLL_SECONDS_PAUSED = 0.02
# Before the first assignment: a poll that ends just as the group's answer arrives makes the client join once more, which takes seconds.
# The odd length keeps clear of the whole seconds for which coordinators wait.
_POLL_SECONDS_JOINING = 1.3
_LAST_ROUND_SECONDS = 5.0
# Said of a partition whose records are being tried; one that nobody handles is the guard's.
_SLOW_SECONDS = 60.0
# Of the records of one partition that are sent together.
_BATCH_BYTES = 65_536
# Of the time that a stop may take; the rest is for writing and committing what they brought.
_SHARE_OF_CALLS = 2 / 3


async def run(settings: StreamSettings, stop: asyncio.Event, health: Health | None = None, cluster: Cluster | None = None) -> None:
    """Move events until `stop` is set.

    Raises BrokerUnreachable at start, BrokerRefused when it is not let in, TopicTooSmall when a dead letter may not fit into its topic,
    WriteFailed when an output cannot be written at all, Stalled when records wait and none is handled: then a thread may hang.
    """
    health, cluster = health or Health(), cluster or KafkaCluster(settings.broker)
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            http_client.session(timeout_seconds=settings.request_timeout_seconds, connections=settings.in_flight, raw=True)
        )
        health.unready = "a topic is missing."
        async with _producer(cluster, settings, _BATCH_BYTES) as client:
            partitions = await _partitions(client, settings, stop)
        if partitions is None:
            return
        topics = Topics(partitions, await asyncio.to_thread(limits.read, cluster, partitions))
        limits.check(topics.limits, settings.deadletter)
        # The broker refuses a batch, and not a record, that is larger than its topic takes.
        producer = await stack.enter_async_context(_producer(cluster, settings, min([_BATCH_BYTES, *topics.limits.values()])))
        await Worker(cluster, settings, producer, Sink(session, settings.sink), topics, health).run(stop)


class Worker:
    """One member of the group. All of its state belongs to the event loop's thread."""

    def __init__(self, cluster: Cluster, settings: StreamSettings, producer: Producer, sink: Sink, topics: Topics, health: Health) -> None:
        self._cluster = cluster
        self._settings = settings
        self._health = health
        self._lanes: dict[int, Lane] = {}
        self._new: set[int] = set()
        self._paused: set[int] = set()
        self._looking_back = False
        self._rounds = 0
        self._trouble = ""
        self._failed = asyncio.Event()
        self._failure: BaseException | None = None
        self._tally = Tally()
        self._summary = Summary(self._tally)
        self._may_tell = Seldom(30.0)
        self._committed_at = 0.0
        self._writer = Writer(producer, settings, topics, self._fail)
        self._calls = Calls(sink, settings, self._write, self._fail)
        self._input = Input(cluster, settings, self)
        self._guard = Guard(
            cluster,
            settings.input,
            Watch(guard.LOOK_SECONDS, settings.retry_seconds),
            assigned=self._input.positions,
            sight=self._sight,
            stalled=self._fail,
        )

    async def run(self, stop: asyncio.Event) -> None:
        settings = self._settings
        logger.info(
            "moving %s through %s to %s, failures to %s", settings.input, redact_url(settings.sink), settings.output, settings.deadletter
        )
        rounds, looks = (asyncio.create_task(each) for each in (self._keep_on(stop), self._guard.run()))
        over = {asyncio.create_task(event.wait()) for event in (stop, self._failed)}
        for task in (rounds, looks):
            task.add_done_callback(self._look_at)
        try:
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
            # One that hangs is left behind.
            await asyncio.wait({rounds}, timeout=_LAST_ROUND_SECONDS)
        finally:
            for each in (rounds, looks, *over):
                each.cancel()
            await asyncio.wait({rounds, looks}, timeout=_LAST_ROUND_SECONDS)
            await self._stop()
        if self._failure is not None:
            raise self._failure

    async def _keep_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set() and self._failure is None:
            await self._try_round()
            self._rounds += 1

    async def _try_round(self) -> None:
        try:
            await self._round()
        except KafkaError as error:
            self._trouble = str(error).rstrip(".")
            self._health.unready = f"Kafka: {self._trouble}."
            if self._may_tell("broker"):
                logger.warning("Kafka: %s; trying again", self._trouble)
            await asyncio.sleep(0.5)
        else:
            self._trouble = ""
            self._health.unready = "" if self._input.member else f"the group {self._settings.group} has not taken this worker in yet."

    async def _round(self) -> None:
        await self._adopt()
        self._balance()
        records = await self._input.poll(self._poll_seconds(), self._paused | self._new)
        for partition, batch in records.items():
            if partition in self._lanes:
                self._accept(self._lanes[partition], batch)
        if time.monotonic() - self._committed_at >= self._settings.commit_seconds:
            await self._commit()
        if self._summary.due():
            await self._report()

    def _poll_seconds(self) -> float:
        if not self._lanes and not self._new:
            return _POLL_SECONDS_JOINING
        return _POLL_SECONDS_PAUSED if self._paused else _POLL_SECONDS

    def _accept(self, lane: Lane, records: Sequence[codec.Record]) -> None:
        if not len(lane):
            lane.moved_at = time.monotonic()
        slots = []
        for record in records:
            slot = lane.add(record)
            if slot.landing is not None:
                self._tally.skipped += 1
                continue
            try:
                slot.event = json.encode(codec.decode(record))
            except InvalidEvent as error:
                slot.result = Rejection(Problem(400, "invalid event", str(error), {"model": self._settings.model}), 0)
            else:
                slots.append(slot)
        self._write(lane)
        self._calls.add(slots)

    def _write(self, lane: Lane) -> None:
        ready = lane.take()
        if not ready:
            return
        try:
            self._writer.write(lane, ready)
        except WriteFailed as error:
            self._fail(error)
        else:
            scored = sum(isinstance(slot.result, Event) for slot in ready)
            self._tally.scored += scored
            self._tally.dead_lettered += len(ready) - scored

    def _balance(self) -> None:
        """Pause what has too much unfinished, until half of it is done."""
        for partition, lane in self._lanes.items():
            if len(lane) >= self._settings.backlog:
                self._paused.add(partition)
            elif len(lane) <= self._settings.backlog // 2:
                self._paused.discard(partition)

    async def _adopt(self) -> None:
        """Find out where each new partition stands, and take it up there."""
        for partition in sorted(self._new):
            # What this process sent before it lost the partition must stand before anybody looks for it.
            if not await self._writer.drain({partition}, _POLL_SECONDS):
                continue
            lane, known = await self._look_back(partition)
            if partition not in self._new:
                continue
            self._lanes[partition] = lane
            if not known:
                # Until a commit stands, a killed worker's successor would not know what it wrote.
                await self._input.commit({partition: (lane.position, lane.checkpoint)})
            await self._input.seek(partition, lane.position)
            self._new.discard(partition)
            self._rounds += 1  # several may have much to look back at
            logger.info(
                "partition %d of %s is taken up at offset %d; %d records beyond it are written already",
                partition,
                self._settings.input,
                lane.position,
                lane.written,
            )

    async def _look_back(self, partition: int) -> tuple[Lane, bool]:
        settings = self._settings
        position, checkpoint = await self._input.committed(partition) or (None, None)
        if position is None:
            position = await self._input.start_of(partition)
        source = TopicPartition(settings.input, partition)
        self._looking_back = True
        try:
            past = await asyncio.to_thread(
                recovery.look_back, self._cluster, settings.group, source, position, self._writer.targets(partition), checkpoint
            )
        finally:
            self._looking_back = False
        return Lane(partition, position, past.checkpoint, past.written), checkpoint is not None

    async def _commit(self) -> None:
        commits = {number: (lane.position, lane.checkpoint) for number, lane in self._lanes.items() if lane.position != lane.committed}
        self._committed_at = time.monotonic()
        if not commits:
            return
        lanes = dict(self._lanes)
        await self._input.commit(commits)
        for number, (position, _) in commits.items():
            lanes[number].committed = position
            lanes[number].moved_at = self._committed_at

    async def _report(self) -> None:
        positions = {number: lane.position for number, lane in self._lanes.items()}
        self._summary.tell(await self._input.behind(positions))
        for number, lane in self._lanes.items():
            still = time.monotonic() - lane.moved_at
            if len(lane) and still > _SLOW_SECONDS and self._may_tell(f"slow {number}"):
                logger.warning("partition %d of %s has stood at %d for %.0f s", number, self._settings.input, lane.position, still)
        # A client whose broker is gone, or does not let it in any more, polls in vain and says nothing.
        await asyncio.to_thread(self._cluster.check_access)

    async def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.stop_seconds
        await self._calls.stop(self._settings.stop_seconds * _SHARE_OF_CALLS)
        try:
            # Leaving the group asks for what is finished, and commits it.
            await self._input.close(until - loop.time())
        except (KafkaError, TimeoutError) as error:
            logger.warning("the group %s was not left in order (%r); nothing is lost by that", self._settings.group, error)
        logger.info("stopped after %d scored and %d dead-lettered events", self._tally.scored, self._tally.dead_lettered)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, Stalled):
            self._health.dead = str(error)
        self._failure = self._failure or error
        self._failed.set()

    def _look_at(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    # What the guard sees.

    def _sight(self, ends: guard.Ends) -> Sight:
        settings, ends = self._settings, ends or {}
        return Sight(
            topic=settings.input,
            group=settings.group,
            rounds=self._rounds,
            member=self._input.member,
            answered=bool(ends),
            partitions={number: self._seen(number, fetched, ends.get(number)) for number, fetched in self._input.positions().items()},
            trouble=self._trouble,
        )

    def _seen(self, number: int, fetched: int | None, end: int | None) -> Seen:
        lane = self._lanes.get(number)
        if lane is not None and self._calls.hold(lane):
            held = Held.CALLS
        elif self._writer.hold(number) or (lane is None and self._looking_back):
            held = Held.WRITES
        else:
            held = Held.NOBODY
        finished, in_hand = (None, 0) if lane is None else (lane.position, len(lane))
        return Seen(fetched=fetched, finished=finished, end=end, in_hand=in_hand, held=held)

    # What the input tells of the assignment.

    def assigned(self, partitions: set[int]) -> None:
        self._new |= partitions

    async def released(self, partitions: set[int]) -> Commits:
        lanes = self._drop(partitions)
        await self._writer.drain(partitions, self._settings.session_timeout_seconds / 3)
        return {lane.partition: (lane.position, lane.checkpoint) for lane in lanes if lane.position != lane.committed}

    def lost(self, partitions: set[int]) -> None:
        self._drop(partitions)

    def _drop(self, partitions: set[int]) -> list[Lane]:
        self._new -= partitions
        self._paused -= partitions
        lanes = [self._lanes.pop(partition) for partition in partitions if partition in self._lanes]
        for lane in lanes:
            lane.close()
        return lanes


@contextlib.asynccontextmanager
async def _producer(cluster: Cluster, settings: StreamSettings, batch_bytes: int) -> AsyncIterator[Producer]:
    options = ProducerOptions(
        linger_seconds=settings.linger_seconds,
        block_seconds=5.0,
        delivery_timeout_seconds=NEVER_GIVE_UP_SECONDS,
        batch_bytes=batch_bytes,
    )
    producer = await asyncio.to_thread(cluster.producer, options)
    try:
        yield producer
    finally:
        with contextlib.suppress(KafkaError):  # the broker is away: what was not acknowledged is not committed either
            await asyncio.to_thread(producer.close, 5)


async def _partitions(producer: Producer, settings: StreamSettings, stop: asyncio.Event) -> dict[str, int] | None:
    """How many partitions each topic that is written has, once all topics exist; None if it was stopped before."""
    counts: dict[str, int] = {}
    may_tell = Seldom(600.0)
    for topic in (settings.input, settings.output, settings.deadletter):
        while topic not in counts:
            if stop.is_set():
                return None
            try:
                counts[topic] = len(await asyncio.to_thread(producer.partitions_for, topic))
            except NotAuthorized:
                raise BrokerRefused(f"Kafka does not let this user see the topic {topic}; grant it Describe, and Read or Write.") from None
            except RequestTimedOut:
                if may_tell(topic):
                    logger.warning("there is no topic %s yet; waiting until it is created", topic)
    return {topic: counts[topic] for topic in (settings.output, settings.deadletter)}
