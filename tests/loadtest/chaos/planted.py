"""Stream workers with one bug each, to show that a run finds it: `python -m tests.loadtest.chaos.planted NAME`.

Each bug is planted into the classes of the worker before its `main` runs.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kafka.structs import ConsumerGroupMetadata

from eventing.codecs import kafka as codec
from eventing.deadletter import Rejection
from eventing.event import Event
from eventing.kafka.kafka_python.transactions import MemberMetadata
from eventing.kafka.port import CommittedOffset, GroupMetadata, TransactionalProducer
from functions.stream import __main__ as stream
from functions.stream import sink
from functions.stream.checkpoint import Checkpoint
from functions.stream.cycle import Batch, Cycle
from functions.stream.input import Input
from functions.stream.lanes import Lanes
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.sender import Sender
from functions.stream.sink import Disposition, Failure, Success
from functions.stream.transactions import Transactions
from functions.stream.writer import Writer

Patch = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, and the faults in which it shows."""

    plant: Patch
    faults: tuple[str, ...]
    exactly_once: bool = False


def commit_before_acknowledged() -> None:
    write, finish = Writer.write, PartitionTracker.finish

    def early(self: Writer, tracker: PartitionTracker, records: list[PendingRecord]) -> None:
        write(self, tracker, records)
        finish(tracker, records)

    _replace(Writer, "write", early)
    _replace(PartitionTracker, "finish", lambda *_: None)


def commit_of_the_highest_offset() -> None:
    finish = PartitionTracker.finish
    highest: dict[PartitionTracker, int] = {}

    def noted(self: PartitionTracker, records: Sequence[PendingRecord]) -> None:
        highest[self] = max([highest.get(self, 0), *(pending.offset + 1 for pending in records)])
        finish(self, records)

    def commit(self: PartitionTracker) -> CommittedOffset:
        offset = max(self.position, highest.get(self, 0))
        return CommittedOffset(offset, Checkpoint(dict(self._positions)).to_text(offset))

    _replace(PartitionTracker, "finish", noted)
    _replace(PartitionTracker, "commit", commit)


def another_id_on_a_retry() -> None:
    output = Sender._output

    def renamed(self: Sender, pending: PendingRecord, reply: Event) -> codec.Message:
        return output(self, pending, reply.with_attributes(id=uuid.uuid4().hex) if pending.attempts > 1 else reply)

    _replace(Sender, "_output", renamed)


def another_key_on_a_retry() -> None:
    output = Sender._output

    def moved(self: Sender, pending: PendingRecord, reply: Event) -> codec.Message:
        message = output(self, pending, reply)
        return codec.Message(b"retried", message.value, message.headers) if pending.attempts > 1 else message

    _replace(Sender, "_output", moved)


def a_lane_that_overtakes() -> None:
    join = Lanes.join
    _replace(Lanes, "join", lambda self, queued, _: join(self, queued, None))


def a_dead_letter_that_is_not_awaited() -> None:
    write, finish = Writer.write, PartitionTracker.finish

    def early(self: Writer, tracker: PartitionTracker, records: list[PendingRecord]) -> None:
        write(self, tracker, records)
        finish(tracker, [pending for pending in records if isinstance(pending.result, Rejection)])

    def others(self: PartitionTracker, records: Sequence[PendingRecord]) -> None:
        finish(self, [pending for pending in records if not isinstance(pending.result, Rejection)])

    _replace(Writer, "write", early)
    _replace(PartitionTracker, "finish", others)


def a_tombstone_taken_for_an_event() -> None:
    _replace(codec, "is_tombstone", lambda _: False)


def results_of_partitions_that_are_given_up() -> None:
    _replace(PartitionTracker, "close", lambda _: None)


def replies_of_their_neighbors() -> None:
    classify = sink.classify

    def shifted(outcome: Success | Failure, count: int) -> list[Disposition] | None:
        if isinstance(outcome, Success) and 0 < len(outcome.replies) < count:
            outcome = Success([*outcome.replies, *outcome.replies[-1:] * (count - len(outcome.replies))])
        return classify(outcome, count)

    from functions.stream import dispatch

    _replace(dispatch, "classify", shifted)


def a_dead_letter_without_a_retry() -> None:
    _replace(sink, "_is_retryable", lambda _: False)


def a_record_left_out_after_a_rebalance() -> None:
    seek = Input.seek
    _replace(Input, "seek", lambda self, partition, offset: seek(self, partition, offset + 1))


def offsets_of_an_aborted_transaction() -> None:
    end = Cycle.end

    def keep(self: Transactions, _: Exception) -> None:
        end(self._cycle, committed=True)
        self._failures += 1

    _replace(Transactions, "_give_up", keep)


def a_zombie_that_is_not_fenced() -> None:
    write = Transactions._write_in

    def unfenced(self: Transactions, producer: TransactionalProducer, batch: Batch, _: GroupMetadata | None) -> None:
        # As a producer that knows nothing of the group's generations commits.
        write(self, producer, batch, MemberMetadata(ConsumerGroupMetadata(self._settings.group, -1, "", None)))

    _replace(Transactions, "_write_in", unfenced)
    _replace(Transactions, "_check_dropped", lambda _: None)
    _replace(Transactions, "drop", lambda *_: None)


BUGS: dict[str, Bug] = {
    "commit before the output is acknowledged": Bug(commit_before_acknowledged, ("WORKER_KILLED_UNACKNOWLEDGED",)),
    "commit of the highest offset": Bug(commit_of_the_highest_offset, ("ANSWERS_SOME", "WORKER_KILLED", "WORKER_KILLED")),
    "another id on a retry": Bug(another_id_on_a_retry, ("ANSWERS_503", "SINK_DROPPED")),
    "another key on a retry": Bug(another_key_on_a_retry, ("ANSWERS_HALF", "FUNCTION_KILLED")),
    "a lane that overtakes": Bug(a_lane_that_overtakes, ("ANSWERS_SOME", "ANSWERS_SLOW")),
    "a dead letter that is not awaited": Bug(a_dead_letter_that_is_not_awaited, ("WORKER_KILLED_UNACKNOWLEDGED",)),
    "a tombstone taken for an event": Bug(a_tombstone_taken_for_an_event, ("WORKER_RESTARTED",)),
    "results of partitions that are given up": Bug(results_of_partitions_that_are_given_up, ("WORKER_ADDED", "ANSWERS_SLOW")),
    "replies of their neighbors": Bug(replies_of_their_neighbors, ("ANSWERS_SHORT",)),
    "a dead letter without a retry": Bug(a_dead_letter_without_a_retry, ("ANSWERS_429", "ANSWERS_500")),
    "a record left out after a rebalance": Bug(a_record_left_out_after_a_rebalance, ("WORKER_RESTARTED", "WORKER_STOPPED")),
    "offsets of an aborted transaction": Bug(
        offsets_of_an_aborted_transaction, ("WORKER_DROPPED", "BROKER_DROPPED", "BROKER_KILLED"), exactly_once=True
    ),
    "a zombie that is not fenced": Bug(a_zombie_that_is_not_fenced, ("WORKER_STOPPED", "WORKER_ISOLATED"), exactly_once=True),
}


def _replace(owner: Any, name: str, value: object) -> None:
    getattr(owner, name)  # it is a bug of the worker only as long as the worker has this
    setattr(owner, name, value)


if __name__ == "__main__":
    BUGS[sys.argv[1]].plant()
    sys.exit(stream.main())
