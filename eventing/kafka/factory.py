"""The choice of a Kafka client library: another adapter of the port is put to use here."""

from __future__ import annotations

import os

from common.environ import Environ, one_of
from common.errors import InvalidSetting
from eventing.kafka.port import Broker, Cluster

CLIENT = "TIDEGATE_KAFKA_CLIENT"
KAFKA_PYTHON = "kafka-python"
CONFLUENT = "confluent-kafka"
CLIENTS = (KAFKA_PYTHON, CONFLUENT)


def cluster_of(broker: Broker, environ: Environ = os.environ) -> Cluster:
    """Return the clients of a Kafka cluster, by the library that the environment names.

    Nothing is connected to before one of them is made, and only the named library is imported. Raises InvalidSetting.
    """
    if one_of(environ, CLIENT, KAFKA_PYTHON, CLIENTS) == CONFLUENT:
        return _confluent(broker)
    from eventing.kafka.kafka_python.cluster import KafkaCluster

    return KafkaCluster(broker)


def _confluent(broker: Broker) -> Cluster:
    try:
        from eventing.kafka.confluent.cluster import ConfluentCluster
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        raise InvalidSetting(
            f"{CLIENT} is {CONFLUENT}, which is not installed", remedy=f"install tidegate[fast], or set {CLIENT} to {KAFKA_PYTHON}"
        ) from None
    return ConfluentCluster(broker)
