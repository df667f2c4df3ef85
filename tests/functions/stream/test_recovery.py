from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.codecs.kafka import Message
from eventing.kafka.fake.cluster import FakeCluster
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Cluster, TopicPartition
from functions.stream.recovery import Checkpoint, Landing, Mark, input_offset, look_back
from functions.stream.settings import StreamSettings

marks = st.builds(Mark, st.integers(0, 1000), st.integers(0, 2**62))


@given(st.dictionaries(st.text(), marks))
def test_a_checkpoint_survives_its_commit(marks: dict[str, Mark]) -> None:
    assert Checkpoint.from_text(Checkpoint(marks).to_text()) == Checkpoint(marks)


@pytest.mark.parametrize("text", ["", "by hand", "[]", "{", '{"a": 1}', '{"a": [1]}', '{"a": ["x", "y"]}', "null", "7"])
def test_a_commit_by_somebody_else_is_no_checkpoint(text: str) -> None:
    assert Checkpoint.from_text(text) is None


def test_a_checkpoint_only_moves_forward() -> None:
    checkpoint = Checkpoint({"out": Mark(1, 10)})
    assert checkpoint.advanced(Landing("out", 1, 12)).marks["out"] == Mark(1, 13)
    assert checkpoint.advanced(Landing("out", 1, 4)) == checkpoint
    # The broker does not tell the offset of a record that it knew already.
    assert checkpoint.advanced(Landing("out", 1, -1)) == checkpoint


def test_an_output_that_stands_in_another_place_moves_no_mark() -> None:
    checkpoint = Checkpoint({"out": Mark(1, 10)})
    assert checkpoint.advanced(Landing("renamed", 1, 12)) == checkpoint
    assert checkpoint.advanced(Landing("out", 3, 12)) == checkpoint


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
def test_an_output_tells_its_input(headers: list[tuple[str, bytes | None]], offset: int | None) -> None:
    assert input_offset(headers, "s", "in", 3) == offset


@pytest.fixture(params=["fake", "embedded"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return FakeCluster() if request.param == "fake" else KafkaCluster(request.getfixturevalue("broker"))


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


def test_what_was_written_since_the_checkpoint_is_found(cluster: Cluster, settings: StreamSettings) -> None:
    write(cluster, settings)
    source, sinks = TopicPartition(settings.input, 1), {settings.output: 1, settings.deadletter: 1}
    checkpoint = Checkpoint({settings.output: Mark(1, 6), settings.deadletter: Mark(1, 0)})

    past = look_back(cluster, "s", source, 9, sinks, checkpoint)
    assert sorted(past.written) == [9, 11, 13, 15, 17, 19]
    assert past.written[13] == Landing(settings.deadletter, 1, 0)
    assert past.checkpoint == checkpoint

    nothing = look_back(cluster, "s", source, 20, sinks, checkpoint)
    assert nothing.written == {}
    assert nothing.checkpoint == Checkpoint({settings.output: Mark(1, 19), settings.deadletter: Mark(1, 1)})
    assert look_back(cluster, "s", source, 0, sinks, None) == nothing


def test_what_stands_in_a_topic_or_partition_that_was_changed_is_found(cluster: Cluster, settings: StreamSettings) -> None:
    write(cluster, settings)
    source, checkpoint = TopicPartition(settings.input, 1), Checkpoint({settings.output: Mark(1, 6), "never.was.there": Mark(1, 6)})
    written = [9, 11, 15, 17, 19]

    grown = look_back(cluster, "s", source, 9, {settings.output: 3}, checkpoint)
    assert sorted(grown.written) == written
    assert grown.checkpoint == Checkpoint({settings.output: Mark(3, 0)})

    renamed = look_back(cluster, "s", source, 9, {settings.input: 1}, checkpoint)
    assert sorted(renamed.written) == written
    # The next worker has to find them as well, if this one dies before it has passed them.
    assert renamed.checkpoint == Checkpoint({settings.input: Mark(1, 0), settings.output: Mark(1, 6)})
