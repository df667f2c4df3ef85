"""Kafka: whether the broker answers, and has the topics that the manifests read and write."""

from __future__ import annotations

from collections.abc import Iterator

from common.errors import TidegateError
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Broker
from tidegate.doctor.accessors import environment, mapping, text, workloads
from tidegate.doctor.finding import Finding, note, of_error, ok, warning
from tidegate.objects import Document

_SERVERS = "TIDEGATE_BOOTSTRAP_SERVERS"
_TOPICS = ("TIDEGATE_STREAM_INPUT", "TIDEGATE_STREAM_OUTPUT", "TIDEGATE_STREAM_DEADLETTER")
_KNATIVE = ("KafkaSource", "KafkaSink")


def topics_of(documents: list[Document]) -> list[str]:
    """What the stream workers and Knative's Kafka objects read and write."""
    named = [topic for variables in _workers(documents) for name in _TOPICS if (topic := variables.get(name))]
    for document in documents:
        spec = mapping(document.object, "spec")
        if document.object.get("kind") in _KNATIVE:
            several = spec.get("topics")
            named += [topic for topic in (several if isinstance(several, list) else [spec.get("topic")]) if isinstance(topic, str)]
    return sorted(set(named))


def servers_of(documents: list[Document]) -> list[str]:
    """The brokers as the manifests name them, which is how a pod would reach them."""
    named = [variables[_SERVERS] for variables in _workers(documents) if variables.get(_SERVERS)]
    for document in documents:
        if document.object.get("kind") in _KNATIVE:
            several = mapping(document.object, "spec").get("bootstrapServers")
            named += [",".join(map(str, several))] if isinstance(several, list) else []
    return sorted(set(named))


def check(broker: Broker | None, documents: list[Document]) -> Iterator[Finding]:
    """`broker` is what was named, or a running `tidegate up` uses; without one, `tidegate up` brings its own."""
    if broker is None:
        yield ok("Kafka", "none is named: `tidegate up` brings one along, which makes topics as they are asked for")
        return
    try:
        there = _topics(broker)
    except TidegateError as problem:
        yield of_error("Kafka", problem)
        return
    yield ok("Kafka", f"answers at {broker.bootstrap_servers}")
    yield from _missing(documents, there, broker.bootstrap_servers)


def check_from_here(documents: list[Document]) -> Iterator[Finding]:
    """The brokers of the pods: a name of the cluster's own cannot be reached from outside, which is no fault."""
    for servers in servers_of(documents):
        broker = Broker(servers)
        try:
            there = _topics(broker)
        except TidegateError:
            yield note("Kafka", f"{servers} cannot be asked from here, so that its topics are not looked at; pods may reach it.")
            continue
        yield ok("Kafka", f"answers at {servers}")
        yield from _missing(documents, there, servers)


def missing(wanted: list[str], there: set[str]) -> list[str]:
    return [topic for topic in wanted if topic not in there]


def _topics(broker: Broker) -> set[str]:
    reader = KafkaCluster(broker).consumer()
    try:
        return reader.topics()
    finally:
        reader.close()


def _missing(documents: list[Document], there: set[str], servers: str) -> Iterator[Finding]:
    wanted = topics_of(documents)
    absent = missing(wanted, there)
    for topic in absent:
        command = f"kafka-topics.sh --bootstrap-server {servers} --create --topic {topic}"
        yield warning("Kafka", f"there is no topic {topic}; unless the broker makes topics by itself, the stream stands still.", command)
    if wanted and not absent:
        yield ok("Kafka", f"the topics are there: {', '.join(wanted)}")


def _workers(documents: list[Document]) -> list[dict[str, str]]:
    found = [environment(container) for workload in workloads(documents) for container in workload.containers]
    return [variables for variables in found if text(dict(variables), _TOPICS[0])]
