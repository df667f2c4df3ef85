from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.codecs.kafka import Message
from eventing.deadletter import Rejection
from eventing.kafka.errors import (
    BrokerRefused,
    BrokerUnreachable,
    Fenced,
    KafkaError,
    MemberFenced,
    NotAuthorized,
    RecordTooLarge,
    RequestTimedOut,
    TransactionAbortable,
    TransactionInDoubt,
)
from eventing.kafka.fake.log import FakeRecord
from eventing.reply import Problem
from functions.stream.checkpoint import MOST_BYTES, Checkpoint
from functions.stream.cycle import Consequence, Cycle, Dropped, consequence, sentence
from functions.stream.partition import PartitionTracker, PendingRecord
from functions.stream.sender import refused

PROBLEM = Rejection(Problem(400, "invalid event", "broken."), 1)


def tracker(partition: int = 0, position: int = 0, most_gaps: int = 1000) -> PartitionTracker:
    return PartitionTracker(partition, position, Checkpoint({}), most_gaps=most_gaps)


def read(found: PartitionTracker, *offsets: int) -> list[PendingRecord]:
    """Return records that were read and are answered; none for those that are finished already."""
    records = []
    for offset in offsets:
        message = Message(b"%d" % offset, b"", [])
        record = FakeRecord(topic="in", partition=found.partition, offset=offset, timestamp=0, key=message.key, value=b"", headers=[])
        if (pending := found.add(record)) is not None:
            pending.result = PROBLEM
            records.append(pending)
    return records


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemberFenced("another generation"), Consequence.GO_ON),
        (Dropped("lost"), Consequence.GO_ON),
        (Fenced("a newer producer"), Consequence.RENEW),
        (TransactionInDoubt("no answer"), Consequence.RENEW),
        (RequestTimedOut("no metadata"), Consequence.RENEW),
        (BrokerUnreachable("away"), Consequence.RENEW),
        (TransactionAbortable(RequestTimedOut("not acknowledged")), Consequence.RENEW),
        (TransactionAbortable(KafkaError("not enough replicas")), Consequence.RENEW),
        (TransactionAbortable(RecordTooLarge("max.message.bytes")), Consequence.END),
        (TransactionAbortable(NotAuthorized("topic")), Consequence.END),
        (NotAuthorized("group"), Consequence.END),
        (refused("dead", KafkaError("too large")), Consequence.END),
        (BrokerRefused("an id", remedy="grant it"), Consequence.END),
        (ZeroDivisionError(), Consequence.END),
    ],
)
def test_each_error_has_its_consequence(error: Exception, expected: Consequence) -> None:
    assert consequence(error) is expected


def test_sentences_name_the_group_and_the_cause() -> None:
    assert (
        sentence(MemberFenced("x"), "g")
        == "the group g gave this worker's partitions to others while it was away; it goes on as a new member"
    )
    assert "g was not committed (no answer); its events are done again" in sentence(TransactionInDoubt("no answer."), "g")


def test_results_that_arrive_while_a_transaction_is_open_are_in_the_next_one() -> None:
    cycle, one = Cycle(10), tracker()
    first, second = read(one, 0, 1)
    cycle.gather(one, [first])
    batch = cycle.begin()
    cycle.gather(one, [second])
    assert (batch.results, batch.offsets[0].offset) == ({one: [first]}, 1)
    cycle.end(committed=True)
    assert one.committed == batch.offsets[0]
    assert cycle.begin().offsets[0].offset == 2


def test_what_gathered_behind_an_uncommitted_transaction_is_given_up_with_it() -> None:
    cycle, one = Cycle(1), tracker()
    first, second = read(one, 0, 1)
    cycle.gather(one, [first])
    cycle.begin()
    cycle.gather(one, [second])
    assert not cycle.has_room
    cycle.end(committed=False)
    assert (cycle.has_next, cycle.has_room, cycle.holds(0), one.committed) == (False, True, False, None)


def test_lost_partitions_are_dropped_and_the_open_transaction_is_named() -> None:
    cycle, one, two = Cycle(10), tracker(0), tracker(1)
    cycle.gather(one, read(one, 0))
    assert not cycle.drop({0})
    assert not cycle.has_next
    cycle.gather(one, read(one, 1))
    cycle.gather(two, read(two, 0))
    cycle.begin()
    assert cycle.drop({1})
    assert not cycle.drop({2})
    assert cycle.holds(1)


def test_partition_without_room_for_its_finished_offsets_gathers_on() -> None:
    cycle, full, other = Cycle(100_000), tracker(0, most_gaps=100_000), tracker(1)
    chosen = Random(1)  # noqa: S311
    records = read(full, *range(30_000))
    early = {record.offset for record in records[1:] if chosen.random() < 0.5}
    cycle.gather(full, [record for record in records if record.offset in early])
    cycle.gather(other, read(other, 0))
    assert len(full.commit().metadata) > MOST_BYTES
    assert cycle.begin().partitions == {1}
    cycle.end(committed=True)
    assert cycle.holds(0)
    cycle.gather(full, [record for record in records if record.offset not in early])
    assert {record.offset for record in cycle.begin().results[full]} == set(range(30_000))


@given(most=st.integers(1, 20), chance=st.randoms(use_true_random=False))
def test_each_result_is_in_one_committed_transaction_with_its_offset(most: int, chance: Random) -> None:
    """Whatever arrives and fails, as long as partitions are taken up again from their last commit."""
    counts = [6, 4]
    cycle = Cycle(most)
    committed = [0, 0]
    done: Counter[tuple[int, int]] = Counter()
    unread: dict[int, list[PendingRecord]] = {}
    trackers: dict[int, PartitionTracker] = {}

    def take_up() -> None:
        for number, count in enumerate(counts):
            found = trackers[number].committed if number in trackers else None
            start = Checkpoint({}) if found is None else Checkpoint.from_text(found.metadata, found.offset)
            assert start is not None
            trackers[number] = PartitionTracker(number, committed[number], start, committed=found)
            unread[number] = read(trackers[number], *range(committed[number], count))

    take_up()
    while committed != counts:
        for number, records in unread.items():
            if records and chance.random() < 0.5:
                chosen = records.pop(chance.randrange(len(records)))
                cycle.gather(trackers[number], [chosen])
            if trackers[number].commit() != trackers[number].committed:
                cycle.gather(trackers[number], [])
        batch = cycle.begin()
        if chance.random() < 0.6:
            cycle.end(committed=True)
            for found, results in batch.results.items():
                done.update((found.partition, pending.offset) for pending in results)
                committed[found.partition] = batch.offsets[found.partition].offset
        else:
            cycle.end(committed=False)
            take_up()
    assert done == Counter((number, offset) for number, count in enumerate(counts) for offset in range(count))
