from __future__ import annotations

import sys

import pytest

from common.errors import InvalidSetting
from eventing.kafka.confluent.cluster import ConfluentCluster
from eventing.kafka.factory import CLIENT, cluster_of
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Broker

BROKER = Broker("127.0.0.1:1")


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({}, KafkaCluster),
        ({CLIENT: ""}, KafkaCluster),
        ({CLIENT: "kafka-python"}, KafkaCluster),
        ({CLIENT: "confluent-kafka"}, ConfluentCluster),
    ],
)
def test_environment_names_the_client(environ: dict[str, str], kind: type) -> None:
    assert type(cluster_of(BROKER, environ)) is kind


def test_unknown_client_is_one_sentence() -> None:
    with pytest.raises(InvalidSetting, match=r"^TIDEGATE_KAFKA_CLIENT is 'aiokafka'; set one of kafka-python, confluent-kafka\.$"):
        cluster_of(BROKER, {CLIENT: "aiokafka"})


def test_client_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("eventing.kafka.confluent")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(
        InvalidSetting, match=r"confluent-kafka, which is not installed; install tidegate\[fast\], or set .* to kafka-python\."
    ):
        cluster_of(BROKER, {CLIENT: "confluent-kafka"})
