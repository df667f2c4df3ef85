"""The start of a worker: its connections, its topics and their limits."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from functools import partial

from common import http_client
from eventing.kafka.errors import KafkaError
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Cluster, Producer, ProducerOptions, TransactionOptions
from functions.stream import limits
from functions.stream.health import Health
from functions.stream.reply_sink import ReplySink
from functions.stream.schemas import Schemas
from functions.stream.settings import Guarantee, Registry, StreamSettings
from functions.stream.sink import Sink
from functions.stream.topics import Topics, partition_counts
from functions.stream.transactions import MakeProducer
from functions.stream.worker import Worker
from functions.stream.writer import NEVER_GIVE_UP_SECONDS

# The size of a batch of records of one partition in a produce request.
_BATCH_BYTES = 65_536
_CLOSE_SECONDS = 5.0
# For one call to the schema registry, which is repeated.
_REGISTRY_SECONDS = 10.0


async def run(settings: StreamSettings, stop: asyncio.Event, health: Health | None = None, cluster: Cluster | None = None) -> None:
    """Start a worker and let it move events until `stop` is set.

    Raises BrokerUnreachable or BrokerRefused at start, TopicTooSmall when a dead letter may not fit into its topic,
    TopicMissing when a topic is missing that is not to be waited for, WriteFailed when an output cannot be written at
    all, Stalled when records wait and none is processed: then a thread may hang.
    """
    health, cluster = health or Health(), cluster or cluster_of(settings.broker)
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            http_client.session(timeout_seconds=settings.request_timeout_seconds, connections=settings.most_in_flight, raw=True)
        )
        schemas = None if settings.registry is None else await stack.enter_async_context(_schemas(settings.registry))
        replies = await stack.enter_async_context(_replies(settings))
        health.unready = "a topic is missing."
        output = await stack.enter_async_context(_output(cluster, settings, stop))
        if output is not None:
            producer, topics = output
            await Worker(cluster, settings, producer, Sink(session, settings.sink), topics, health, schemas, replies).run(stop)


@contextlib.asynccontextmanager
async def _schemas(settings: Registry) -> AsyncIterator[Schemas]:
    from functions.stream.registry import RegistryClient  # its codecs are an extra

    async with http_client.session(timeout_seconds=_REGISTRY_SECONDS, connections=4) as session:
        schemas = Schemas(RegistryClient(session, settings).reader)
        try:
            yield schemas
        finally:
            await schemas.close()


@contextlib.asynccontextmanager
async def _replies(settings: StreamSettings) -> AsyncIterator[ReplySink | None]:
    if settings.reply is None:
        yield None
        return
    seconds, connections = settings.request_timeout_seconds, settings.reply.in_flight
    async with http_client.session(timeout_seconds=seconds, connections=connections, raw=True) as session:
        yield ReplySink(session, settings.reply)


@contextlib.asynccontextmanager
async def _output(
    cluster: Cluster, settings: StreamSettings, stop: asyncio.Event
) -> AsyncIterator[tuple[Producer | MakeProducer, Topics] | None]:
    """Open the producer that also finds the topics, once they exist; None if stopped before.

    With transactions it only finds them: those have producers of their own.

    A broker with automatic topics creates them for a producer, and not for an admin client.
    """
    async with contextlib.AsyncExitStack() as stack:
        producer = await stack.enter_async_context(_producer(cluster, settings, _BATCH_BYTES))
        partitions = await partition_counts(cluster, producer, settings, stop)
        if partitions is None:
            yield None
            return
        topics = Topics(partitions, await asyncio.to_thread(limits.read, cluster, partitions))
        limits.check(topics.limits, settings.deadletter)
        batch_bytes = min([_BATCH_BYTES, *topics.limits.values()])
        if settings.delivery is Guarantee.EXACTLY_ONCE:
            await stack.aclose()
            yield partial(cluster.transactional_producer, _transaction_options(settings, batch_bytes)), topics
            return
        if batch_bytes < _BATCH_BYTES:
            # The broker refuses a batch, and not a record, that is larger than its topic allows.
            await stack.aclose()
            producer = await stack.enter_async_context(_producer(cluster, settings, batch_bytes))
        yield producer, topics


def _transaction_options(settings: StreamSettings, batch_bytes: int) -> TransactionOptions:
    return TransactionOptions(
        # No other worker has it: each ends the transactions of those before it with its id.
        transactional_id=f"{settings.group}-{settings.instance or settings.node or uuid.uuid4().hex}",
        timeout_seconds=settings.transaction_timeout_seconds,
        linger_seconds=settings.linger_seconds,
        block_seconds=settings.transaction_timeout_seconds,
        batch_bytes=batch_bytes,
    )


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
            await asyncio.to_thread(producer.close, _CLOSE_SECONDS)
