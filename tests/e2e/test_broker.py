from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import numpy as np
import pytest

from eventing.codecs.kafka import decode
from eventing.reply import reply_id
from eventing.types import INFERENCE_COMPLETED
from tests.e2e.departures import SOURCE, departure, event

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster
    from tests.e2e.conftest import Await
    from tests.e2e.deployment import Deployment, Kafka
    from tidegate.demo.offline import Offline

pytestmark = pytest.mark.e2e


@pytest.fixture
def address(cluster: Cluster, topics: Kafka) -> str:
    """The address of the Broker of the component kafka-broker."""
    if not cluster.has("kafkasinks.eventing.knative.dev"):
        pytest.skip("the cluster has no KafkaSink: install Knative's Kafka broker and sink.")
    url: str = cluster.get("broker/tidegate")["status"]["address"]["url"]
    return url


def test_event_through_the_broker_is_scored(
    deployment: Deployment, address: str, topics: Kafka, await_records: Await, offline: Offline
) -> None:
    """An event to the Broker reaches the model by a Trigger, and its reply reaches the topic of scores by another."""
    id_, record = uuid.uuid4().hex, departure(5)
    with deployment.inside(address) as send:
        assert send(event(id_, record)).status == 202
    (found,) = await_records(topics.output, lambda found: decode(found).get("causationid") == id_, seconds=180)
    reply = decode(found)
    assert (reply.type, reply.id) == (INFERENCE_COMPLETED, reply_id(SOURCE, id_, "flights"))
    assert np.float32(reply.value()["late"]) == offline.scores("v1", [record])[0]


def test_invalid_event_through_the_broker_is_a_dead_letter(
    deployment: Deployment, address: str, topics: Kafka, await_records: Await
) -> None:
    """An event that the model rejects reaches the dead letter sink unchanged, with the status of the rejection."""
    id_ = uuid.uuid4().hex
    with deployment.inside(address) as send:
        assert send(event(id_, {**departure(5), "carrier": "ZZ"})).status == 202
    (found,) = await_records(topics.deadletter, lambda found: dict(found.headers).get("ce_id") == id_.encode(), seconds=180)
    letter = decode(found)
    assert letter.value()["carrier"] == "ZZ"
    assert letter.get("knativeerrorcode") == "400"
    assert "/models/flights" in str(letter.get("knativeerrordest"))
