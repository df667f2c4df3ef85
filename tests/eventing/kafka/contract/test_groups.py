"""Groups on Apache Kafka whose members differ, or come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eventing.kafka.confluent.cluster import ConfluentCluster
from eventing.kafka.errors import InconsistentGroup
from eventing.kafka.port import Broker, Cluster, Consumer, ConsumerOptions, TopicPartition
from tests.eventing.kafka.contract.conftest import PARTITIONS
from tests.eventing.kafka.contract.test_port import Listener, poll_until, read

if TYPE_CHECKING:
    from tests.eventing.kafka.contract.conftest import Clients
    from tests.fixtures.apache import Apache


def join(
    clients: Clients, listener: Listener, *, cluster: Cluster | None = None, cooperative: bool = True, instance: str | None = None
) -> Consumer:
    options = ConsumerOptions(group=clients.group, session_timeout_seconds=10.0, cooperative=cooperative, instance=instance)
    consumer = (cluster or clients.cluster).consumer(options)
    clients.stack.callback(consumer.close, 5.0)
    consumer.subscribe(clients.topic, listener)
    return consumer


def everything(clients: Clients) -> set[TopicPartition]:
    return {TopicPartition(clients.topic, number) for number in range(PARTITIONS)}


@pytest.mark.parametrize("clients", ["kafka-python apache"], indirect=True)
def test_members_of_both_libraries_share_a_cooperative_group(clients: Clients, apache: Apache) -> None:
    first, second = Listener(), Listener()
    one = join(clients, first, cluster=ConfluentCluster(Broker(apache.at("PLAINTEXT"))))
    poll_until(lambda: first.owned == everything(clients), one)
    other = join(clients, second)
    poll_until(lambda: len(first.owned) == len(second.owned) == 2, one, other)
    assert first.given_up == second.owned == everything(clients) - first.owned


@pytest.mark.parametrize("clients", ["kafka-python apache"], indirect=True)
def test_group_is_changed_over_to_cooperative_rebalances_member_by_member(clients: Clients) -> None:
    first, second, third = Listener(), Listener(), Listener()
    eager = join(clients, first, cooperative=False)
    poll_until(lambda: first.owned == everything(clients), eager)
    one = join(clients, second)
    poll_until(lambda: len(first.owned) == len(second.owned) == 2, eager, one)
    assert first.owned | second.owned == everything(clients)
    eager.close(5.0)
    other = join(clients, third)
    poll_until(lambda: len(second.owned) == len(third.owned) == 2, one, other)
    assert second.owned | third.owned == everything(clients)


@pytest.mark.parametrize("clients", ["kafka-python apache", "confluent apache"], indirect=True)
def test_member_with_another_strategy_is_refused_with_the_reason(clients: Clients, apache: Apache) -> None:
    first, second = Listener(), Listener()
    # Librdkafka's eager members offer nothing else.
    one = join(clients, first, cluster=ConfluentCluster(Broker(apache.at("PLAINTEXT"))), cooperative=False)
    poll_until(lambda: first.owned == everything(clients), one)
    other = join(clients, second)
    with pytest.raises(InconsistentGroup, match="the group's members share partitions by another strategy"):
        read(other, 1)
    assert not other.is_member
    assert first.owned == everything(clients)


@pytest.mark.parametrize(("clients", "cooperative"), [("kafka-python apache", False), ("confluent apache", True)], indirect=["clients"])
def test_static_member_comes_back_without_a_rebalance(clients: Clients, cooperative: bool) -> None:
    first, second, third = Listener(), Listener(), Listener()
    one = join(clients, first, cooperative=cooperative, instance="worker-0")
    other = join(clients, second, cooperative=cooperative, instance="worker-1")
    poll_until(lambda: len(first.owned) == len(second.owned) == 2, one, other)
    before, owned = len(second.gained), first.owned | set[TopicPartition]()
    one.close(5.0)
    again = join(clients, third, cooperative=cooperative, instance="worker-0")
    poll_until(lambda: bool(third.owned), again, other)
    assert third.owned == owned
    assert len(second.gained) == before
    assert second.owned == everything(clients) - owned
