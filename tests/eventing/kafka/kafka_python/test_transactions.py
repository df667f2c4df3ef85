"""Faults of the client's transactions: in the bare client, and in the corrected one.

If a test of the bare client fails, this release of kafka-python no longer needs the correction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic
from kafka.consumer.group import OffsetAndMetadata
from kafka.errors import CommitFailedError, KafkaTimeoutError, OutOfOrderSequenceNumberError
from kafka.producer.transaction_manager import ProducerIdAndEpoch, TransactionManager, TransactionState
from kafka.structs import ConsumerGroupMetadata, TopicPartition

from eventing.kafka.errors import TransactionsUnsupported
from eventing.kafka.kafka_python import transactions
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.kafka_python.transactions import Transactions
from eventing.kafka.port import Broker, TransactionOptions
from tests.fixtures.proxies import END_TXN

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache
    from tests.fixtures.proxies import Proxy

SECONDS = 30.0


@pytest.fixture
def name() -> str:
    return f"bare-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def reader(apache: Apache, name: str) -> Iterator[KafkaConsumer]:
    with closing(
        KafkaConsumer(
            bootstrap_servers=apache.at("PLAINTEXT"), isolation_level="read_committed", auto_offset_reset="earliest", group_id=name
        )
    ) as consumer:
        yield consumer


def bare(servers: str, name: str) -> KafkaProducer:
    producer = KafkaProducer(bootstrap_servers=servers, transactional_id=name, retry_backoff_ms=20)
    producer.init_transactions()
    return producer


def test_bare_client_ends_the_next_transaction_by_a_delayed_request(proxy: Proxy, reader: KafkaConsumer, name: str) -> None:
    with closing(bare(proxy.servers, name)) as producer, ThreadPoolExecutor(1) as pool:
        producer.begin_transaction()
        producer.send(name, b"first", partition=0).get(SECONDS)
        proxy.hold(END_TXN)
        committing = pool.submit(producer.commit_transaction)
        held = proxy.held()
        held.disconnect()
        committing.result(SECONDS)
        producer.begin_transaction()
        producer.send(name, b"half of the second", partition=0).get(SECONDS)
        held.release()
        reader.assign([TopicPartition(name, 0)])
        found: list[bytes] = []
        while len(found) < 2:
            found += [record.value for records in reader.poll(timeout_ms=200).values() for record in records]
        assert found == [b"first", b"half of the second"]


@pytest.mark.parametrize("corrected", [False, True])
def test_offsets_of_an_aborted_transaction_are_committed_with_the_next_one_only_by_the_bare_client(
    apache: Apache, reader: KafkaConsumer, name: str, corrected: bool
) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=apache.at("PLAINTEXT"))) as admin:
        admin.create_topics([NewTopic(name, 2, 1)])
    with closing(bare(apache.at("PLAINTEXT"), name)) as producer:
        if corrected:
            transactions.correct(producer)
        first, second = TopicPartition(name, 0), TopicPartition(name, 1)
        producer.begin_transaction()
        with pytest.raises(CommitFailedError):
            producer.send_offsets_to_transaction({first: OffsetAndMetadata(7)}, ConsumerGroupMetadata(name, 5, "a member that left"))
        producer.abort_transaction()
        producer.begin_transaction()
        producer.send_offsets_to_transaction({second: OffsetAndMetadata(1)}, ConsumerGroupMetadata(name))
        producer.commit_transaction()
    assert reader.committed(second) == 1
    assert reader.committed(first) == (None if corrected else 7)


class Batch:
    topic_partition = TopicPartition("out", 0)


def in_transaction(kind: type[TransactionManager]) -> Any:
    """Return a manager in the middle of a transaction."""
    manager = kind("id", 1000, 100, (4, 0))
    manager._transition_to(TransactionState.INITIALIZING)
    manager._transition_to(TransactionState.READY)
    manager.set_producer_id_and_epoch(ProducerIdAndEpoch(1, 0))
    manager.begin_transaction()
    return manager


@pytest.mark.parametrize(("kind", "bare"), [(TransactionManager, True), (Transactions, False)])
def test_only_the_bare_client_commits_without_a_record_that_was_given_up(kind: type[TransactionManager], bare: bool) -> None:
    manager = in_transaction(kind)
    found = manager.classify_batch_error(KafkaTimeoutError("expired"), Batch())
    # The sender changes no state for an error that can be retried, and that was retried long enough.
    assert found == (manager.ERROR_CLASS_RETRIABLE if bare else manager.ERROR_CLASS_FATAL)


@pytest.mark.parametrize(("kind", "bare"), [(TransactionManager, True), (Transactions, False)])
def test_only_the_bare_client_reports_a_commit_that_another_epoch_has_aborted(kind: type[TransactionManager], bare: bool) -> None:
    manager = in_transaction(kind)
    manager._transaction_started = True
    commit = manager.begin_commit()
    found = manager.classify_batch_error(OutOfOrderSequenceNumberError(), Batch())
    assert found == (manager.ERROR_CLASS_NEEDS_EPOCH_BUMP if bare else manager.ERROR_CLASS_FATAL)
    if not bare:
        return
    manager.bump_producer_id_and_epoch()
    manager.next_request_handler(has_incomplete_batches=False)  # the request for another epoch, which is granted
    manager._complete_epoch_bump()
    with pytest.raises(Exception, match="Invalid transition"):
        manager.next_request_handler(has_incomplete_batches=False)
    assert commit.succeeded


def test_release_with_other_private_parts_has_no_transactions(apache: Apache, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "_MANAGER_PARTS", ("a_part_of_a_later_release",))
    with pytest.raises(TransactionsUnsupported, match=r"other private parts than kafka-python .* has; install kafka-python 3\.0\.12"):
        KafkaCluster(Broker(apache.at("PLAINTEXT"))).transactional_producer(TransactionOptions(transactional_id=name))
