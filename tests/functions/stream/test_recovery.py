from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.codecs.kafka import Message
from eventing.kafka.factory import cluster_of
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.port import Cluster, TopicPartition
from functions.stream.recovery import Checkpoint, OutputOffset, Position, input_offset, recover
from functions.stream.settings import StreamSettings

positions = st.builds(Position, st.integers(0, 1000), st.integers(0, 2**62))


@given(st.dictionaries(st.text(), positions))
def test_checkpoint_is_parsed_as_it_was_written(positions: dict[str, Position]) -> None:
    assert Checkpoint.from_text(Checkpoint(positions).to_text()) == Checkpoint(positions)


@pytest.mark.parametrize("text", ["", "by hand", "[]", "{", '{"a": 1}', '{"a": [1]}', '{"a": ["x", "y"]}', "null", "7"])
def test_metadata_of_another_client_is_no_checkpoint(text: str) -> None:
    assert Checkpoint.from_text(text) is None


def test_checkpoint_only_moves_forward() -> None:
    checkpoint = Checkpoint({"out": Position(1, 10)})
    assert checkpoint.advanced(OutputOffset("out", 1, 12)).positions["out"] == Position(1, 13)
    assert checkpoint.advanced(OutputOffset("out", 1, 4)) == checkpoint
    # The broker does not report the offset of a record that it had already.
    assert checkpoint.advanced(OutputOffset("out", 1, -1)) == checkpoint


def test_output_elsewhere_moves_no_checkpoint() -> None:
    checkpoint = Checkpoint({"out": Position(1, 10)})
    assert checkpoint.advanced(OutputOffset("renamed", 1, 12)) == checkpoint
    assert checkpoint.advanced(OutputOffset("out", 3, 12)) == checkpoint


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


def test_outputs_since_the_checkpoint_are_found(cluster: Cluster, settings: StreamSettings) -> None:
    write(cluster, settings)
    source, sinks = TopicPartition(settings.input, 1), {settings.output: 1, settings.deadletter: 1}
    checkpoint = Checkpoint({settings.output: Position(1, 6), settings.deadletter: Position(1, 0)})

    past = recover(cluster, "s", source, 9, sinks, checkpoint)
    assert sorted(past.written) == [9, 11, 13, 15, 17, 19]
    assert past.written[13] == OutputOffset(settings.deadletter, 1, 0)
    assert past.checkpoint == checkpoint

    nothing = recover(cluster, "s", source, 20, sinks, checkpoint)
    assert nothing.written == {}
    assert nothing.checkpoint == Checkpoint({settings.output: Position(1, 19), settings.deadletter: Position(1, 1)})
    assert recover(cluster, "s", source, 0, sinks, None) == nothing


def test_outputs_in_an_earlier_topic_or_partition_are_found(cluster: Cluster, settings: StreamSettings) -> None:
    write(cluster, settings)
    source, checkpoint = TopicPartition(settings.input, 1), Checkpoint({settings.output: Position(1, 6), "never.was.there": Position(1, 6)})
    written = [9, 11, 15, 17, 19]

    grown = recover(cluster, "s", source, 9, {settings.output: 3}, checkpoint)
    assert sorted(grown.written) == written
    assert grown.checkpoint == Checkpoint({settings.output: Position(3, 0)})

    renamed = recover(cluster, "s", source, 9, {settings.input: 1}, checkpoint)
    assert sorted(renamed.written) == written
    # The next worker has to find them as well, if this one dies before it has passed them.
    assert renamed.checkpoint == Checkpoint({settings.input: Position(1, 0), settings.output: Position(1, 6)})
