from __future__ import annotations

import gc
import socket
from collections.abc import Callable

import pytest

from eventing.kafka.errors import BrokerUnreachable
from eventing.kafka.kafka_python import cluster
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Broker


@pytest.mark.parametrize("client", [KafkaCluster.consumer, KafkaCluster.producer, KafkaCluster.admin])
@pytest.mark.parametrize("servers", ["127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2", "nowhere.invalid:9092", "127.0.0.1:port", ""])
def test_unreachable_broker_is_one_sentence(client: Callable[[KafkaCluster], object], servers: str) -> None:
    with pytest.raises(BrokerUnreachable, match=r"no Kafka broker answers at .*TIDEGATE_BOOTSTRAP_SERVERS") as caught:
        client(KafkaCluster(Broker(servers, (2, 3))))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # kafka-python drops the socket of an address that refuses
def test_one_reachable_address_is_enough(broker: Broker) -> None:
    producer = KafkaCluster(Broker(f"127.0.0.1:1,{broker.bootstrap_servers}", broker.api_version)).producer()
    assert producer.partitions_for("anything")
    producer.close(5)
    gc.collect()


def test_silent_listener_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_BOOTSTRAP_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(BrokerUnreachable):
        KafkaCluster(Broker(f"127.0.0.1:{server.getsockname()[1]}")).consumer()
