"""The choice of a Kafka client library: another adapter of the port is put to use here."""

from __future__ import annotations

from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Broker, Cluster


def cluster_of(broker: Broker) -> Cluster:
    """Return the clients of a Kafka cluster. Nothing is connected to before one of them is made."""
    return KafkaCluster(broker)
