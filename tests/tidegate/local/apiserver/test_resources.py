from __future__ import annotations

from typing import Any

import pytest

from tidegate.local.apiserver.resources import RESOURCES, apply
from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.apiserver.store import Store

Object = dict[str, Any]
URI = {"uri": "http://sink.example"}
POD = {"spec": {"containers": [{"name": "c", "image": "c"}], "restartPolicy": "Never"}}


def item(version: str, kind: str, spec: Object, **metadata: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "it", **metadata}, "spec": spec}


def admitted(plural: str, version: str, kind: str, spec: Object, **metadata: Any) -> Object:
    return RESOURCES[plural].admit(item(version, kind, spec, **metadata), None)


def test_defaults_are_those_of_the_webhooks() -> None:
    trigger = admitted("triggers", "eventing.knative.dev/v1", "Trigger", {"broker": "b", "subscriber": URI})
    assert trigger["spec"]["filter"] == {}
    assert trigger["metadata"] == {"namespace": "default", "name": "it", "labels": {"eventing.knative.dev/broker": "b"}}
    broker = admitted("brokers", "eventing.knative.dev/v1", "Broker", {})
    assert broker["metadata"]["annotations"] == {"eventing.knative.dev/broker.class": "Kafka"}
    ping = admitted("pingsources", "sources.knative.dev/v1", "PingSource", {"sink": URI})
    assert ping["spec"]["schedule"] == "* * * * *"


@pytest.mark.parametrize(
    ("given", "completions", "parallelism"), [({}, 1, 1), ({"parallelism": 2}, None, 2), ({"completions": 3}, 3, 1)], ids=["none", "p", "c"]
)
def test_job_without_numbers_runs_once(given: Object, completions: int | None, parallelism: int) -> None:
    spec = admitted("jobs", "batch/v1", "Job", {"template": POD, **given})["spec"]
    assert (spec.get("completions"), spec["parallelism"], spec["backoffLimit"]) == (completions, parallelism, 6)


def test_kafka_source_continues_in_its_group_after_a_restart() -> None:
    spec = {"sink": URI, "topics": ["t"], "bootstrapServers": ["k:9092"]}
    groups = [
        admitted("kafkasources", version, "KafkaSource", spec, **metadata)["spec"]["consumerGroup"]
        for version, metadata in (
            ("sources.knative.dev/v1", {}),
            ("sources.knative.dev/v1beta1", {}),
            ("sources.knative.dev/v1", {"namespace": "other"}),
        )
    ]
    assert groups[0] == groups[1] != groups[2]
    assert groups[0].startswith("knative-kafka-source-")


def test_object_of_a_beta_version_is_stored_in_the_stable_one() -> None:
    spec = {"sink": URI, "topics": ["t"], "bootstrapServers": ["k:9092"]}
    assert admitted("kafkasources", "sources.knative.dev/v1beta1", "KafkaSource", spec)["apiVersion"] == "sources.knative.dev/v1"


def test_applied_object_is_created_and_then_replaced() -> None:
    store, resource = Store(), RESOURCES["brokers"]
    seen: list[str] = []

    def mutate(plural: str, given: Object) -> Object:
        seen.append(plural)
        return {**given, "metadata": {**given["metadata"], "labels": {"a": "b"}}}

    first = apply(store, resource, item("eventing.knative.dev/v1", "Broker", {}), mutate)
    second = apply(store, resource, item("eventing.knative.dev/v1", "Broker", {"delivery": {"retry": 1}}), mutate)
    assert (first["metadata"]["generation"], second["metadata"]["generation"]) == (1, 2)
    assert first["metadata"]["uid"] == second["metadata"]["uid"]
    assert second["metadata"]["labels"] == {"a": "b"}
    assert seen == ["brokers", "brokers"]


def test_class_of_a_broker_cannot_be_changed() -> None:
    store, resource = Store(), RESOURCES["brokers"]
    apply(store, resource, item("eventing.knative.dev/v1", "Broker", {}), lambda plural, given: given)
    other = item("eventing.knative.dev/v1", "Broker", {}, annotations={"eventing.knative.dev/broker.class": "MTChannelBasedBroker"})
    with pytest.raises(StatusError, match="Immutable annotations changed"):
        apply(store, resource, other, lambda plural, given: given)


def test_revision_is_created_by_its_service_only() -> None:
    with pytest.raises(StatusError, match="a revision is created by a change of its service's template"):
        RESOURCES["revisions"].admit(item("serving.knative.dev/v1", "Revision", {}), None)
    assert "create" not in RESOURCES["revisions"].verbs
