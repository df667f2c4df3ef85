"""The in-memory cluster's producer with transactions."""

from __future__ import annotations

from contextlib import suppress

from eventing.codecs.kafka import Message
from eventing.kafka.errors import Fenced, KafkaError, MemberFenced, TransactionAbortable, TransactionInDoubt
from eventing.kafka.fake.consumer import FakeMemberMetadata
from eventing.kafka.fake.log import Log, Outcome, Transaction
from eventing.kafka.fake.producer import FakeProducer
from eventing.kafka.port import Delivery, GroupMetadata, Offsets, TopicPartition, TransactionOptions


class FakeTransactionalProducer(FakeProducer):
    """Fences the producers before it with the same id, and aborts their transaction, as it is made."""

    def __init__(self, log: Log, options: TransactionOptions) -> None:
        super().__init__(log, options)
        self._id = options.transactional_id
        self._epoch = log.epoch(options.transactional_id)
        with log.changed:
            log.end_transaction(self._epoch, Outcome.ABORTED)
            self._epoch.number += 1
            self._number = self._epoch.number
        self._refused: KafkaError | None = None
        self._in_doubt = False

    def begin(self) -> None:
        self._check()
        if self._refused is not None and not isinstance(self._refused, MemberFenced):
            raise self._doubt("a record was refused before")
        if self._epoch.transaction is not None:
            raise TransactionInDoubt(f"the transaction of {self._id} is open")
        self._refused = None
        self._epoch.transaction = Transaction()

    def send(self, topic: str, message: Message, partition: int | None = None) -> Delivery:
        self._check()
        self._open()
        delivery = super().send(topic, message, partition)
        self._refused = self._refused or delivery.error
        return delivery

    def send_offsets(self, offsets: Offsets, member: GroupMetadata, timeout_seconds: float) -> None:
        if not isinstance(member, FakeMemberMetadata):
            raise TypeError("the group metadata is of another client.")
        self._check()
        self._check_refused()
        with self._log.changed:
            group = self._log.group(member.group)
            is_outside = (member.member, member.generation) == (None, 0) and not group.members
            if not is_outside and (member.member not in group.members or member.generation != group.generation):
                self._refused = MemberFenced(f"the group {member.group} has another generation")
                raise self._refused
            self._open().offsets.setdefault(member.group, {}).update(offsets)

    def flush(self, timeout_seconds: float) -> None:
        self._check()
        self._check_refused()

    def commit(self, timeout_seconds: float) -> None:
        self._check()
        self._open()
        self._check_refused()
        self._end(Outcome.COMMITTED)

    def abort(self, timeout_seconds: float) -> None:
        if not self._in_doubt and self._number == self._epoch.number and self._epoch.transaction is None:
            return
        self._check()
        self._end(Outcome.ABORTED)

    def close(self, timeout_seconds: float = 5.0) -> None:
        if not self._in_doubt:
            with suppress(KafkaError):
                self.abort(timeout_seconds)
        self._in_doubt = True

    def _append(self, partition: TopicPartition, message: Message) -> int:
        return self._log.append(partition, message, self._open())

    def _end(self, outcome: Outcome) -> None:
        if self._log.arrives is not None:
            if self._log.arrives():
                self._log.end_transaction(self._epoch, outcome)
            raise self._doubt("the broker did not answer")
        self._log.end_transaction(self._epoch, outcome)

    def _open(self) -> Transaction:
        if self._epoch.transaction is None:
            raise self._doubt("no transaction is open")
        return self._epoch.transaction

    def _check(self) -> None:
        self._log.check_access()
        if self._number != self._epoch.number:
            self._in_doubt = True
            raise Fenced(f"a newer producer with the transactional id {self._id} has taken over, or the transaction timed out")
        if self._in_doubt:
            raise self._doubt("an earlier request was not answered")

    def _check_refused(self) -> None:
        if isinstance(self._refused, MemberFenced):
            raise self._refused
        if self._refused is not None:
            raise TransactionAbortable(self._refused)

    def _doubt(self, reason: str) -> TransactionInDoubt:
        self._in_doubt = True
        return TransactionInDoubt(f"it is not known how the transaction of {self._id} ended ({reason})")
