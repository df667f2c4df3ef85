"""Replays on the in-memory broker: killed at each of its writes, several at once, refused, through a model."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from common.errors import TidegateError
from eventing.codecs import kafka as codec
from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka.errors import KafkaError, RecordTooLarge
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.fake.producer import FakeDelivery, FakeProducer
from eventing.kafka.port import DEFAULT_PRODUCER, ConsumedRecord, ProducerOptions, TopicPartition
from eventing.reply import Problem, completed, failed
from tests.fixtures.deadletters import Record, letter_of
from tidegate.deadletters import through_model
from tidegate.deadletters.account import Account
from tidegate.deadletters.errors import ModelUnavailable, NoSuchLetter, NotAcknowledged, UnknownTopic
from tidegate.deadletters.filters import Filter
from tidegate.deadletters.ledger import State
from tidegate.deadletters.operation import ReplayOptions, Topic

Serve = Callable[[Any], Awaitable[str]]
SOURCE, LETTERS, OUTPUT = "flights.departed", "flights.deadletter", "flights.scored"
COUNT = 6


class Killed(BaseException):
    """The process ends: nothing after it is run, except what closes connections."""


class MortalCluster(FakeCluster):
    """A cluster whose clients are killed with the `dies_at`-th record that they send."""

    dies_at: int | None = None

    def producer(self, options: ProducerOptions = DEFAULT_PRODUCER) -> FakeProducer:
        return MortalProducer(self, super().producer(options)) if self.dies_at else super().producer(options)


class MortalProducer(FakeProducer):
    def __init__(self, cluster: MortalCluster, given: FakeProducer) -> None:
        self.__dict__.update(given.__dict__)
        self._left = cluster.dies_at or 0

    def send(self, topic: str, message: Message, partition: int | None = None) -> FakeDelivery:
        delivery = super().send(topic, message, partition)
        self._left -= 1
        if not self._left:
            raise Killed
        assert isinstance(delivery, FakeDelivery)
        return delivery


@pytest.fixture
def cluster() -> MortalCluster:
    found = MortalCluster(partitions=2)
    for topic in (SOURCE, LETTERS, OUTPUT):
        found.create_topic(topic, 2)
    producer = found.producer()
    for number in range(COUNT):
        producer.send(LETTERS, letter_of(departed(number)), number % 2)
    return found


def departed(number: int) -> Record:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"flight-%d" % number), ("ce_source", b"/airline"), ("ce_type", b"t")]
    return Record(b"N%d" % number, b'{"number":%d}' % number, headers, SOURCE, number % 2, number)


def opened(cluster: FakeCluster, filter_: Filter | None = None) -> Topic:
    return Topic(cluster, LETTERS, filter_ or Filter(), broker="memory", progress=lambda _: None)


def replay(
    cluster: FakeCluster,
    run: str,
    options: ReplayOptions | None = None,
    *,
    taken_over: frozenset[str] = frozenset(),
    found: Topic | None = None,
    account: Account | None = None,
) -> Account:
    with found or opened(cluster) as topic:
        selection = topic.select(None, taken_over)
        account = account or Account(run=run, topic=LETTERS, to="there")
        account.selected = sum(map(len, selection.values()))
        topic.replay(selection, options or ReplayOptions(), threading.Event(), account, lambda _: None)
    return account


def records(cluster: FakeCluster, topic: str) -> list[ConsumedRecord]:
    consumer = cluster.consumer()
    consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for(topic)])
    return [record for found in iter(lambda: consumer.poll(0), {}) for batch in found.values() for record in batch]


def source_ids(cluster: FakeCluster) -> Counter[str | None]:
    return Counter(codec.decode(record).id for record in records(cluster, SOURCE))


def caused_by(outputs: list[ConsumedRecord]) -> Counter[str | None]:
    """The events that these are replies to."""
    return Counter(codec.decode(record).get("causationid") for record in outputs)


ONCE: Counter[str | None] = Counter(f"flight-{number}" for number in range(COUNT))


# Of each of the two partitions: a claim, three records, a marker that they were replayed.
@pytest.mark.parametrize("first", range(1, 11))
@pytest.mark.parametrize("second", [1, 2, 4, 5])
def test_replay_that_is_killed_at_any_of_its_writes_twice_doubles_nothing(cluster: MortalCluster, first: int, second: int) -> None:
    cluster.dies_at = first
    with pytest.raises(Killed):
        replay(cluster, "run-1")
    cluster.dies_at = second
    with suppress(Killed, NoSuchLetter):
        replay(cluster, "run-2", taken_over=frozenset({"run-1"}))
    cluster.dies_at = None
    try:
        account = replay(cluster, "run-3", taken_over=frozenset({"run-1", "run-2"}))
        assert account.replayed == account.selected
    except NoSuchLetter:
        pass
    assert source_ids(cluster) == ONCE
    with opened(cluster) as found:
        assert found.ledger.counts() == {State.REPLAYED: COUNT}


def test_letters_of_a_killed_run_are_left_to_it_until_its_claims_expire(cluster: MortalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.dies_at = 1
    with pytest.raises(Killed):
        replay(cluster, "run-1")
    cluster.dies_at = None
    assert replay(cluster, "run-2").replayed == COUNT // 2
    with pytest.raises(NoSuchLetter, match=r"the 3 open letters of flights.deadletter that match are being replayed by run-1; wait"):
        replay(cluster, "run-3")
    monkeypatch.setattr("time.time", lambda: 4e9)  # a later day
    assert replay(cluster, "run-3").replayed == COUNT // 2
    assert source_ids(cluster) == ONCE


def test_runs_at_once_replay_each_letter_once(cluster: MortalCluster) -> None:
    count = 6
    topics = [opened(cluster) for _ in range(count)]  # each has read all letters as open
    with ThreadPoolExecutor(count) as pool:
        accounts = list(pool.map(lambda number: replay(cluster, f"run-{number}", found=topics[number]), range(count)))
    assert source_ids(cluster) == ONCE
    assert sum(account.replayed for account in accounts) == COUNT
    assert all(account.replayed + account.held == COUNT and account.left == 0 for account in accounts)


def test_discarded_letters_are_not_replayed_and_replayed_ones_not_discarded(cluster: MortalCluster) -> None:
    late = opened(cluster)
    with opened(cluster, Filter(keys=frozenset({"N0", "N3"}))) as found:
        assert found.discard(found.select(None), "run-1", lambda _: None) == 2
    assert replay(cluster, "run-2").replayed == COUNT - 2
    with late:
        assert late.discard(late.select(None), "run-3", lambda _: None) == 0
    assert source_ids(cluster) == ONCE - Counter(["flight-0", "flight-3"])
    with opened(cluster) as found:
        assert found.ledger.counts() == {State.REPLAYED: COUNT - 2, State.DISCARDED: 2}


def test_record_that_the_broker_refuses_leaves_its_letter_open(cluster: MortalCluster) -> None:
    cluster.refuse(lambda topic, message: RecordTooLarge("too large") if topic == SOURCE and message.key == b"N1" else None)
    account = replay(cluster, "run-1")
    assert (account.replayed, account.refused, account.left, account.status) == (COUNT - 1, 1, 0, 1)
    assert "1:0: too large" in "\n".join(account.lines())
    cluster.refuse(lambda *_: None)
    assert replay(cluster, "run-2").replayed == 1
    assert source_ids(cluster) == ONCE


def test_record_without_an_acknowledgment_is_looked_for_before_it_is_sent_again(cluster: MortalCluster) -> None:
    cluster.refuse(lambda topic, message: KafkaError("no leader") if topic == SOURCE and message.key == b"N1" else None)
    account = Account(run="run-1", topic=LETTERS, to="there")
    with pytest.raises(NotAcknowledged, match="did not acknowledge 1 records; check its log"):
        replay(cluster, "run-1", account=account)
    assert (account.replayed, account.unacknowledged, account.left) == (COUNT - 1, 1, 0)
    # It has come to the topic nevertheless, late.
    cluster.refuse(lambda *_: None)
    lost = next(record for record in records(cluster, LETTERS) if record.key == b"N1")
    mark = ("tidegate_replay", b"run-1/%s/%d/%d" % (LETTERS.encode(), lost.partition, lost.offset))
    cluster.producer().send(SOURCE, Message(b"N1", b"{}", [*departed(1).headers, mark]))  # type: ignore[list-item]
    again = replay(cluster, "run-2", taken_over=frozenset({"run-1"}))
    assert (again.replayed, again.found) == (1, 1)
    assert source_ids(cluster) == ONCE


def test_missing_source_topic_is_one_sentence_and_nothing_is_created() -> None:
    cluster = FakeCluster(partitions=2)
    cluster.producer().send(LETTERS, letter_of(departed(0)), 0)
    with pytest.raises(UnknownTopic, match=r"the broker has no topic flights.departed, to which letters would be replayed; create it"):
        replay(cluster, "run-1")
    assert SOURCE not in cluster.consumer().topics()
    with opened(cluster) as found:
        assert found.ledger.counts() == {State.OPEN: 1}


def test_stopped_run_gives_up_what_it_has_not_sent(cluster: MortalCluster) -> None:
    stop = threading.Event()

    def stop_after(topic: str, message: Message) -> KafkaError | None:
        if topic == SOURCE and message.key == b"N2":
            stop.set()
        return None

    cluster.refuse(stop_after)
    with opened(cluster) as found:
        selection = found.select(None)
        account = Account(run="run-1", topic=LETTERS, to="there", selected=COUNT)
        found.replay(selection, ReplayOptions(rate=1000.0), stop, account, lambda _: None)
    assert (account.replayed, account.left, account.interrupted) == (2, COUNT - 2, True)
    with opened(cluster) as found:
        assert found.ledger.counts() == {State.REPLAYED: 2, State.OPEN: COUNT - 2}


def through(url: str) -> ReplayOptions:
    return ReplayOptions(through=url, output=OUTPUT)


def account_through() -> Account:
    return Account(run="run-1", topic=LETTERS, to="there", succeeded=0, failed_again=0)


async def test_model_answers_to_the_output_topic_and_what_fails_again_is_a_new_letter(cluster: MortalCluster, serve: Serve) -> None:
    calls: list[int] = []

    async def answer(events: list[Event]) -> list[Event] | web.Response:
        calls.append(len(events))
        assert all(event.get("deadletterreplay") == "run-1" for event in events)
        if len(calls) == 1:
            return web.Response(status=503, text="starting")
        if len(events) > 2:
            return web.Response(status=413, text="too many at once")
        problem = Problem(422, "unknown input", "still wrong.")
        return [failed(event, "flights", problem) if event.id == "flight-3" else completed(event, "flights", "v2", {}) for event in events]

    cluster.producer().send(LETTERS, letter_of(replace(departed(8), value=b"{no json")), 0)
    url = await serve(answer)
    account = await asyncio.to_thread(replay, cluster, "run-1", through(url), account=account_through())
    assert (account.replayed, account.succeeded, account.failed_again, account.unknown) == (7, 5, 2, 0)
    assert account.status == 3
    outputs = records(cluster, OUTPUT)
    assert caused_by(outputs) == ONCE - Counter(["flight-3"])
    assert {(record.key, record.partition) for record in outputs} == {(b"N%d" % number, number % 2) for number in (0, 1, 2, 4, 5)}
    with opened(cluster) as found:
        rows = found.rows(found.ledger.first((State.OPEN,), 10))
        assert {(letter.id, letter.reason.status) for letter, _ in rows} == {("flight-3", 422), ("flight-8", 400)}
        assert {letter.replayed_by[0] for letter, _ in rows if letter.replayed_by} == {"run-1"}
        assert {str(letter.origin) for letter, _ in rows} == {f"{SOURCE}/1/3", f"{SOURCE}/0/8"}
        assert found.ledger.counts()[State.REPLAYED] == 7


async def test_model_that_does_not_answer_leaves_the_letters_open(cluster: MortalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(through_model, "RETRY_SECONDS", 0.2)
    account = account_through()
    sentence = r"http://\*\*\*@127.0.0.1:1/models/flights did not answer in 0.2 s \(.*cannot be reached.*\); check that the model"
    with pytest.raises(ModelUnavailable, match=sentence):
        await asyncio.to_thread(replay, cluster, "run-1", through("http://user:secret@127.0.0.1:1/models/flights"), account=account)
    assert (account.replayed, account.left) == (0, COUNT)
    with opened(cluster) as found:
        assert found.ledger.counts() == {State.OPEN: COUNT}


async def test_model_that_the_router_does_not_know_is_refused_before_it_rejects_every_letter(serve: Serve) -> None:
    async def answer(events: list[Event]) -> list[Event]:
        return events

    router = (await serve(answer)).removesuffix("/models/flights")  # which has no GET /v2/models/…
    with pytest.raises(ModelUnavailable, match=r"http://127.0.0.1:\d+ serves no model trains; check its name"):
        await asyncio.to_thread(through_model.check_served, router, "trains")
    await asyncio.to_thread(through_model.check_served, "http://127.0.0.1:1", "trains")  # it may be starting


async def test_replay_through_the_model_that_is_killed_doubles_nothing(cluster: MortalCluster, serve: Serve) -> None:
    async def answer(events: list[Event]) -> list[Event]:
        return [
            failed(event, "m", Problem(400, "t", "d.")) if event.id == "flight-2" else completed(event, "m", "v", {}) for event in events
        ]

    url = await serve(answer)
    cluster.dies_at = 4  # with two of its three results, one of which is a letter
    with pytest.raises(Killed):
        await asyncio.to_thread(replay, cluster, "run-1", through(url), account=account_through())
    cluster.dies_at = None
    taken_over = frozenset({"run-1"})
    with opened(cluster) as topic:
        old = Filter(addresses=frozenset(address for address, _ in topic.ledger.first(tuple(State), COUNT)))
    account = await asyncio.to_thread(
        replay, cluster, "run-2", through(url), found=opened(cluster, old), taken_over=taken_over, account=account_through()
    )
    assert (account.replayed, account.found) == (COUNT, 3)
    assert caused_by(records(cluster, OUTPUT)) == ONCE - Counter(["flight-2"])
    with opened(cluster) as topic:
        assert topic.ledger.counts() == {State.REPLAYED: COUNT, State.OPEN: 1}


def test_results_are_those_of_this_replay_alone(cluster: MortalCluster) -> None:
    """The worker of the stream answers one letter before, rejects another one, and does not come to the rest."""
    worker = cluster.producer()
    worker.send(OUTPUT, Message(b"k", b"{}", [("tidegate_origin", b"flights.departed/0/0")]), 0)

    def answer(topic: str, message: Message) -> KafkaError | None:
        if topic == SOURCE:
            place = cluster.consumer().end_offsets([TopicPartition(SOURCE, 0), TopicPartition(SOURCE, 1)])
            number = sum(message.key or b"") % 2
            origin = b"%s/%d/%d" % (SOURCE.encode(), number, place[TopicPartition(SOURCE, number)])
            if message.key == b"N1":
                for _ in range(2):  # a reader of at least once sees some results twice
                    worker.send(OUTPUT, Message(b"k", b"{}", [("tidegate_origin", origin)]), 0)
            if message.key == b"N2":
                worker.send(LETTERS, Message(b"k", b"{}", [("tidegate_origin", origin)]), 0)
        return None

    cluster.refuse(answer)
    account = replay(cluster, "run-1", ReplayOptions(output=OUTPUT, wait_seconds=0.3))
    assert (account.succeeded, account.failed_again, account.unknown) == (1, 1, COUNT - 2)
    assert account.status == 3
    assert "1 succeeded, 1 failed again, 4 without a result so far" in account.lines()


def test_letter_without_its_record_is_not_replayed(cluster: MortalCluster) -> None:
    whole = letter_of(departed(9))
    cluster.producer().send(LETTERS, replace(whole, value=b"", headers=[*whole.headers, ("tidegate_omitted", b"9 bytes")]), 0)
    account = replay(cluster, "run-1")
    assert (account.replayed, account.incomplete, account.status) == (COUNT, 1, 1)
    assert "read its record at flights.departed/1/9, if the topic still has it" in "\n".join(account.lines())
    assert source_ids(cluster) == ONCE


def test_unknown_topic_is_one_sentence(cluster: MortalCluster) -> None:
    with pytest.raises(TidegateError, match="no topic nowhere at kafka:9092; check its name"):
        Topic(cluster, "nowhere", Filter(), broker="kafka:9092", progress=lambda _: None)
