"""Which streams there are: those of a running `tidegate up`, or the groups of a broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace

from eventing.kafka.errors import KafkaError
from eventing.kafka.port import Admin, Cluster, Consumer, ConsumerOptions, TopicPartition
from functions.stream.checkpoint import Checkpoint
from functions.stream.settings import deadletter_of, group_of
from tidegate.local.status import Status
from tidegate.streams.errors import UnknownStream
from tidegate.streams.samples import Stream


def of_status(document: Status) -> list[Stream]:
    """Return the streams of a running `tidegate up`."""
    deployments = document["deployments"]
    return [
        Stream(
            name=name,
            group=item["group"],
            input=item["topic"],
            output=item["output"],
            workers=len(deployments[name]["replicas"]) if name in deployments else None,
        )
        for name, item in document["streams"].items()
    ]


def of_topic(topic: str, group: str | None, output: str | None) -> Stream:
    """Return the stream of a topic that no running `tidegate up` knows."""
    found = group or group_of(topic)
    return Stream(name=found, group=found, input=topic, output=output or "")


def of_broker(cluster: Cluster) -> list[Stream]:
    """Return a stream for each group with the name that workers choose. Raises KafkaError or BrokerRefused."""
    prefix = group_of("")
    with closing(cluster.admin()) as admin, closing(cluster.consumer()) as consumer:
        groups, topics = admin.groups(), consumer.topics()
    names = sorted(group.removeprefix(prefix) for group in groups if group.startswith(prefix))
    return [of_topic(topic, None, None) for topic in names if topic in topics]


def described(cluster: Cluster, streams: Iterable[Stream]) -> list[Stream]:
    """Return the streams with the members of their groups and the topics that they write, as far as the broker says.

    Raises KafkaError or BrokerRefused.
    """
    found = list(streams)
    with closing(cluster.admin()) as admin:
        members = _members(admin, {stream.group for stream in found})
    return [replace(stream, workers=members.get(stream.group), output=stream.output or _output(cluster, stream)) for stream in found]


def chosen(streams: Iterable[Stream], name: str) -> list[Stream]:
    """Return the streams with this name, input topic or group. Raises UnknownStream."""
    every = list(streams)
    found = [stream for stream in every if name in (stream.name, stream.input, stream.group)]
    if not found:
        known = ", ".join(sorted({stream.name for stream in every}))
        raise UnknownStream(
            f"no stream here is named {name} or reads a topic {name}",
            remedy=f"name one of these: {known}" if known else "deploy a stream worker first",
        )
    return found


def _members(admin: Admin, groups: set[str]) -> Mapping[str, int]:
    try:
        return admin.members(groups)
    except KafkaError:  # it needs the right Describe, and a broker that knows the request
        return {}


def _output(cluster: Cluster, stream: Stream) -> str:
    """Return the topic that the group's commits name beside that of dead letters; empty if there is not just one."""
    with closing(cluster.consumer(ConsumerOptions(group=stream.group))) as consumer:
        topics = _committed_topics(consumer, stream.input) - {deadletter_of(stream.input)}
    return topics.pop() if len(topics) == 1 else ""


def _committed_topics(consumer: Consumer, topic: str) -> set[str]:
    found: set[str] = set()
    for number in consumer.partitions_for(topic):
        committed = consumer.committed(TopicPartition(topic, number))
        checkpoint = None if committed is None else Checkpoint.from_text(committed.metadata, committed.offset)
        found |= set(checkpoint.positions) if checkpoint is not None else set()
    return found
