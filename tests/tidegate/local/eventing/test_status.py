from __future__ import annotations

from typing import Any

import pytest

from functions.runtime.knative.objects import condition
from tidegate.local.apiserver.store import Store
from tidegate.local.eventing.controller import EventingController
from tidegate.local.objects.eventing import EXTERNAL_TOPIC

Object = dict[str, Any]
SINK = {"uri": "http://sink.example"}
MISSING = {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "missing"}}
TEMPLATE = {"spec": {"containers": [{"name": "c", "image": "c"}], "restartPolicy": "Never"}}
SUBJECT = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"}
RESOURCES = [{"apiVersion": "serving.knative.dev/v1", "kind": "Service"}]


def reconciled(resource: str, version: str, kind: str, spec: Object, annotations: Object | None = None) -> Object:
    """The object after its controller, without any runner."""
    store = Store()
    EventingController(store, 8080).start()
    store.create(
        resource, {"apiVersion": version, "kind": kind, "metadata": {"name": "it", "annotations": annotations or {}}, "spec": spec}
    )
    return store.get(resource, "it")


def types(item: Object) -> dict[str, str]:
    return {found["type"]: found["status"] for found in item["status"]["conditions"]}


@pytest.mark.parametrize(
    ("resource", "version", "kind", "spec", "ready", "conditions"),
    [
        (
            "pingsources",
            "sources.knative.dev/v1",
            "PingSource",
            {"sink": SINK},
            "True",
            {"SinkProvided", "Deployed", "OIDCIdentityCreated"},
        ),
        (
            "kafkasources",
            "sources.knative.dev/v1",
            "KafkaSource",
            {"sink": SINK, "topics": ["a"], "bootstrapServers": ["k:9092"]},
            "Unknown",
            {"SinkProvided", "ConsumerGroup"},
        ),
        (
            "sinkbindings",
            "sources.knative.dev/v1",
            "SinkBinding",
            {"sink": SINK, "subject": SUBJECT},
            "True",
            {"SinkProvided", "SinkBindingAvailable", "OIDCIdentityCreated", "OIDCTokenSecretCreated", "TrustBundlePropagated"},
        ),
        (
            "apiserversources",
            "sources.knative.dev/v1",
            "ApiServerSource",
            {"sink": SINK, "resources": RESOURCES},
            "True",
            {"SinkProvided", "Deployed", "SufficientPermissions", "OIDCIdentityCreated"},
        ),
        (
            "containersources",
            "sources.knative.dev/v1",
            "ContainerSource",
            {"sink": SINK, "template": TEMPLATE},
            "True",
            {"SinkBindingReady", "ReceiveAdapterReady"},
        ),
        (
            "jobsinks",
            "sinks.knative.dev/v1alpha1",
            "JobSink",
            {"job": {"spec": {"template": TEMPLATE}}},
            "True",
            {"Addressable", "EventPoliciesReady"},
        ),
        (
            "sequences",
            "flows.knative.dev/v1",
            "Sequence",
            {"steps": [SINK]},
            "True",
            {"Addressable", "ChannelsReady", "SubscriptionsReady", "EventPoliciesReady"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith("s") else "",
)
def test_conditions_are_those_of_a_cluster(resource: str, version: str, kind: str, spec: Object, ready: str, conditions: set[str]) -> None:
    found = types(reconciled(resource, version, kind, spec))
    assert found.pop("Ready") == ready
    assert found.keys() == conditions


@pytest.mark.parametrize("status", ["True", "False"])
def test_source_names_its_sink_and_its_events(status: str) -> None:
    item = reconciled("pingsources", "sources.knative.dev/v1", "PingSource", {"sink": SINK if status == "True" else MISSING})
    assert types(item)["SinkProvided"] == status
    assert item["status"].get("sinkUri") == ("http://sink.example" if status == "True" else None)
    assert item["status"]["ceAttributes"] == [{"type": "dev.knative.sources.ping", "source": "/apis/v1/namespaces/default/pingsources/it"}]
    provided = condition(item, "SinkProvided") or {}
    assert provided.get("reason") == (None if status == "True" else "NotFound")


def test_kafka_source_reports_a_missing_sink_by_its_consumer_group() -> None:
    spec = {"sink": MISSING, "topics": ["a", "b"], "bootstrapServers": ["k:9092"]}
    item = reconciled("kafkasources", "sources.knative.dev/v1", "KafkaSource", spec)
    assert types(item) == {"ConsumerGroup": "False", "Ready": "False", "SinkProvided": "Unknown"}
    assert item["status"]["selector"] == "eventing.knative.dev/source=kafka-source-controller,eventing.knative.dev/sourceName=it"


@pytest.mark.parametrize(("external", "topic"), [({}, "knative-broker-default-it"), ({EXTERNAL_TOPIC: "flights"}, "flights")])
def test_broker_names_its_topic(external: dict[str, str], topic: str) -> None:
    item = reconciled("brokers", "eventing.knative.dev/v1", "Broker", {}, external)
    assert item["status"]["annotations"] == {"default.topic": topic}


def test_flow_names_the_destination_without_an_address() -> None:
    item = reconciled("parallels", "flows.knative.dev/v1", "Parallel", {"branches": [{"subscriber": SINK}, {"subscriber": MISSING}]})
    ready = condition(item, "Ready") or {}
    assert ready["status"] == "Unknown"
    assert ready["message"].startswith("spec.branches[1].subscriber: failed to get object default/missing")
    assert item["status"]["address"]["url"] == "http://parallel-ingress.localhost:8080/default/it"
