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
    """Another client with the same identity has taken over.

    What was to be written or committed must never be retried: it belongs to the other client.
    """


class MemberFenced(Fenced):
    """The group gave the partitions of a transaction to other members.

    Abort the transaction and drop what it held. The producer itself can go on.
    """


class TransactionAbortable(KafkaError):
    """The transaction can only be aborted: nothing of it is written.

    Close the producer, which aborts it, and make another: after a refused record the broker would refuse those of the
    next transaction, too.
    """

    def __init__(self, reason: KafkaError) -> None:
        super().__init__(reason.message, remedy=reason.remedy)
        self.reason = reason
        """What went wrong."""


class TransactionInDoubt(KafkaError):
    """The transaction may be committed, aborted or still open.

    Close the producer and make another with the same transactional id: making it ends the transaction one way or the
    other, and fences what is still on its way. Then the group's committed offsets say which.
    """


class TransactionsUnsupported(RemediedError):
    """The broker has no transactions, or does not isolate them. Retrying does not help."""


class BrokerRefused(RemediedError):
    """A broker answers and does not serve this client: the security settings do not match. Retrying does not help."""
