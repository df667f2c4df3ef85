from __future__ import annotations

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.factory import cluster_of
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import Cluster
from functions.stream.checkpoint import Checkpoint, Position
from functions.stream.recovery import Committed, input_record, recover
from functions.stream.settings import StreamSettings
from functions.stream.window import Span


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([("tidegate_origin", b"in/3/17"), ("tidegate_stream", b"s")], (3, 17)),
        ([("tidegate_origin", b"in/1/1"), ("tidegate_origin", b"in/3/17"), ("tidegate_stream", b"s")], (3, 17)),
        ([("tidegate_origin", b"other/3/17"), ("tidegate_stream", b"s")], None),
        ([("tidegate_origin", b"in/3/17"), ("tidegate_stream", b"another")], None),
        ([("tidegate_origin", b"in/3/17")], None),
        ([("tidegate_origin", b"in/3/"), ("tidegate_stream", b"s")], None),
        ([("tidegate_origin", b"not an origin"), ("tidegate_stream", b"s")], None),
        ([], None),
    ],
)
def test_input_record_is_read_from_the_headers(headers: list[tuple[str, bytes | None]], found: tuple[int, int] | None) -> None:
    assert input_record(headers, "s", "in") == found


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


def recovered(
    cluster: Cluster, settings: StreamSettings, position: int, targets: dict[str, int], checkpoint: Checkpoint | None
) -> Checkpoint:
    """Return the checkpoint of partition 1, which is recovered together with one that has no commit."""
    committed = {1: Committed(position, checkpoint), 0: Committed(0, None)}
    found = recover(cluster, "s", settings.input, committed, lambda number: targets if number == 1 else {settings.output: 0})
    assert found[0].finished == ()
    return found[1]


def offsets(checkpoint: Checkpoint) -> list[int]:
    return [offset for span in checkpoint.finished for offset in range(*span)]


def test_outputs_since_the_checkpoint_are_found(cluster: Cluster, settings: StreamSettings) -> None:
    write(cluster, settings)
    sinks = {settings.output: 1, settings.deadletter: 1}
    positions = {settings.output: Position(1, 6), settings.deadletter: Position(1, 0)}
    ends = {settings.output: Position(1, 19), settings.deadletter: Position(1, 1)}

    past = recovered(cluster, settings, 9, sinks, Checkpoint(positions))
    assert offsets(past) == [9, 11, 13, 15, 17, 19]
    assert past.positions == ends

    # What was finished at the commit need not be found.
    known = recovered(cluster, settings, 9, sinks, Checkpoint(positions, (Span(12, 14), Span(40, 50))))
    assert offsets(known) == [9, 11, 12, 13, 15, 17, 19, *range(40, 50)]

    nothing = recovered(cluster, settings, 20, sinks, Checkpoint(positions))
    assert nothing == Checkpoint(ends)
    assert recovered(cluster, settings, 0, sinks, None) == nothing


def test_outputs_in_an_earlier_topic_or_partition_are_found(cluster: Cluster, settings: StreamSettings) -> None:
    write(cluster, settings)
    checkpoint = Checkpoint({settings.output: Position(1, 6), "never.was.there": Position(1, 6)})
    written = [9, 11, 15, 17, 19]

    grown = recovered(cluster, settings, 9, {settings.output: 3}, checkpoint)
    assert (offsets(grown), grown.positions) == (written, {settings.output: Position(3, 0)})

    renamed = recovered(cluster, settings, 9, {settings.input: 1}, checkpoint)
    assert (offsets(renamed), renamed.positions) == (written, {settings.input: Position(1, 0)})


def test_partitions_that_share_an_output_are_distinguished(cluster: Cluster, settings: StreamSettings) -> None:
    write(cluster, settings)
    committed = {
        0: Committed(4, Checkpoint({settings.output: Position(1, 10)})),
        1: Committed(13, Checkpoint({settings.output: Position(1, 2), settings.deadletter: Position(1, 0)})),
    }
    found = recover(cluster, "s", settings.input, committed, lambda number: {settings.output: 1, settings.deadletter: 1})
    assert offsets(found[0]) == [4, 6, 8, 10, 12, 14, 16, 18]
    assert offsets(found[1]) == [13, 15, 17, 19]
