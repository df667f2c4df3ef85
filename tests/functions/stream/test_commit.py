from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.errors import CommitRefused
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import Broker, CommittedOffset
from functions.stream import start
from functions.stream.checkpoint import MOST_BYTES, Checkpoint, Position
from functions.stream.commit import CheckpointCommits, Commits
from functions.stream.partition import PartitionTracker
from functions.stream.settings import StreamSettings
from functions.stream.window import Span

SETTINGS = StreamSettings(
    broker=Broker("unused:9092"), input="in", output="out", deadletter="dead", group="g", model="m", sink="http://sink/models/m"
)
CHECKPOINT = Checkpoint({"out": Position(0, 3), "dead": Position(0, 0)})


class Offsets:
    """The group's offsets, kept in a dictionary."""

    def __init__(self, **found: CommittedOffset) -> None:
        self.found = {int(name.removeprefix("p")): offset for name, offset in found.items()}
        self.commits: list[Commits] = []
        self.during: Callable[[], None] = lambda: None
        self.first = 0

    async def committed(self, partition: int) -> CommittedOffset | None:
        return self.found.get(partition)

    async def bounds(self, partition: int) -> tuple[int, int]:
        return self.first, 8

    async def commit(self, commits: Commits) -> None:
        self.during()
        self.commits.append(commits)


def commits_of(offsets: Offsets) -> CheckpointCommits:
    cluster = FakeCluster(partitions=1)
    producer = cluster.producer()
    assert producer.partitions_for("dead")
    for number in range(5):
        headers = [("tidegate_origin", b"in/0/%d" % number), ("tidegate_stream", b"g")]
        producer.send("out", Message(None, b"{}", headers), 0)
    return CheckpointCommits(cluster, SETTINGS, offsets, lambda partition: {"out": 0, "dead": 0})


def tracker_at(position: int, committed: int | None) -> PartitionTracker:
    known = None if committed is None else CommittedOffset(committed, CHECKPOINT.to_text(committed))
    return PartitionTracker(0, position, CHECKPOINT, committed=known)


async def test_new_partition_starts_at_its_first_record_and_is_committed() -> None:
    offsets = Offsets()
    offsets.first = 4
    commits = commits_of(offsets)
    tracker = (await commits.take_up([0]))[0]
    assert (tracker.position, tracker.known) == (4, 0)
    await commits.commit([tracker])
    # Without a commit, a successor could not recover what this worker wrote: the checkpoint is the end of each topic.
    assert offsets.commits == [{0: CommittedOffset(4, Checkpoint({"out": Position(0, 5), "dead": Position(0, 0)}).to_text(4))}]


async def test_known_partition_skips_what_was_written_and_commits_that_once() -> None:
    offsets = Offsets(p0=CommittedOffset(3, CHECKPOINT.to_text(3)))
    commits = commits_of(offsets)
    tracker = (await commits.take_up([0]))[0]
    assert (tracker.position, tracker.known) == (3, 2)
    await commits.commit([tracker])
    await commits.commit([tracker])
    expected = Checkpoint({"out": Position(0, 5), "dead": Position(0, 0)}, (Span(3, 5),))
    assert offsets.commits == [{0: CommittedOffset(3, expected.to_text(3))}]
    # The next worker knows them without reading the outputs again.
    offsets.found[0] = offsets.commits[0][0]
    assert (await commits_of(offsets).take_up([0]))[0].known == 2


async def test_offset_that_was_reset_by_hand_is_scored_again_and_committed() -> None:
    offsets = Offsets(p0=CommittedOffset(1, "by hand"))
    commits = commits_of(offsets)
    tracker = (await commits.take_up([0]))[0]
    assert (tracker.position, tracker.known) == (1, 0)
    await commits.commit([tracker])
    assert offsets.commits[0][0].offset == 1


async def test_offset_before_the_first_record_is_moved_there_and_committed(caplog: pytest.LogCaptureFixture) -> None:
    offsets = Offsets(p0=CommittedOffset(1, CHECKPOINT.to_text(1)))
    offsets.first = 4
    commits = commits_of(offsets)
    tracker = (await commits.take_up([0]))[0]
    # Of the outputs since the checkpoint, that of record 4 belongs to what is left.
    assert (tracker.position, tracker.known) == (4, 1)
    assert caplog.messages == [f"partition 0 of in: {start.find(1, 4, 8, 'earliest').problem}"]
    await commits.commit([tracker])
    assert offsets.commits[0][0].offset == 4


async def test_offset_beyond_the_end_counts_no_output_as_written() -> None:
    offsets = Offsets(p0=CommittedOffset(9, CHECKPOINT.to_text(9)))
    commits = commits_of(offsets)
    tracker = (await commits.take_up([0]))[0]
    # Records of the new topic will have the offsets of outputs of the old one.
    assert (tracker.position, tracker.known) == (0, 0)
    await commits.commit([tracker])
    assert offsets.commits[0][0].offset == 0


async def test_only_moved_positions_are_committed_and_each_once() -> None:
    offsets = Offsets()
    commits = commits_of(offsets)
    moved, still = tracker_at(7, 3), tracker_at(3, 3)
    await commits.commit([moved, still])
    await commits.commit([moved, still])
    assert offsets.commits == [{0: CommittedOffset(7, CHECKPOINT.to_text(7))}]


async def test_what_is_finished_beyond_a_position_is_committed_though_that_does_not_move() -> None:
    offsets = Offsets()
    commits = commits_of(offsets)
    tracker = tracker_at(3, 3)
    records = [tracker.add(_Record(3)), tracker.add(_Record(4))]
    await commits.commit([tracker])
    assert offsets.commits == []
    tracker.finish([pending for pending in records[1:] if pending is not None])
    await commits.commit([tracker])
    (commit,) = offsets.commits
    assert (commit[0].offset, Checkpoint.from_text(commit[0].metadata, 3)) == (3, Checkpoint(CHECKPOINT.positions, (Span(4, 5),)))


async def test_checkpoint_without_room_for_all_that_is_finished_waits() -> None:
    offsets = Offsets()
    commits = commits_of(offsets)
    numbers = random.Random(3)  # noqa: S311 not for secrets
    places = sorted(numbers.sample(range(10**9), 2 * MOST_BYTES))
    tracker = PartitionTracker(0, 0, Checkpoint({}, tuple(Span(place, place + 1) for place in places)))
    await commits.commit([tracker, tracker_at(7, 3)])
    assert offsets.commits == [{0: CommittedOffset(7, CHECKPOINT.to_text(7))}]
    assert tracker.committed is None


async def test_position_that_moves_during_a_commit_is_committed_by_the_next() -> None:
    offsets = Offsets()
    commits = commits_of(offsets)
    tracker = tracker_at(7, 3)
    offsets.during = lambda: tracker.pass_over(_Record(7))
    await commits.commit([tracker])
    assert offsets.commits[0][0].offset == 7
    await commits.commit([tracker])
    assert offsets.commits[1][0].offset == 8


async def test_refused_commit_is_due_again() -> None:
    def refuse() -> None:
        raise CommitRefused("the group is rebalancing")

    offsets = Offsets()
    offsets.during = refuse
    tracker = tracker_at(7, 3)
    with pytest.raises(CommitRefused):
        await commits_of(offsets).commit([tracker])
    assert tracker.committed is not None
    assert tracker.committed.offset == 3


def test_released_partition_is_committed_only_if_it_moved() -> None:
    commits = commits_of(Offsets())
    assert commits.release([tracker_at(7, 3)]) == {0: CommittedOffset(7, CHECKPOINT.to_text(7))}
    assert commits.release([tracker_at(7, 7)]) == {}


@dataclass(frozen=True)
class _Record:
    offset: int
    topic: str = "in"
    partition: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
