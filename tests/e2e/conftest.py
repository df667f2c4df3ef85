"""The end-to-end suite: the manifests on a real cluster with Knative.

`pytest -m e2e` runs it; its settings are variables:

KUBECONFIG   the cluster E2E_IMAGES   the output file of `skaffold build --file-output` E2E_KAFKA    Kafka's bootstrap
servers, for pods and for the tests; without it, tests of Kafka are skipped E2E_REGISTRY the registry that the cluster
pulls from, for the commands of docs/kubernetes.md; E2E_BUILDER (docker or buildah) and E2E_BASE are their builder and
base image, E2E_KAFKA_IMAGE replaces the public image of Kafka E2E_INGRESS  `host:port` of Knative's ingress, from here;
without it, Kourier's by `kubectl port-forward`
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import UnknownTopicOrPartitionError

from eventing.codecs.kafka import Message
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker, TopicPartition
from tests.e2e.batch_data import parquet
from tests.e2e.cluster import Cluster
from tests.e2e.deployment import Deployment, Kafka, Plan, images_of
from tidegate.demo.offline import Offline

Kubectl = Callable[..., str]
Publish = Callable[..., None]
Await = Callable[..., Any]

VERSIONS = ("v1", "v2")
_PARTITIONS = 4


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the state of the cluster to the report of a failed test."""
    report = yield
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(cluster, Cluster):
        report.sections.append((f"namespace {cluster.namespace}", cluster.explain()))
    return report


@pytest.fixture(scope="session")
def images(kubectl: Kubectl) -> dict[str, str]:
    """Image references, by the names in the manifests."""
    path = os.environ.get("E2E_IMAGES")
    if not path:
        pytest.skip("E2E_IMAGES is not set: name the file that `skaffold build --file-output` has written.")
    return images_of(Path(path))


@pytest.fixture(scope="session")
def run() -> str:
    """The prefix of this run's namespace and topics."""
    return f"e2e-{uuid.uuid4().hex[:6]}"


@pytest.fixture(scope="session")
def cluster(kubectl: Kubectl, images: dict[str, str], streams: Kafka | None, run: str) -> Iterator[Cluster]:
    """A namespace of this run, which admits restricted pods only.

    It is deleted before the topics, which its readers would create again.
    """
    name = f"tidegate-{run}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    kubectl("create", "-f", "-", stdin=json.dumps(namespace))
    try:
        yield Cluster(kubectl, name)
    finally:
        kubectl("delete", "namespace", name, "--timeout=180s")


@pytest.fixture(scope="session")
def ingress(cluster: Cluster) -> Iterator[str]:
    """The ingress, `host:port`."""
    with ExitStack() as stack:
        yield os.environ.get("E2E_INGRESS") or stack.enter_context(cluster.forwarded("kourier-system", "kourier"))


@pytest.fixture(scope="session")
def streams(run: str) -> Iterator[Kafka | None]:
    """Kafka, with topics of this run; None without Kafka.

    At the end all topics with the run's name are deleted, the Broker's included.
    """
    servers = os.environ.get("E2E_KAFKA")
    if not servers:
        yield None
        return
    topics = [f"{run}.{name}" for name in ("departed", "scored", "deadletter")]
    with _administrator(servers) as administrator:
        administrator.create_topics([NewTopic(topic, _PARTITIONS, 1) for topic in topics])
        try:
            yield Kafka(servers, *topics)
        finally:
            for topic in administrator.list_topics():
                if run in topic:
                    with suppress(UnknownTopicOrPartitionError):  # a KafkaSink deletes its topic
                        administrator.delete_topics([topic])


@contextmanager
def _administrator(servers: str) -> Iterator[Any]:
    administrator = KafkaAdminClient(bootstrap_servers=servers.split(","))
    try:
        yield administrator
    finally:
        administrator.close()


@pytest.fixture(scope="session")
def deployment(
    cluster: Cluster, images: dict[str, str], ingress: str, streams: Kafka | None, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    """manifests/overlays/local, with the parts of Kafka that the cluster has; everything is ready."""
    plan = Plan(
        cluster.namespace,
        images,
        streams,
        broker=streams is not None and cluster.has("kafkasinks.eventing.knative.dev"),
        files={"departures.parquet": parquet()},
    )
    deployed = Deployment(cluster, ingress, tmp_path_factory.mktemp("overlay"), plan)
    deployed.apply()
    return deployed


@pytest.fixture(scope="session")
def topics(deployment: Deployment) -> Kafka:
    """The topics of this run; tests are skipped without Kafka."""
    if deployment.kafka is None:
        pytest.skip("E2E_KAFKA is not set: name Kafka's bootstrap servers, as pods and this machine reach them.")
    return deployment.kafka


@pytest.fixture(scope="session")
def offline(flights_models: Path) -> Offline:
    """The expected scores, by the models of this checkout and without the serving code."""
    return Offline(*(flights_models / version for version in VERSIONS))


@pytest.fixture
def publish(topics: Kafka) -> Publish:
    """Write records to a topic; return when all are written."""

    def all_of(topic: str, *messages: Message) -> None:
        producer = cluster_of(Broker(topics.servers)).producer()
        try:
            for message in messages:
                producer.send(topic, message)
            producer.flush(30)
        finally:
            producer.close(5)

    return all_of


@pytest.fixture
def await_records(topics: Kafka) -> Await:
    """Read a topic from its start until `wanted` is true of `count` records; return those."""

    def read(topic: str, wanted: Callable[[Any], bool], *, count: int = 1, seconds: float = 120) -> list[Any]:
        consumer = cluster_of(Broker(topics.servers)).consumer()
        try:
            consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for(topic)])
            found: list[Any] = []
            until = time.monotonic() + seconds
            while len(found) < count:
                assert time.monotonic() < until, f"after {seconds:g} s there are {len(found)} of {count} records on {topic}"
                found += [record for batch in consumer.poll(0.5).values() for record in batch if wanted(record)]
            return found
        finally:
            consumer.close()

    return read
