from __future__ import annotations

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.factory import cluster_of
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import Cluster, TopicPartition
from functions.stream.checkpoint import Checkpoint, Position
from functions.stream.recovery import input_offset, recover
from functions.stream.settings import StreamSettings
from functions.stream.window import Span


@pytest.mark.parametrize(
    ("headers", "offset"),
    [
        ([("tidegate_origin", b"in/3/17"), ("tidegate_stream", b"s")], 17),
        ([("tidegate_origin", b"in/1/1"), ("tidegate_origin", b"in/3/17"), ("tidegate_stream", b"s")], 17),
        ([("tidegate_origin", b"in/4/17"), ("tidegate_stream", b"s")], None),
        ([("tidegate_origin", b"other/3/17"), ("tidegate_stream", b"s")], None),
        ([("tidegate_origin", b"in/3/17"), ("tidegate_stream", b"another")], None),
        ([("tidegate_origin", b"in/3/17")], None),
        ([("tidegate_origin", b"not an origin"), ("tidegate_stream", b"s")], None),
        ([], None),
    ],
)
def test_input_offset_is_read_from_the_headers(headers: list[tuple[str, bytes | None]], offset: int | None) -> None:
    assert input_offset(headers, "s", "in", 3) == offset


@pytest.fixture(params=["fake", "embedded"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return FakeCluster() if request.param == "fake" else cluster_of(request.getfixturevalue("broker"))


def write(cluster: Cluster, settings: StreamSettings) -> None:
    producer = cluster.producer()
    for number in range(20):
        # Another input partition writes to the same place, as when the output topic has fewer partitions.
        topic = settings.deadletter if number == 13 else settings.output
        headers = [("tidegate_origin", b"%s/%d/%d" % (settings.input.encode(), number % 2, number)), ("tidegate_stream", b"s")]
        producer.send(topic, Message(None, b"{}", headers), 1)
    producer.flush(10)
    assert producer.partitions_for(settings.input)  # which creates it
    producer.close(5)


def offsets(checkpoint: Checkpoint) -> list[int]:
    return [offset for span in checkpoint.finished for offset in range(*span)]


def test_outputs_since_the_checkpoint_are_found(cluster: Cluster, settings: StreamSettings) -> None:
    write(cluster, settings)
    source, sinks = TopicPartition(settings.input, 1), {settings.output: 1, settings.deadletter: 1}
    positions = {settings.output: Position(1, 6), settings.deadletter: Position(1, 0)}
    ends = {settings.output: Position(1, 19), settings.deadletter: Position(1, 1)}

    past = recover(cluster, "s", source, 9, sinks, Checkpoint(positions))
    assert offsets(past) == [9, 11, 13, 15, 17, 19]
    assert past.positions == ends

    # What was finished at the commit need not be found.
    known = recover(cluster, "s", source, 9, sinks, Checkpoint(positions, (Span(12, 14), Span(40, 50))))
    assert offsets(known) == [9, 11, 12, 13, 15, 17, 19, *range(40, 50)]

    nothing = recover(cluster, "s", source, 20, sinks, Checkpoint(positions))
    assert nothing == Checkpoint(ends)
    assert recover(cluster, "s", source, 0, sinks, None) == nothing


def test_outputs_in_an_earlier_topic_or_partition_are_found(cluster: Cluster, settings: StreamSettings) -> None:
    write(cluster, settings)
    source, checkpoint = TopicPartition(settings.input, 1), Checkpoint({settings.output: Position(1, 6), "never.was.there": Position(1, 6)})
    written = [9, 11, 15, 17, 19]

    grown = recover(cluster, "s", source, 9, {settings.output: 3}, checkpoint)
    assert (offsets(grown), grown.positions) == (written, {settings.output: Position(3, 0)})

    renamed = recover(cluster, "s", source, 9, {settings.input: 1}, checkpoint)
    assert (offsets(renamed), renamed.positions) == (written, {settings.input: Position(1, 0)})
