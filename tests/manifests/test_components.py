"""What each variation changes, and that it changes nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]
Build = Callable[..., Objects]
ROOT = Path(__file__).parents[2]
COMPONENTS = sorted(path.name for path in (ROOT / "manifests/components").iterdir())
BROKERS = "one.example.com:9093,two.example.com:9093"
CANARY = {
    "canary": {"stable": "flights-00001", "canary": "flights-v2", "model": "functions/flights/models/v2", "percent": "5", "rest": "95"}
}
ARTIFACTS = {"artifacts": {"prefixes": "https://models.example.com/flights", "model": "/etc/model"}}
MIN_SCALE = "autoscaling.knative.dev/min-scale"


def container(item: Object) -> Any:
    spec = item["spec"]["job"]["spec"] if item["kind"] == "JobSink" else item["spec"]
    return spec["template"]["spec"]["containers"][0]


def environment(item: Object) -> dict[str, Any]:
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container(item)["env"]}


def changed(before: Objects, after: Objects) -> set[tuple[str, str]]:
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_has_a_page_and_is_found(component: str) -> None:
    page = ROOT / "manifests/components" / component / "README.md"
    assert page.read_text().startswith("# ")
    assert f"components/{component})" in (ROOT / "docs/kubernetes.md").read_text(), "docs/kubernetes.md does not name it"
    for link in re.findall(r"\]\((\.\.[^)#]*)", page.read_text()):
        assert (page.parent / link).exists(), f"{page} leads to {link}, which is not there"


def test_a_canary_is_a_second_revision_that_both_have_names_and_tags(build: Build) -> None:
    service = build("canary", values=CANARY)[("Service", "flights")]
    assert service["spec"]["template"]["metadata"]["name"] == "flights-v2"
    assert environment(service)["TIDEGATE_MODEL"] == "functions/flights/models/v2"
    assert service["spec"]["traffic"] == [
        {"revisionName": "flights-00001", "tag": "stable", "percent": 95},
        {"revisionName": "flights-v2", "tag": "canary", "percent": 5},
    ]


def test_values_of_a_component_stay_here(build: Build) -> None:
    assert changed(build(), build("canary", values=CANARY)) == {("Service", "flights")}


def models(objects: Objects) -> set[tuple[str, str]]:
    component = "app.kubernetes.io/component"
    return {key for key, item in objects.items() if key[0] == "Service" and item["metadata"]["labels"][component] == "model-function"}


def test_a_warm_replica_is_kept_of_every_function(build: Build) -> None:
    before, after = build(), build("warm-replica")
    assert changed(before, after) == models(before) | {("Service", "router")}
    for key in changed(before, after):
        assert after[key]["spec"]["template"]["metadata"]["annotations"][MIN_SCALE] == "1"


def test_a_private_service_has_no_address_outside(build: Build) -> None:
    before, after = build(), build("private-service")
    assert changed(before, after) == models(before) >= {("Service", "flights")}
    for key in models(before):
        assert after[key]["metadata"]["labels"]["networking.knative.dev/visibility"] == "cluster-local"


def test_triggers_lead_from_the_broker_to_the_router_and_to_the_topic(build: Build) -> None:
    objects = build("kafka-broker")
    departed, scored = (objects[("Trigger", name)]["spec"] for name in ("flights-departed", "flights-scored"))
    assert {departed["broker"], scored["broker"]} == {"tidegate"}
    assert departed["subscriber"] == {
        "ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "router"},
        "uri": "/models/flights",
    }
    assert ("KafkaSink", scored["subscriber"]["ref"]["name"]) in objects
    delivery = objects[("Broker", "tidegate")]["spec"]["delivery"]
    # With a dead letter sink alone, Knative would retry nothing.
    assert delivery["retry"] > 0
    assert ("KafkaSink", delivery["deadLetterSink"]["ref"]["name"]) in objects


def test_a_source_feeds_the_broker(build: Build) -> None:
    objects = build("kafka-broker", "kafka-source")
    sink = objects[("KafkaSource", "flights-departed")]["spec"]["sink"]["ref"]
    assert (sink["kind"], sink["name"]) in objects


def test_kafka_s_address_is_written_wherever_one_is_named(build: Build) -> None:
    parts = ("kafka-broker", "kafka-source", "stream-keda", "kafka-address")
    objects = build(*parts, values={"kafka": {"servers": BROKERS}})
    assert environment(objects[("Deployment", "stream-flights")])["TIDEGATE_BOOTSTRAP_SERVERS"] == BROKERS
    assert objects[("ConfigMap", "tidegate-broker")]["data"]["bootstrap.servers"] == BROKERS
    assert objects[("ScaledObject", "stream-flights")]["spec"]["triggers"][0]["metadata"]["bootstrapServers"] == BROKERS
    assert objects[("KafkaSource", "flights-departed")]["spec"]["bootstrapServers"] == [BROKERS]
    assert "kafka.kafka.svc" not in str(objects)


def test_sasl_and_tls_come_from_a_secret_whose_password_is_a_file(build: Build) -> None:
    before, after = build(), build("kafka-sasl-tls")
    assert changed(before, after) == {("Deployment", "stream-flights")}
    worker = after[("Deployment", "stream-flights")]
    variables = environment(worker)
    assert variables["TIDEGATE_KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    mounted = next(mount["mountPath"] for mount in container(worker)["volumeMounts"] if mount["name"] == "kafka")
    assert variables["TIDEGATE_KAFKA_PASSWORD_FILE"].startswith(f"{mounted}/")
    assert variables["TIDEGATE_KAFKA_CA_FILE"].startswith(f"{mounted}/")
    assert "TIDEGATE_KAFKA_PASSWORD" not in variables


def test_keda_alone_decides_how_many_workers_there_are(build: Build) -> None:
    objects = build("stream-keda")
    worker, scaled = objects[("Deployment", "stream-flights")], objects[("ScaledObject", "stream-flights")]["spec"]
    assert "replicas" not in worker["spec"]
    assert scaled["scaleTargetRef"]["name"] == worker["metadata"]["name"]
    assert scaled["minReplicaCount"] == 0
    (trigger,) = scaled["triggers"]
    topic = environment(worker)["TIDEGATE_STREAM_INPUT"]
    assert trigger["metadata"]["topic"] == topic
    assert trigger["metadata"]["consumerGroup"] == f"tidegate-{topic}"


def test_prometheus_asks_pods_so_that_nothing_is_started(build: Build) -> None:
    monitors = build("service-monitor")
    functions = monitors[("PodMonitor", "tidegate-functions")]["spec"]
    ((expression,),) = [functions["selector"]["matchExpressions"]]
    for name in ("flights", "router"):
        labels = build()[("Service", name)]["spec"]["template"]["metadata"]["labels"]
        assert functions["selector"]["matchLabels"].items() <= labels.items()
        assert (expression["operator"], labels[expression["key"]] in expression["values"]) == ("In", True)
    assert functions["podMetricsEndpoints"][0]["path"] == "/metrics"
    assert ("ServiceMonitor", "tidegate-requests") in monitors


def test_a_budget_never_keeps_a_single_replica_on_its_node(build: Build) -> None:
    budgets = [item for (kind, _), item in build("pod-disruption-budget").items() if kind == "PodDisruptionBudget"]
    assert len(budgets) == 3
    assert all("minAvailable" not in budget["spec"] and budget["spec"]["maxUnavailable"] == 1 for budget in budgets)


def test_policies_let_the_ingress_in_and_nobody_to_workers(build: Build) -> None:
    policies = {name: item["spec"] for (kind, name), item in build("network-policy").items() if kind == "NetworkPolicy"}
    assert "ingress" not in policies["tidegate-workers"]
    assert policies["tidegate-functions"]["ingress"]
    assert all(policy["policyTypes"] == ["Ingress"] for policy in policies.values())


def test_the_nightly_event_goes_to_the_job_sink_whose_job_sees_the_files(build: Build) -> None:
    objects = build("nightly-batch")
    source, sink = objects[("PingSource", "nightly-batch")]["spec"], objects[("JobSink", "batch")]
    assert (source["sink"]["ref"]["kind"], source["sink"]["ref"]["name"]) == ("JobSink", "batch")
    mounted = [mount["mountPath"] for mount in container(sink)["volumeMounts"]]
    assert "/data" in mounted
    assert '"input": "/data/' in source["data"]


def test_an_artifact_is_fetched_from_where_the_overlay_says_with_its_card(build: Build) -> None:
    objects = build("object-storage", values=ARTIFACTS, files=["flights-card"])
    service = objects[("Service", "flights")]
    assert environment(service)["TIDEGATE_ARTIFACT_URIS"] == "https://models.example.com/flights"
    assert environment(service)["TIDEGATE_MODEL"] == "/etc/model"
    (card,) = [volume["configMap"]["name"] for volume in service["spec"]["template"]["spec"]["volumes"] if "configMap" in volume]
    # Its name has a hash of the card, so that another card makes another revision.
    assert card.startswith("flights-card-")
    assert ("ConfigMap", card) in objects
