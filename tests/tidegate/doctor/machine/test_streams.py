from __future__ import annotations

import asyncio
import socket
from typing import Any

from confluent_kafka import Producer

from eventing.kafka.port import Broker
from tidegate.doctor.finding import Level
from tidegate.doctor.machine import streams
from tidegate.documents import Document
from tidegate.local.broker import reachable


def _worker(**environ: str) -> Document:
    env = [{"name": name, "value": value} for name, value in environ.items()]
    pod = {"containers": [{"name": "stream", "image": "stream", "env": env}]}
    item: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "worker"},
        "spec": {"template": {"spec": pod}},
    }
    return Document("worker.yaml", item)


WORKER = _worker(TIDEGATE_BOOTSTRAP_SERVERS="kafka.invalid:9092", TIDEGATE_STREAM_INPUT="in", TIDEGATE_STREAM_OUTPUT="out")
SOURCE = Document("source.yaml", {"kind": "KafkaSource", "spec": {"topics": ["in", "more"], "bootstrapServers": ["a:1", "b:2"]}})
SINK = Document("sink.yaml", {"kind": "KafkaSink", "spec": {"topic": "results"}})


def test_topics_and_brokers_of_the_manifests_are_found() -> None:
    assert streams.topics_of([WORKER, SOURCE, SINK]) == ["in", "more", "out", "results"]
    assert streams.servers_of([WORKER, SOURCE, SINK]) == ["a:1,b:2", "kafka.invalid:9092"]


def test_streams_of_a_file_are_found_and_checked() -> None:
    worker = _worker(TIDEGATE_STREAMS="/etc/tidegate/streams.yaml")

    def file(text: str) -> Document:
        return Document("map.yaml", {"kind": "ConfigMap", "metadata": {"name": "streams"}, "data": {"streams.yaml": text}})

    valid = file("defaults: {output: out}\nstreams: [{input: a}, {input: b, deadletter: letters}]")
    assert streams.topics_of([worker, valid]) == ["a", "a.deadletter", "b", "letters", "out"]
    assert [found.level for found in streams.check(None, [worker, valid])] == [Level.OK, Level.OK]
    wrong = file("streams: [{input: a, outputs: b}]")
    assert streams.topics_of([worker, wrong]) == []
    found, _ = streams.check(None, [worker, wrong])
    assert found.level is Level.ERROR
    assert "stream 'a' of streams.yaml has the unknown key 'outputs'" in found.message


def test_no_broker_means_the_embedded_one() -> None:
    (found,) = streams.check(None, [WORKER])
    assert found.level is Level.OK


def test_unreachable_broker_is_an_error_with_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    (found,) = streams.check(Broker(address), [WORKER])
    assert found.level is Level.ERROR
    assert address in found.message
    assert "TIDEGATE_BOOTSTRAP_SERVERS" in found.remedy


def test_broker_that_only_pods_reach_is_a_note() -> None:
    (found,) = streams.check_named([WORKER])
    assert found.level is Level.NOTE
    assert "kafka.invalid:9092" in found.message


async def test_missing_topic_has_the_command_that_creates_it() -> None:
    async with reachable(None) as kafka:
        servers = kafka.broker.bootstrap_servers
        producer = Producer({"bootstrap.servers": servers})
        producer.produce("in", b"")  # which creates the topic
        await asyncio.to_thread(producer.flush)
        responds, missing = await asyncio.to_thread(lambda: list(streams.check(kafka.broker, [WORKER])))
        (_, existing) = await asyncio.to_thread(lambda: list(streams.check(kafka.broker, [_worker(TIDEGATE_STREAM_INPUT="in")])))
    assert responds.level is existing.level is Level.OK
    assert missing.level is Level.WARNING
    assert missing.remedy == f"kafka-topics.sh --bootstrap-server {servers} --create --topic out"
