"""The errors of the port: callers catch these and never a client library's own."""

from __future__ import annotations

from common.errors import RemediedError, TidegateError


class KafkaError(TidegateError):
    """A request to Kafka failed, and a later one may succeed.

    The message is the client library's where no subclass fits.
    """


class BrokerUnreachable(KafkaError):
    """No Kafka broker answers at the given address."""


class RequestTimedOut(KafkaError):
    """The broker did not answer in time, or does not know the topic yet."""


class NotAuthorized(KafkaError):
    """The broker does not allow this user to do that."""


class RecordTooLarge(KafkaError):
    """A record is larger than the client sends, or than its topic accepts."""


class RecordUnreadable(KafkaError):
    """A fetched record is damaged, or compressed by a codec that is not installed.

    Every poll raises this until the offset is moved.
    """


class CommitRefused(KafkaError):
    """Offsets were not committed: the group is rebalancing, or the partitions have another owner."""


class InconsistentGroup(KafkaError):
    """The members of the group share partitions by another strategy, so that it does not accept this one."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the group's members share partitions by another strategy ({reason.rstrip('.')}); agree on one for all of them")


class Fenced(KafkaError):
    """Another client with the same identity has taken over."""


class BrokerRefused(RemediedError):
    """A broker answers and does not serve this client: the security settings do not match. Retrying does not help."""
