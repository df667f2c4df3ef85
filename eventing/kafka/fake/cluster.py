"""The in-memory cluster as a test makes it."""

from __future__ import annotations

from collections.abc import Callable

from eventing.codecs.kafka import Message
from eventing.kafka.errors import KafkaError
from eventing.kafka.fake.admin import FakeAdmin
from eventing.kafka.fake.consumer import FakeConsumer
from eventing.kafka.fake.log import Log
from eventing.kafka.fake.producer import FakeProducer
from eventing.kafka.fake.transactions import FakeTransactionalProducer
from eventing.kafka.port import DEFAULT_CONSUMER, DEFAULT_PRODUCER, ConsumerOptions, ProducerOptions, TransactionOptions


class FakeCluster:
    """The `Cluster` of the port in memory.

    Topics are created as they are asked for, unless `creates_topics` is false.
    """

    def __init__(self, *, partitions: int = 4, creates_topics: bool = True) -> None:
        self._log = Log(partitions=partitions, creates_topics=creates_topics)

    def consumer(self, options: ConsumerOptions = DEFAULT_CONSUMER) -> FakeConsumer:
        self.check_access()
        return FakeConsumer(self._log, options)

    def producer(self, options: ProducerOptions = DEFAULT_PRODUCER) -> FakeProducer:
        self.check_access()
        return FakeProducer(self._log, options)

    def transactional_producer(self, options: TransactionOptions) -> FakeTransactionalProducer:
        self.check_access()
        return FakeTransactionalProducer(self._log, options)

    def admin(self) -> FakeAdmin:
        self.check_access()
        return FakeAdmin(self._log)

    def check_access(self) -> None:
        self._log.check_access()

    def create_topic(self, topic: str, partitions: int, *, max_message_bytes: int | None = None) -> None:
        self._log.create_topic(topic, partitions)
        if max_message_bytes is not None:
            self._log.limits[topic] = max_message_bytes

    def set_reachable(self, reachable: bool) -> None:
        """Let every request raise BrokerUnreachable, or serve them again."""
        self._log.reachable = reachable

    def doubt_ends(self, arrive: Callable[[], bool] | None) -> None:
        """Let each commit and abort time out, after it has arrived or not; None ends this."""
        self._log.arrives = arrive

    def refuse(self, decide: Callable[[str, Message], KafkaError | None]) -> None:
        """Refuse those records after they were sent for which `decide` returns an error."""
        self._log.refuse = decide
