"""Kafka: the broker, and the topics that the manifests read and write."""

from __future__ import annotations

from collections.abc import Iterator

from common.errors import TidegateError
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker
from tidegate.doctor.accessors import environment, mapping, text, workloads
from tidegate.doctor.finding import Finding, Findings, note, of_error, ok, warning
from tidegate.documents import Document

_SERVERS = "TIDEGATE_BOOTSTRAP_SERVERS"
_TOPICS = ("TIDEGATE_STREAM_INPUT", "TIDEGATE_STREAM_OUTPUT", "TIDEGATE_STREAM_DEADLETTER")
_KNATIVE = ("KafkaSource", "KafkaSink")


def topics_of(documents: list[Document]) -> list[str]:
    """The topics that stream workers and Knative's Kafka objects read or write."""
    named = [topic for variables in _workers(documents) for name in _TOPICS if (topic := variables.get(name))]
    for document in documents:
        spec = mapping(document.object, "spec")
        if document.object.get("kind") in _KNATIVE:
            several = spec.get("topics")
            named += [topic for topic in (several if isinstance(several, list) else [spec.get("topic")]) if isinstance(topic, str)]
    return sorted(set(named))


def servers_of(documents: list[Document]) -> list[str]:
    """The addresses of brokers in the manifests, by which pods reach them."""
    named = [variables[_SERVERS] for variables in _workers(documents) if variables.get(_SERVERS)]
    for document in documents:
        if document.object.get("kind") in _KNATIVE:
            several = mapping(document.object, "spec").get("bootstrapServers")
            named += [",".join(map(str, several))] if isinstance(several, list) else []
    return sorted(set(named))


def check(broker: Broker | None, documents: list[Document]) -> Findings[None]:
    """Check a broker and its topics. None stands for the broker that `tidegate up` would embed."""
    if broker is None:
        yield ok("Kafka", "no broker is named: `tidegate up` embeds one, which creates topics on demand")
        return
    try:
        existing = _topics(broker)
    except TidegateError as problem:
        yield of_error("Kafka", problem)
        return
    yield ok("Kafka", f"responds at {broker.bootstrap_servers}")
    yield from _missing(documents, existing, broker.bootstrap_servers)


def check_named(documents: list[Document]) -> Findings[None]:
    """Check the brokers that the manifests name. One that only pods can reach is a note."""
    for servers in servers_of(documents):
        broker = Broker(servers)
        try:
            existing = _topics(broker)
        except TidegateError:
            yield note("Kafka", f"{servers} cannot be reached from this machine, though pods may; its topics are not inspected.")
            continue
        yield ok("Kafka", f"responds at {servers}")
        yield from _missing(documents, existing, servers)


def _topics(broker: Broker) -> set[str]:
    reader = cluster_of(broker).consumer()
    try:
        return reader.topics()
    finally:
        reader.close()


def _missing(documents: list[Document], existing: set[str], servers: str) -> Iterator[Finding]:
    wanted = topics_of(documents)
    absent = [topic for topic in wanted if topic not in existing]
    for topic in absent:
        command = f"kafka-topics.sh --bootstrap-server {servers} --create --topic {topic}"
        yield warning("Kafka", f"no topic {topic}; unless the broker creates topics automatically, the stream makes no progress.", command)
    if wanted and not absent:
        yield ok("Kafka", f"the topics exist: {', '.join(wanted)}")


def _workers(documents: list[Document]) -> list[dict[str, str]]:
    found = [environment(container) for workload in workloads(documents) for container in workload.containers]
    return [variables for variables in found if text(dict(variables), _TOPICS[0])]
