"""Kafka: the broker, and the topics that the manifests read and write."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from common.errors import InvalidSetting, TidegateError
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker
from functions.stream import streams
from functions.stream.settings import StreamSettings
from functions.stream.streams import STREAMS
from tidegate.doctor.accessors import environment, mapping, text, workloads
from tidegate.doctor.finding import Finding, Findings, note, of_error, ok, warning
from tidegate.documents import Document

_SERVERS = "TIDEGATE_BOOTSTRAP_SERVERS"
_TOPICS = ("TIDEGATE_STREAM_INPUT", "TIDEGATE_STREAM_OUTPUT", "TIDEGATE_STREAM_DEADLETTER")
_KNATIVE = ("KafkaSource", "KafkaSink")


def topics_of(documents: list[Document]) -> list[str]:
    """The topics that stream workers and Knative's Kafka objects read or write."""
    named = [topic for variables in _workers(documents) for name in _TOPICS if (topic := variables.get(name))]
    for text_ in _files(documents).values():
        with contextlib.suppress(InvalidSetting):  # a finding of its own
            named += [topic for stream in _streams(text_) for topic in (stream.input, stream.output, stream.deadletter)]
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
    """Check the files of streams, a broker and its topics. None stands for the broker that `tidegate up` would embed."""
    yield from _check_files(documents)
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
    """Check the files of streams, and the brokers that the manifests name. One that only pods can reach is a note."""
    yield from _check_files(documents)
    for servers in servers_of(documents):
        broker = Broker(servers)
        try:
            existing = _topics(broker)
        except TidegateError:
            yield note("Kafka", f"{servers} cannot be reached from this machine, though pods may; its topics are not inspected.")
            continue
        yield ok("Kafka", f"responds at {servers}")
        yield from _missing(documents, existing, servers)


def _check_files(documents: list[Document]) -> Iterator[Finding]:
    for name, file in _files(documents).items():
        try:
            count = len(_streams(file, name))
        except InvalidSetting as problem:
            yield of_error("streams", problem)
        else:
            yield ok("streams", f"{name} is valid, and has {count}")


def _files(documents: list[Document]) -> dict[str, str]:
    """The texts of files of streams that workers name, by the name of the file: those of a ConfigMap in the manifests."""
    found = [environment(container) for workload in workloads(documents) for container in workload.containers]
    names = {PurePosixPath(path).name for variables in found if (path := text(dict(variables), STREAMS))}
    maps = [mapping(document.object, "data") for document in documents if document.object.get("kind") == "ConfigMap"]
    return {name: file for data in maps for name, file in data.items() if name in names and isinstance(file, str)}


def _streams(file: str, name: str = "") -> list[StreamSettings]:
    # What the environment of a worker has otherwise is checked by its start.
    environ = {_SERVERS: "unknown:9092", "K_SINK": "http://unknown.local/models/unknown"}
    entries = [entry.without_access() for entry in streams.parse(file, name)]
    return [stream.settings for stream in streams.settings_of(entries, environ, name)]


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
