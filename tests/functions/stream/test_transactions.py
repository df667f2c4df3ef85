"""A worker with exactly-once delivery on a cluster in memory that makes faults."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from eventing import deadletter
from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka.errors import BrokerUnreachable, KafkaError, NotAuthorized, RecordTooLarge, TransactionsUnsupported
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.fake.consumer import FakeConsumer
from eventing.kafka.fake.transactions import FakeTransactionalProducer
from eventing.kafka.port import Broker, CommittedOffset, ConsumedRecord, ConsumerOptions, TopicPartition, TransactionOptions
from functions.stream import startup, transactions, worker
from functions.stream.assignment import Assignment
from functions.stream.checkpoint import Checkpoint
from functions.stream.commit import TransactionCommits
from functions.stream.input import Input
from functions.stream.partition import PartitionTracker
from functions.stream.sender import WriteFailed
from functions.stream.settings import Guarantee, StreamSettings
from functions.stream.sink import Success
from functions.stream.topics import Topics
from functions.stream.transactions import Transactions

PARTITIONS = 2
SETTINGS = StreamSettings(
    broker=Broker("unused:9092"),
    input="in",
    output="out",
    deadletter="dead",
    group="g",
    model="m",
    sink="http://127.0.0.1:1/models/m",
    batch_size=3,
    delivery=Guarantee.EXACTLY_ONCE,
    transaction_seconds=0.001,
    commit_seconds=0.001,
    instance="worker",
)
SOURCES = [TopicPartition("in", number) for number in range(PARTITIONS)]


class Echo:
    """A sink that answers each event with its data."""

    def __init__(self, *_: object) -> None: ...

    async def post(self, events: list[bytes]) -> Success:
        return Success([Event({"specversion": "1.0", "id": "r", "source": "/m", "type": "t"}, data) for data in events])


class Cluster(FakeCluster):
    """Keeps its group consumers, so that a test can expel them."""

    def __init__(self) -> None:
        super().__init__(partitions=PARTITIONS)
        self.members: list[FakeConsumer] = []

    def consumer(self, options: ConsumerOptions = ConsumerOptions()) -> FakeConsumer:  # noqa: B008 as its base
        found = super().consumer(options)
        if options.group == SETTINGS.group and options.session_timeout_seconds is not None:
            self.members.append(found)
        return found


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    prepare(monkeypatch)
    return Cluster()


def prepare(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(startup, "Sink", Echo)
    patch.setattr(worker, "_POLL_SECONDS_JOINING", 0.01)
    patch.setattr(transactions, "backoff", lambda *_, **__: 0.0)


@asynccontextmanager
async def running(cluster: Cluster, settings: StreamSettings = SETTINGS) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    running = asyncio.create_task(startup.run(settings, stop, cluster=cluster))
    try:
        yield running
    finally:
        stop.set()
        await asyncio.wait({running})
    await running


def publish(cluster: Cluster, numbers: Collection[int]) -> None:
    producer = cluster.producer()
    for number in numbers:
        producer.send("in", Message(b"%d" % (number % 5), b'{"number": %d}' % number, []), number % PARTITIONS)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not reached():  # noqa: ASYNC110 the worker sets no event
            await asyncio.sleep(0.002)


def is_finished(cluster: Cluster) -> bool:
    reader = cluster.consumer(ConsumerOptions(group="g"))
    ends = reader.end_offsets(SOURCES)
    return all((found := reader.committed(source)) is not None and found.offset == ends[source] for source in SOURCES)


def read(cluster: Cluster, topic: str, *, read_committed: bool = True) -> list[ConsumedRecord]:
    reader = cluster.consumer(ConsumerOptions(read_committed=read_committed))
    reader.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
    return [record for records in reader.poll(0).values() for record in records]


def origins(records: list[ConsumedRecord]) -> Counter[bytes | None]:
    return Counter(dict(record.headers)[deadletter.ORIGIN] for record in records)


def expected(count: int) -> Counter[bytes | None]:
    return Counter(b"in/%d/%d" % (number % PARTITIONS, number // PARTITIONS) for number in range(count))


async def test_results_dead_letters_and_tombstones_are_committed(cluster: Cluster) -> None:
    publish(cluster, range(10))
    producer = cluster.producer()
    producer.send("in", Message(b"k", b"{no json", []), 0)
    producer.send("in", Message(b"k", None, []), 1)
    async with running(cluster):
        await until(lambda: is_finished(cluster))
    assert origins(read(cluster, "out")) == expected(10)
    assert origins(read(cluster, "dead")) == Counter([b"in/0/5"])
    assert cluster.consumer(ConsumerOptions(group="g")).committed(SOURCES[1]) == CommittedOffset(6, "{}")


@pytest.mark.parametrize("arrives", [True, False])
async def test_transaction_in_doubt_is_settled_by_the_next_producer(
    cluster: Cluster, arrives: bool, caplog: pytest.LogCaptureFixture
) -> None:
    publish(cluster, range(10))
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def arrive() -> bool:
        loop.call_soon_threadsafe(asked.set)
        return arrives

    cluster.doubt_ends(arrive)
    async with running(cluster):
        await asyncio.wait_for(asked.wait(), 30)
        cluster.doubt_ends(None)
        publish(cluster, range(10, 20))
        await until(lambda: is_finished(cluster))
    assert origins(read(cluster, "out")) == expected(20)
    assert "a transaction of g was not committed (it is not known how" in caplog.text


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RecordTooLarge("larger than max.message.bytes"), r"refused a record for out \(larger than max\.message\.bytes\); check the topic"),
        (NotAuthorized("not for this user"), "does not let this user write to the topic out; grant it Write"),
    ],
)
async def test_record_that_is_refused_for_good_ends_the_worker_and_is_not_committed(
    cluster: Cluster, error: KafkaError, sentence: str
) -> None:
    publish(cluster, range(4))
    cluster.refuse(lambda topic, message: error if topic == "out" else None)
    with pytest.raises(WriteFailed, match=sentence):
        async with running(cluster) as failing:
            await asyncio.wait({failing})
    assert not read(cluster, "out", read_committed=False)
    assert cluster.consumer(ConsumerOptions(group="g")).committed(SOURCES[0]) in (None, CommittedOffset(0, "{}"))


async def test_record_that_is_refused_for_now_is_written_later(cluster: Cluster) -> None:
    publish(cluster, range(4))
    refused: list[str] = []

    def refuse(topic: str, _: Message) -> KafkaError | None:
        refused.append(topic)
        return KafkaError("not enough replicas") if topic == "out" else None

    cluster.refuse(refuse)
    async with running(cluster):
        await until(lambda: refused.count("out") > 1)
        cluster.refuse(lambda topic, message: None)
        await until(lambda: is_finished(cluster))
    assert origins(read(cluster, "out")) == expected(4)


async def test_dead_letter_that_no_topic_takes_ends_the_worker(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.producer().send("in", Message(b"k", b"{no json", []), 0)
    monkeypatch.setattr(FakeTransactionalProducer, "send", refuse_all)
    with pytest.raises(WriteFailed, match="in/0/0 is too large even without its key"):
        async with running(cluster) as failing:
            await asyncio.wait({failing})
    assert not read(cluster, "dead", read_committed=False)


def refuse_all(*_: object) -> None:
    raise RecordTooLarge("larger than the client sends")


async def test_worker_that_was_expelled_goes_on_as_a_new_member(cluster: Cluster) -> None:
    publish(cluster, range(10))
    async with running(cluster):
        await until(lambda: bool(cluster.members) and cluster.members[0].is_member)
        for first in range(10, 60, 10):
            cluster.members[0].expel()
            publish(cluster, range(first, first + 10))
            await until(lambda: cluster.members[0].is_member)
        await until(lambda: is_finished(cluster))
    assert origins(read(cluster, "out")) == expected(60)


async def test_results_of_lost_partitions_are_not_written_with_the_next_identity(cluster: Cluster) -> None:
    brief = replace(SETTINGS, session_timeout_seconds=0.03)
    consumer = Input(cluster, brief)
    make = partial(cluster.transactional_producer, TransactionOptions(transactional_id="t"))
    topics, failures = Topics({"out": 2, "dead": 2}), list[Exception]()
    outputs = Transactions(make, brief, topics, member=lambda: None, retake=lambda: None, failed=failures.append)
    commits = TransactionCommits(cluster, brief, consumer, outputs)
    assignment = Assignment(brief, consumer, outputs, commits)
    for number in range(PARTITIONS):
        assignment.trackers[number] = tracker = PartitionTracker(number, 0, Checkpoint({}))
        outputs.write(tracker, [])
    assignment.lost({0})
    assert (outputs.holds(0), outputs.holds(1)) == (False, True)
    assert not await outputs.drain({1}, 0.01)
    assert await assignment.released({1}) == {}
    assert not outputs.holds(1)


async def test_workers_that_come_and_go_share_the_partitions(cluster: Cluster) -> None:
    publish(cluster, range(50))
    other = replace(SETTINGS, instance="other")
    async with running(cluster):
        async with running(cluster, other):
            await until(lambda: len(cluster.members) == 2 and all(each.is_member for each in cluster.members))
            publish(cluster, range(50, 100))
            await until(lambda: is_finished(cluster))
        publish(cluster, range(100, 150))
        await until(lambda: is_finished(cluster))
    assert origins(read(cluster, "out")) == expected(150)


async def test_delivery_can_be_changed_and_changed_back(cluster: Cluster) -> None:
    for number, guarantee in enumerate((Guarantee.AT_LEAST_ONCE, Guarantee.EXACTLY_ONCE, Guarantee.AT_LEAST_ONCE)):
        publish(cluster, range(10 * number, 10 * number + 10))
        async with running(cluster, replace(SETTINGS, delivery=guarantee)):
            await until(lambda: is_finished(cluster))
    assert origins(read(cluster, "out")) == expected(30)


async def test_outputs_without_transactions_beyond_the_commit_are_not_written_again(cluster: Cluster) -> None:
    """A killed worker with at-least-once delivery is followed by one with transactions."""
    publish(cluster, range(2))
    before = replace(SETTINGS, delivery=Guarantee.AT_LEAST_ONCE)
    async with running(cluster, before):
        await until(lambda: is_finished(cluster))
    checkpoint = cluster.consumer(ConsumerOptions(group="g")).committed(SOURCES[0])
    assert checkpoint is not None
    publish(cluster, range(2, 10))
    async with running(cluster, before):
        await until(lambda: is_finished(cluster))
    # As if it had been killed before the commit of what it had written; an aborted output counts as none.
    cluster.consumer(ConsumerOptions(group="g")).commit({SOURCES[0]: checkpoint})
    publish(cluster, [10])
    aborted = cluster.transactional_producer(TransactionOptions(transactional_id="x"))
    aborted.begin()
    headers = [(deadletter.ORIGIN, b"in/0/5"), (deadletter.STREAM, b"g")]
    aborted.send("out", Message(None, b"", headers), 0)
    aborted.abort(1.0)
    async with running(cluster):
        await until(lambda: is_finished(cluster))
    assert origins(read(cluster, "out")) == expected(11)


@pytest.mark.parametrize("seed", range(8))
async def test_every_event_is_answered_once_whatever_fails(cluster: Cluster, seed: int) -> None:
    chance, published = Random(seed), 0  # noqa: S311
    async with running(cluster):
        await until(lambda: bool(cluster.members) and cluster.members[0].is_member)
        for _ in range(6):
            count = chance.randrange(1, 20)
            publish(cluster, range(published, published + count))
            published += count
            fault = chance.choice(["none", "doubt", "refuse", "expel", "fence"])
            if fault == "doubt":
                cluster.doubt_ends(lambda: chance.random() < 0.5)
            elif fault == "refuse":
                cluster.refuse(lambda topic, message: BrokerUnreachable("away") if topic == "out" else None)
            elif fault == "expel" and cluster.members[0].is_member:
                cluster.members[0].expel()
            elif fault == "fence":
                cluster.transactional_producer(TransactionOptions(transactional_id="g-worker"))
            await asyncio.sleep(chance.random() * 0.01)
            cluster.doubt_ends(None)
            cluster.refuse(lambda topic, message: None)
        await until(lambda: is_finished(cluster))
    assert origins(read(cluster, "out")) == expected(published)


async def test_embedded_broker_is_refused_at_start(broker: Broker) -> None:
    with pytest.raises(TransactionsUnsupported, match=r"is Kafka 2\.3, or the embedded broker, which does not isolate transactions; use "):
        await startup.run(replace(SETTINGS, broker=broker), asyncio.Event())
