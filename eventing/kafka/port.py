"""The port to Kafka: protocols of the clients that Tidegate uses, and the values that they exchange.

Only an adapter imports its client library: `kafka_python` or `confluent` in production, and `fake` in tests. Every method
raises the errors of `eventing.kafka.errors` and blocks its thread; durations are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from eventing.codecs.kafka import Message, Record
from eventing.kafka.errors import KafkaError
from eventing.kafka.security import PLAINTEXT, Security


@dataclass(frozen=True, slots=True)
class Broker:
    """The address of a Kafka cluster and how to connect to it."""

    bootstrap_servers: str
    """`host:port`, several separated by commas."""

    api_version: tuple[int, ...] | None = None
    """Only for brokers that cannot report theirs, as the embedded one."""

    security: Security = PLAINTEXT


class TopicPartition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


class CommittedOffset(NamedTuple):
    """The next offset that a group reads, and the text that was committed with it."""

    offset: int
    metadata: str = ""


Offsets = Mapping[TopicPartition, CommittedOffset]


class ConsumedRecord(Record, Protocol):
    """A record as a consumer returns it.

    The library's own object is passed on, since a copy of each would cost throughput.
    """

    @property
    def timestamp(self) -> int:
        """When the record was written, in milliseconds since the epoch."""
        ...


class GroupMetadata(Protocol):
    """A consumer's identity in its group (KIP-447), for the transactions of a producer of the same library."""

    @property
    def group(self) -> str: ...


class RebalanceListener(Protocol):
    """Callbacks for the changes of a consumer's assignment: each is of the partitions that it names, and of no others.

    They run within a poll or the close, perhaps on a thread of the client; it may send no heartbeats meanwhile.
    """

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Take note of new partitions. They are paused until the owner resumes them."""
        ...

    def revoked(self, partitions: Collection[TopicPartition]) -> Offsets:
        """Return the offsets to commit before another member is given these partitions.

        A broker may refuse that commit.
        """
        ...

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Take note of partitions that other members may have already: it is too late to commit."""
        ...


class Consumer(Protocol):
    """Reads records as bytes and commits only what it is given.

    All calls belong to one thread, with the two exceptions named.
    """

    def subscribe(self, topic: str, listener: RebalanceListener) -> None:
        """Join the group of this consumer at the next poll."""
        ...

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        """Read these partitions outside any group, each from its oldest record unless `seek` says otherwise."""
        ...

    def assignment(self) -> set[TopicPartition]: ...

    def poll(self, timeout_seconds: float) -> Mapping[TopicPartition, Sequence[ConsumedRecord]]:
        """Return the next records of partitions that are not paused, or nothing after the time-out."""
        ...

    def pause(self, partitions: Iterable[TopicPartition]) -> None: ...

    def resume(self, partitions: Iterable[TopicPartition]) -> None: ...

    def paused(self) -> set[TopicPartition]: ...

    def seek(self, partition: TopicPartition, offset: int) -> None: ...

    def position(self, partition: TopicPartition) -> int:
        """Return the offset from which the next poll reads; that record may not exist any more."""
        ...

    def positions(self) -> dict[TopicPartition, int | None]:
        """Return the next offset of each assigned partition, None before it is known. Thread-safe; sends no request."""
        ...

    def group_metadata(self) -> GroupMetadata:
        """Return the identity of this member in its group, as of now. Thread-safe; sends no request.

        Within `RebalanceListener.assigned` it is the identity to which the partitions were assigned.
        """
        ...

    @property
    def is_member(self) -> bool:
        """Whether the group has accepted this consumer and is not rebalancing. Thread-safe; sends no request."""
        ...

    def topics(self) -> set[str]: ...

    def partitions_for(self, topic: str) -> set[int]:
        """Return the numbers of a topic's partitions; empty if there is no such topic. Never creates it."""
        ...

    def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]: ...

    def end_offsets(self, partitions: Collection[TopicPartition], timeout_seconds: float | None = None) -> dict[TopicPartition, int]: ...

    def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
        """Return the first offset of each partition whose record is not older than a time, in milliseconds.

        None where no record is, and for any time if the broker has no index of times, as the embedded one.
        """
        ...

    def high_water(self, partition: TopicPartition) -> int | None:
        """Return the end of an assigned partition as of its last fetch; None before that."""
        ...

    def committed(self, partition: TopicPartition, timeout_seconds: float | None = None) -> CommittedOffset | None:
        """Return the group's offset; None before its first commit.

        With `read_committed`, it is waited for while an open transaction holds another one.
        """
        ...

    def commit(self, offsets: Offsets, timeout_seconds: float | None = None) -> None:
        """Raises CommitRefused when the partitions are being moved to another member."""
        ...

    def close(self, timeout_seconds: float | None = None) -> None:
        """Leave the group, after the listener has been asked for the offsets to commit."""
        ...


class Delivery(Protocol):
    """A record on its way to the broker."""

    @property
    def offset(self) -> int | None:
        """Where the record is; None until it is acknowledged, and -1 where the broker does not report it."""
        ...

    @property
    def partition(self) -> int | None:
        """The record's partition; None until it is acknowledged."""
        ...

    @property
    def error(self) -> KafkaError | None:
        """Why the record was not written; None until then."""
        ...

    def add_done_callback(self, callback: Callable[[Delivery], None]) -> None:
        """Call back once the record is acknowledged or refused, on the producer's thread."""
        ...


class Producer(Protocol):
    """Writes records idempotently, acknowledged by all replicas in sync. Thread-safe.

    Callers bound what is outstanding: a library may not bound its buffer, and otherwise `send` blocks while it is full.
    """

    def send(self, topic: str, message: Message, partition: int | None = None) -> Delivery:
        """Send one record; without a partition its key decides.

        A message without key and value is written with an empty value.

        Records of one partition are acknowledged in the order in which they were sent. Raises RecordTooLarge,
        RequestTimedOut.
        """
        ...

    def partitions_for(self, topic: str) -> set[int]:
        """Return the numbers of a topic's partitions.

        Creates it where the broker does so; raises RequestTimedOut if it does not.
        """
        ...

    def batch_bytes(self, message: Message) -> int:
        """Return the most bytes that a batch of this one record takes, as `max.message.bytes` counts them."""
        ...

    def flush(self, timeout_seconds: float) -> None:
        """Wait until all that was sent is acknowledged or refused."""
        ...

    def close(self, timeout_seconds: float = 5.0) -> None: ...


class TransactionalProducer(Producer, Protocol):
    """Writes records and a group's offsets in transactions, one after another: all of each or nothing of it.

    Readers with `read_committed` see a transaction once it is committed. Every method but `begin` ends within its time.
    It raises Fenced where another client has taken over, TransactionAbortable where the transaction can only be aborted,
    and TransactionInDoubt where it is not known how it ended. After each of them this producer is only to be closed,
    except after MemberFenced: then it can abort and go on. Calls from several threads must not overlap.
    """

    def begin(self) -> None:
        """Begin a transaction; what is sent until its end belongs to it."""
        ...

    def send_offsets(self, offsets: Offsets, member: GroupMetadata, timeout_seconds: float) -> None:
        """Commit these offsets with the transaction (KIP-447).

        Raises MemberFenced if the group has another generation than `member`.
        """
        ...

    def flush(self, timeout_seconds: float) -> None:
        """Wait until all that was sent is acknowledged. Raises TransactionAbortable for a refused record."""
        ...

    def commit(self, timeout_seconds: float) -> None:
        """End the transaction: all of it is written, or an error is raised."""
        ...

    def abort(self, timeout_seconds: float) -> None:
        """End the transaction: nothing of it is written. Without one, this does nothing."""
        ...

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Abort an open transaction and end the client; raises nothing: what is left open is the successor's to end."""
        ...


class Admin(Protocol):
    """Creates topics and reads their configuration."""

    def create_topic(self, topic: str, partitions: int) -> None:
        """Create a topic with the broker's default replication; one that exists is left as it is."""
        ...

    def max_message_bytes(self, topics: Collection[str]) -> dict[str, int]:
        """Return `max.message.bytes` of those topics for which the broker reports it."""
        ...

    def groups(self) -> set[str]:
        """Return the consumer groups that this user may see."""
        ...

    def members(self, groups: Collection[str]) -> dict[str, int]:
        """Return how many members the groups have.

        Left out are those that this user may not see, and, by some brokers, those that do not exist.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerOptions:
    """The settings of a consumer. None leaves the library's default."""

    group: str | None = None
    instance: str | None = None
    """The `group.instance.id` of a static member."""
    session_timeout_seconds: float | None = None
    max_poll_interval_seconds: float | None = None
    latest: bool = False
    """Whether a partition that has lost the next offset goes on behind its latest record, not at its earliest."""
    cooperative: bool = False
    """Whether a rebalance leaves a member the partitions that stay with it (KIP-429). All members of a group must agree."""
    max_poll_records: int | None = None
    metadata_max_age_seconds: float | None = None
    """How soon it is noticed that a topic has more partitions."""
    read_committed: bool = False
    """Whether open and aborted transactions are invisible, in records as in the group's offsets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerOptions:
    """The settings of a producer. None leaves the library's default."""

    linger_seconds: float = 0.0
    block_seconds: float | None = None
    """How long a call waits for the metadata of a topic."""
    delivery_timeout_seconds: float | None = None
    batch_bytes: int | None = None
    max_request_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionOptions(ProducerOptions):
    """The settings of a producer with transactions."""

    transactional_id: str
    """Of all producers with one id only the newest can write."""
    timeout_seconds: float = 10.0
    """After so long the broker aborts an open transaction. It bounds each request and the delivery of a record, too."""


DEFAULT_CONSUMER = ConsumerOptions()
DEFAULT_PRODUCER = ProducerOptions()


class Cluster(Protocol):
    """Makes the clients of one Kafka cluster. Each method raises BrokerUnreachable or BrokerRefused within seconds."""

    def consumer(self, options: ConsumerOptions = DEFAULT_CONSUMER) -> Consumer: ...

    def producer(self, options: ProducerOptions = DEFAULT_PRODUCER) -> Producer: ...

    def transactional_producer(self, options: TransactionOptions) -> TransactionalProducer:
        """Return a producer once the transactions of those before it with the same id are ended, and they are fenced.

        Raises TransactionsUnsupported too, and RequestTimedOut while an earlier transaction is still being ended.
        """
        ...

    def admin(self) -> Admin: ...

    def check_access(self) -> None:
        """Check that a broker listens, and that it accepts the security settings.

        Clients alone would retry in silence.
        """
        ...
