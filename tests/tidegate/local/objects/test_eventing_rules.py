from __future__ import annotations

import copy
from typing import Any

import pytest

from tidegate.local.objects.rules import parse_manifest
from tidegate.local.objects.validation import InvalidObject

Object = dict[str, Any]
URI = {"uri": "http://sink.example"}
REF = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "router"}
POD = {"spec": {"containers": [{"name": "c", "image": "c"}], "restartPolicy": "Never"}}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "name": "b"}
FILTERS = [{"exact": {"type": "a"}}]
NO_RESTART = {"job": {"spec": {"template": {"spec": {"containers": [{"image": "c"}]}}}}}
NO_IMAGE = {"template": {"spec": {"containers": [{"name": "c"}]}}}
EVENTING, SOURCES, SINKS = "eventing.knative.dev/v1", "sources.knative.dev/v1", "sinks.knative.dev/v1alpha1"
VALID: dict[str, Object] = {
    "Broker": {
        "apiVersion": EVENTING,
        "spec": {"config": {"apiVersion": "v1", "kind": "ConfigMap", "name": "b"}, "delivery": {"retry": 1}},
    },
    "Trigger": {
        "apiVersion": EVENTING,
        "spec": {"broker": "b", "subscriber": {"ref": REF, "uri": "/x"}, "filters": [{"exact": {"type": "a"}}]},
    },
    "PingSource": {"apiVersion": SOURCES, "spec": {"schedule": "*/5 * * * *", "timezone": "Europe/Berlin", "sink": URI}},
    "KafkaSource": {"apiVersion": SOURCES, "spec": {"bootstrapServers": ["k:9092"], "topics": ["t"], "sink": URI}},
    "SinkBinding": {"apiVersion": SOURCES, "spec": {"subject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "sink": URI}},
    "ApiServerSource": {"apiVersion": SOURCES, "spec": {"resources": [{"apiVersion": REF["apiVersion"], "kind": "Service"}], "sink": URI}},
    "ContainerSource": {"apiVersion": SOURCES, "spec": {"template": POD, "sink": URI}},
    "JobSink": {"apiVersion": SINKS, "spec": {"job": {"spec": {"template": POD}}}},
    "Job": {"apiVersion": "batch/v1", "spec": {"template": POD}},
    "Sequence": {"apiVersion": "flows.knative.dev/v1", "spec": {"steps": [{"ref": REF}], "reply": URI}},
    "Parallel": {"apiVersion": "flows.knative.dev/v1", "spec": {"branches": [{"filter": URI, "subscriber": URI}]}},
    "KafkaSink": {"apiVersion": "eventing.knative.dev/v1alpha1", "spec": {"topic": "t", "bootstrapServers": ["k:9092"]}},
}


def manifest(kind: str, **spec: Any) -> Object:
    item = copy.deepcopy(VALID[kind])
    return {**item, "kind": kind, "metadata": {"name": "it"}, "spec": {**item["spec"], **spec}}


@pytest.mark.parametrize("kind", VALID)
def test_typical_object_is_accepted(kind: str) -> None:
    assert parse_manifest(manifest(kind)).metadata.name == "it"


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("Trigger", {"broker": ""}, "missing field(s): spec.broker."),
        ("Trigger", {"brokerRef": {"name": "b"}}, "expected exactly one, got both: spec.broker, spec.brokerRef."),
        ("Trigger", {"subscriber": {}}, "expected at least one, got none: spec.subscriber.ref, spec.subscriber.uri."),
        ("Trigger", {"subscriber": None}, "expected at least one, got none: spec.subscriber.ref, spec.subscriber.uri."),
        ("Trigger", {"subscriber": {"uri": "/x"}}, "Relative URI is not allowed when Ref"),
        ("Trigger", {"subscriber": {"uri": "http://[x"}}, "Relative URI is not allowed when Ref"),
        ("Trigger", {"subscriber": {"ref": REF, "uri": "http://a"}}, "Absolute URI is not allowed when Ref"),
        ("Trigger", {"subscriber": {"ref": {"apiVersion": "v1", "kind": "Service"}}}, "missing field(s): spec.subscriber.ref.name."),
        ("Trigger", {"filters": [{"exact": {"Type": "a"}}]}, 'invalid key name "Type": spec.filters[0].exact[Type]'),
        ("Trigger", {"filters": [{"any": [{"cesql": "type = 'a'"}]}]}, "spec.filters[0].any[0].cesql is an expression"),
        ("Trigger", {"filter": {"attributes": {"a-b": "c"}}}, 'invalid key name "a-b": spec.filter.attributes[a-b]'),
        ("Trigger", {"filters": [{"exakt": {"type": "a"}}]}, "spec.filters[0].exakt is an unknown field; did you mean exact?"),
        (
            "Trigger",
            {"delivery": {"backoffDelay": "1s"}},
            "invalid value: 1s: spec.delivery.backoffDelay (want a duration of ISO 8601, such as PT0.5S)",
        ),
        ("Trigger", {"delivery": {"timeout": "PT0S"}}, "invalid value: PT0S: spec.delivery.timeout."),
        ("Trigger", {"delivery": {"retry": -1}}, "invalid value: -1: spec.delivery.retry"),
        (
            "Trigger",
            {"delivery": {"backoffPolicy": "random"}},
            "invalid value: random: spec.delivery.backoffPolicy (want linear or exponential)",
        ),
        ("Trigger", {"delivery": {"retryAfterMax": "PT1S"}}, "must not set the field(s): spec.delivery.retryAfterMax."),
        ("Broker", {"config": {"apiVersion": "v1", "kind": "Secret", "name": "b"}}, "invalid value: Secret: spec.config.kind"),
        ("Trigger", {"delivery": {"format": "text"}}, "invalid value: text: spec.delivery.format (want json or binary)"),
        ("PingSource", {"sink": None}, "expected at least one, got none: spec.sink.ref, spec.sink.uri."),
        ("PingSource", {"schedule": "* * *"}, "has 3 fields: spec.schedule (write minute, hour, "),
        ("PingSource", {"timezone": "Mars/Base"}, "spec.timezone"),
        ("PingSource", {"data": "a", "dataBase64": "YQ=="}, "expected exactly one, got both: spec.data, spec.dataBase64."),
        ("PingSource", {"dataBase64": "%"}, "spec.dataBase64"),
        ("PingSource", {"data": "[1]", "contentType": "application/json"}, "want a JSON object, as spec.contentType is application/json"),
        ("PingSource", {"data": "{", "contentType": "application/json"}, "want a JSON object, as spec.contentType is application/json"),
        ("PingSource", {"ceOverrides": {"extensions": {"a_b": "c"}}}, 'invalid key name "a_b": spec.ceOverrides.extensions'),
        ("KafkaSource", {"topics": []}, "spec.topics"),
        ("KafkaSource", {"initialOffset": "first"}, "spec.initialOffset is 'first'"),
        ("KafkaSink", {"contentMode": "batch"}, "spec.contentMode is 'batch'"),
        (
            "SinkBinding",
            {"subject": {"apiVersion": "v1", "kind": "Pod", "name": "p"}},
            "spec.subject is Pod p, which tidegate up does not",
        ),
        ("ApiServerSource", {"resources": [{"apiVersion": "v1", "kind": "Pod"}]}, "spec.resources[0] is Pod of v1"),
        ("ContainerSource", NO_IMAGE, "spec.template.spec.containers[0].image is missing"),
        (
            "JobSink",
            {"job": {"spec": {"template": {"spec": {"containers": [{"image": "c"}]}}}}},
            "spec.job.spec.template.spec.restartPolicy is ''",
        ),
        ("Job", {"completionMode": "Indexed"}, "spec.completions is missing: a Job of completion mode Indexed requires it"),
        ("Job", {"podFailurePolicy": {"rules": []}}, "spec.podFailurePolicy is not supported by tidegate up; remove it."),
        ("Job", {"podReplacementPolicy": "Failed"}, "spec.podReplacementPolicy is not supported by tidegate up; remove it."),
        ("Sequence", {"steps": []}, "missing field(s): spec.steps."),
        ("Sequence", {"steps": [{"uri": "http://a", "delivery": {"retry": -1}}]}, "invalid value: -1: spec.steps[0].delivery.retry"),
        ("Parallel", {"branches": []}, "missing field(s): spec.branches."),
        (
            "Sequence",
            {"steps": [{"uri": "x"}]},
            "is absent: spec.steps[0].uri.",
        ),
    ],
)
def test_violation_is_one_sentence_with_its_position(kind: str, spec: Object, message: str) -> None:
    with pytest.raises(InvalidObject) as caught:
        parse_manifest(manifest(kind, **spec))
    assert message in str(caught.value)
    assert str(caught.value)[-1] in ".?"


@pytest.mark.parametrize(("field", "value"), [("name", "Upper"), ("name", "a" * 254), ("namespace", "a.b"), ("namespace", "../x")])
def test_name_that_is_no_path_segment_is_refused(field: str, value: str) -> None:
    item = manifest("Broker")
    item["metadata"][field] = value
    with pytest.raises(InvalidObject, match=rf"metadata\.{field} is "):
        parse_manifest(item)


def test_order_of_delivery_is_one_of_two() -> None:
    item = manifest("Trigger")
    item["metadata"]["annotations"] = {"kafka.eventing.knative.dev/delivery.order": "sorted"}
    with pytest.raises(InvalidObject, match="invalid value: sorted"):
        parse_manifest(item)
