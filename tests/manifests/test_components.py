"""The changes that each component makes, and no others."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from eventing.types import OUTCOME_LABELLED, OUTCOME_OBSERVED
from functions.rollout.observation import LONGEST_GAP_SECONDS
from functions.stream import streams
from functions.stream.health import Health
from functions.stream.metrics import Metrics, PartitionLag, Reading, exposition
from functions.stream.report import Tally
from tidegate.local.objects.cron import parse as parse_schedule

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
# Knative's default of scale-to-zero-grace-period: how long the last pod stays after a window without requests.
GRACE_SECONDS = 30
MIN_SCALE = "autoscaling.knative.dev/min-scale"


def container(item: Object) -> Any:
    spec = item["spec"]["job"]["spec"] if item["kind"] == "JobSink" else item["spec"]
    return spec["template"]["spec"]["containers"][0]


def environment(item: Object) -> dict[str, Any]:
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container(item)["env"]}


def changed(before: Objects, after: Objects) -> set[tuple[str, str]]:
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


@pytest.mark.parametrize("component", COMPONENTS)
def test_component_has_a_page_and_is_documented(component: str) -> None:
    page = ROOT / "manifests/components" / component / "README.md"
    assert page.read_text().startswith("# ")
    assert f"components/{component})" in (ROOT / "docs/kubernetes.md").read_text(), "docs/kubernetes.md does not name it"
    for link in re.findall(r"\]\((\.\.[^)#]*)", page.read_text()):
        assert (page.parent / link).exists(), f"{page} leads to {link}, which is not there"


def test_canary_adds_a_named_and_tagged_revision(build: Build) -> None:
    service = build("canary", values=CANARY)[("Service", "flights")]
    assert service["spec"]["template"]["metadata"]["name"] == "flights-v2"
    assert environment(service)["TIDEGATE_MODEL"] == "functions/flights/models/v2"
    assert service["spec"]["traffic"] == [
        {"revisionName": "flights-00001", "tag": "stable", "percent": 95},
        {"revisionName": "flights-v2", "tag": "canary", "percent": 5},
    ]


def test_canary_changes_one_service_only(build: Build) -> None:
    assert changed(build(), build("canary", values=CANARY)) == {("Service", "flights")}


def models(objects: Objects) -> set[tuple[str, str]]:
    component = "app.kubernetes.io/component"
    return {key for key, item in objects.items() if key[0] == "Service" and item["metadata"]["labels"][component] == "model-function"}


def test_rollout_function_is_fed_and_heard(build: Build) -> None:
    objects = build("kafka-broker", "router-outcomes", "rollout")
    broker = objects[("SinkBinding", "router-outcomes")]["spec"]["sink"]["ref"]
    trigger = objects[("Trigger", "rollout")]["spec"]
    assert (broker["kind"], broker["name"]) == ("Broker", trigger["broker"])
    labels = objects[("Trigger", "rollout-labels")]["spec"]
    assert (labels["broker"], labels["subscriber"]) == (trigger["broker"], trigger["subscriber"])
    assert [[one["exact"]["type"] for one in found["filters"]] for found in (trigger, labels)] == [[OUTCOME_OBSERVED], [OUTCOME_LABELLED]]
    for sender in (trigger["subscriber"], objects[("PingSource", "rollout")]["spec"]["sink"], objects[("SinkBinding", "rollout")]["spec"]):
        ref = sender.get("ref") or sender["subject"]
        assert (ref["kind"], ref["name"]) == ("Service", "rollout")
    assert objects[("SinkBinding", "rollout")]["spec"]["sink"]["ref"] == broker
    labels = objects[("Service", "rollout")]["metadata"]["labels"]
    assert labels["networking.knative.dev/visibility"] == "cluster-local"


def test_rollout_function_is_at_zero_between_two_looks_that_both_count(build: Build) -> None:
    objects = build("kafka-broker", "router-outcomes", "rollout")
    schedule = parse_schedule(objects[("PingSource", "rollout")]["spec"]["schedule"])
    looks = [datetime(2026, 1, 1, 12, tzinfo=UTC)]
    for _ in range(60):  # also across the hour, where `*/7` would have another distance
        looks.append(schedule.next(looks[-1]) or pytest.fail("there is no next look"))
    distances = {(after - before).total_seconds() for before, after in pairwise(looks)}
    window = objects[("Service", "rollout")]["spec"]["template"]["metadata"]["annotations"]["autoscaling.knative.dev/window"]
    assert min(distances) > int(window.removesuffix("s")) + GRACE_SECONDS
    assert max(distances) < LONGEST_GAP_SECONDS


def test_rollout_function_may_do_what_it_does_and_no_more(build: Build) -> None:
    rules = {(rule["apiGroups"][0], rule["resources"][0]): set(rule["verbs"]) for rule in build("rollout")[("Role", "rollout")]["rules"]}
    assert rules == {("serving.knative.dev", "services"): {"get", "list", "patch"}, ("", "events"): {"create"}}


def test_warm_replica_applies_to_every_function(build: Build) -> None:
    before, after = build(), build("warm-replica")
    assert changed(before, after) == models(before) | {("Service", "router")}
    for key in changed(before, after):
        assert after[key]["spec"]["template"]["metadata"]["annotations"][MIN_SCALE] == "1"


def test_private_service_is_cluster_local(build: Build) -> None:
    before, after = build(), build("private-service")
    assert changed(before, after) == models(before) >= {("Service", "flights")}
    for key in models(before):
        assert after[key]["metadata"]["labels"]["networking.knative.dev/visibility"] == "cluster-local"


def test_triggers_connect_broker_router_and_topic(build: Build) -> None:
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


def test_event_of_the_broker_starts_a_batch_job_which_sends_its_events_to_the_broker(build: Build) -> None:
    objects = build("kafka-broker", "batch-events")
    trigger, binding = objects[("Trigger", "batch-requested")]["spec"], objects[("SinkBinding", "batch-events")]["spec"]
    subscriber, sink = trigger["subscriber"]["ref"], binding["sink"]["ref"]
    assert (trigger["broker"], sink["name"]) == ("tidegate", "tidegate")
    for ref in (subscriber, sink):
        assert objects[(ref["kind"], ref["name"])]["apiVersion"] == ref["apiVersion"]
    # The Jobs of the JobSink have the labels that the binding selects.
    labels = objects[("JobSink", "batch")]["spec"]["job"]["metadata"]["labels"]
    assert binding["subject"]["selector"]["matchLabels"].items() <= labels.items()


def test_worker_of_many_streams_reads_its_mounted_file_and_is_bound_to_the_router(build: Build) -> None:
    objects = build("without-stream", "many-streams", files=("streams",))
    assert ("Deployment", "stream-flights") not in objects
    worker = objects[("Deployment", "stream-many")]
    (volume,) = [volume for volume in worker["spec"]["template"]["spec"]["volumes"] if "configMap" in volume]
    (mount,) = [mount for mount in container(worker)["volumeMounts"] if mount["name"] == volume["name"]]
    folder, name = environment(worker)["TIDEGATE_STREAMS"].rsplit("/", 1)
    assert folder == mount["mountPath"]
    text = objects[("ConfigMap", volume["configMap"]["name"])]["data"][name]
    binding = objects[("SinkBinding", "stream-many")]["spec"]
    assert (binding["subject"]["name"], binding["sink"]["ref"]["name"]) == ("stream-many", "router")
    # As the worker reads it, with what the binding sets.
    environ = {name: value for name, value in environment(worker).items() if isinstance(value, str)} | {"K_SINK": "http://router.default"}
    (stream,) = streams.settings_of(streams.parse(text, name), environ, name)
    assert stream.settings.sink == "http://router.default/models/flights"


def test_component_applied_after_it_changes_the_worker_of_many_streams(build: Build) -> None:
    worker = build("many-streams", "kafka-sasl-tls", "kafka-address", values={"kafka": {"servers": BROKERS}}, files=("streams",))[
        ("Deployment", "stream-many")
    ]
    assert environment(worker)["TIDEGATE_BOOTSTRAP_SERVERS"] == BROKERS
    assert "TIDEGATE_KAFKA_PASSWORD_FILE" in environment(worker)


def test_example_of_many_streams_is_valid() -> None:
    page = (ROOT / "manifests/components/many-streams/README.md").read_text()
    example = page.split("```yaml\n# streams.yaml\n")[1].split("```")[0]
    environ = {"TIDEGATE_BOOTSTRAP_SERVERS": "kafka:9092", "K_SINK": "http://router.default"}
    found = streams.settings_of(streams.parse(example, "streams.yaml"), environ, "streams.yaml")
    assert [stream.settings.model for stream in found] == ["flights", "cargo"]


def test_kafka_source_sends_to_the_broker(build: Build) -> None:
    objects = build("kafka-broker", "kafka-source")
    sink = objects[("KafkaSource", "flights-departed")]["spec"]["sink"]["ref"]
    assert (sink["kind"], sink["name"]) in objects


def test_kafka_address_is_set_everywhere(build: Build) -> None:
    parts = ("kafka-broker", "kafka-source", "stream-keda", "kafka-address")
    objects = build(*parts, values={"kafka": {"servers": BROKERS}})
    assert environment(objects[("Deployment", "stream-flights")])["TIDEGATE_BOOTSTRAP_SERVERS"] == BROKERS
    assert objects[("ConfigMap", "tidegate-broker")]["data"]["bootstrap.servers"] == BROKERS
    assert objects[("ScaledObject", "stream-flights")]["spec"]["triggers"][0]["metadata"]["bootstrapServers"] == BROKERS
    assert objects[("KafkaSource", "flights-departed")]["spec"]["bootstrapServers"] == [BROKERS]
    assert "kafka.kafka.svc" not in str(objects)


def test_kafka_credentials_are_files_of_a_secret(build: Build) -> None:
    before, after = build(), build("kafka-sasl-tls")
    assert changed(before, after) == {("Deployment", "stream-flights")}
    worker = after[("Deployment", "stream-flights")]
    variables = environment(worker)
    assert variables["TIDEGATE_KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    mounted = next(mount["mountPath"] for mount in container(worker)["volumeMounts"] if mount["name"] == "kafka")
    assert variables["TIDEGATE_KAFKA_PASSWORD_FILE"].startswith(f"{mounted}/")
    assert variables["TIDEGATE_KAFKA_CA_FILE"].startswith(f"{mounted}/")
    assert "TIDEGATE_KAFKA_PASSWORD" not in variables


def test_keda_sets_the_number_of_workers(build: Build) -> None:
    objects = build("stream-keda")
    worker, scaled = objects[("Deployment", "stream-flights")], objects[("ScaledObject", "stream-flights")]["spec"]
    assert "replicas" not in worker["spec"]
    assert scaled["scaleTargetRef"]["name"] == worker["metadata"]["name"]
    assert scaled["minReplicaCount"] == 0
    (trigger,) = scaled["triggers"]
    topic = environment(worker)["TIDEGATE_STREAM_INPUT"]
    assert trigger["metadata"]["topic"] == topic
    assert trigger["metadata"]["consumerGroup"] == f"tidegate-{topic}"


def test_keda_scales_by_the_metric_that_a_worker_reports(build: Build) -> None:
    objects = build("stream-keda", "stream-keda-seconds", "kafka-address", values={"kafka": {"servers": BROKERS}})
    records, seconds = objects[("ScaledObject", "stream-flights")]["spec"]["triggers"]
    # The one that wakes the first worker: at zero, nothing reports a lag in seconds, which is no error.
    assert (records["type"], records["metadata"]["activationLagThreshold"]) == ("kafka", "0")
    assert records["metadata"]["bootstrapServers"] == BROKERS
    assert (seconds["type"], seconds["metadata"]["ignoreNullValues"]) == ("prometheus", "true")
    metrics = Metrics()
    group = f"tidegate-{environment(objects[('Deployment', 'stream-flights')])['TIDEGATE_STREAM_INPUT']}"
    metrics.watch(lambda: Reading(group=group, topic="t", tally=Tally(), lags={0: PartitionLag(1, 2.0)}))
    selector = re.fullmatch(r"max\((\w+\{[^}]*)\}\)", seconds["metadata"]["query"])
    assert selector is not None
    assert f"\n{selector[1]}," in exposition(metrics.collect()).decode()


def test_prometheus_scrapes_the_port_of_stream_workers(build: Build) -> None:
    objects = build("service-monitor", "network-policy")
    monitor, worker = objects[("PodMonitor", "tidegate-streams")]["spec"], objects[("Deployment", "stream-flights")]
    assert monitor["selector"]["matchLabels"].items() <= worker["spec"]["template"]["metadata"]["labels"].items()
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert endpoint["path"] == "/metrics"
    (port,) = [port["containerPort"] for port in container(worker)["ports"] if port["name"] == endpoint["port"]]
    policy = objects[("NetworkPolicy", "tidegate-streams")]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= worker["spec"]["template"]["metadata"]["labels"].items()
    (rule,) = policy["ingress"]
    assert [one["port"] for one in rule["ports"]] == [port]
    assert "monitoring" in str(rule["from"])


def test_probes_ask_what_a_worker_serves(build: Build) -> None:
    probes = [container(build()[("Deployment", "stream-flights")])[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")]
    health = Health()
    health.unready = "the worker is starting."
    assert [health.answer(path)[0] for path in probes] == [200, 503]


def test_prometheus_scrapes_pods_without_starting_one(build: Build) -> None:
    monitors = build("service-monitor")
    functions = monitors[("PodMonitor", "tidegate-functions")]["spec"]
    ((expression,),) = [functions["selector"]["matchExpressions"]]
    for name in ("flights", "router"):
        labels = build()[("Service", name)]["spec"]["template"]["metadata"]["labels"]
        assert functions["selector"]["matchLabels"].items() <= labels.items()
        assert (expression["operator"], labels[expression["key"]] in expression["values"]) == ("In", True)
    assert functions["podMetricsEndpoints"][0]["path"] == "/metrics"
    assert ("ServiceMonitor", "tidegate-requests") in monitors


def test_disruption_budget_allows_a_single_replica_to_move(build: Build) -> None:
    budgets = [item for (kind, _), item in build("pod-disruption-budget").items() if kind == "PodDisruptionBudget"]
    assert len(budgets) == 3
    assert all("minAvailable" not in budget["spec"] and budget["spec"]["maxUnavailable"] == 1 for budget in budgets)


def policies(objects: Objects) -> dict[str, Object]:
    return {name: item["spec"] for (kind, name), item in objects.items() if kind == "NetworkPolicy"}


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector selects the labels; only the operators of these manifests are implemented."""
    chosen = [
        labels.get(rule["key"]) in rule["values"] if rule["operator"] == "In" else rule["key"] in labels
        for rule in selector.get("matchExpressions", ())
    ]
    return all(chosen) and selector.get("matchLabels", {}).items() <= labels.items()


def pod_labels(objects: Objects) -> dict[str, dict[str, str]]:
    """The labels of pods by workload; Knative adds the name of the Service."""
    found = {}
    for (kind, name), item in objects.items():
        spec = item["spec"]["job"]["spec"] if kind == "JobSink" else item.get("spec", {})
        if "containers" in spec.get("template", {}).get("spec", {}):
            knative = {"serving.knative.dev/service": name} if kind == "Service" else {}
            found[name] = {**spec["template"]["metadata"]["labels"], **knative}
    return found


def may_call(objects: Objects, name: str) -> set[Any]:
    """The ports that policies let the pods of a workload connect to, with the namespaces there or `anywhere`."""
    applying = [spec for spec in policies(objects).values() if selects(spec["podSelector"], pod_labels(objects)[name])]
    assert any("Egress" in spec["policyTypes"] for spec in applying), f"{name} may connect to everything"
    found = set()
    for rule in (rule for spec in applying for rule in spec.get("egress", ())):
        places = [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in rule.get("to", ())] or ["anywhere"]
        found |= {(place, port["port"]) for place in places for port in rule["ports"]}
    return found


def test_network_policies_allow_named_callers_and_ports_only(build: Build) -> None:
    objects = build("network-policy")
    for rule in (rule for spec in policies(objects).values() for rule in spec.get("ingress", ())):
        assert rule["ports"]
        assert all(peer["podSelector"]["matchLabels"] and peer["namespaceSelector"]["matchLabels"] for peer in rule["from"])
    called = policies(objects)["tidegate-functions"]["ingress"]
    assert [port["port"] for rule in called for port in rule["ports"]] == [8012, 8013, 8112, 9090, 8080, 9091]
    assert "ingress" not in policies(objects)["tidegate-workers"]
    assert "Ingress" in policies(objects)["tidegate-workers"]["policyTypes"]


def test_egress_is_limited_to_what_a_pod_needs(build: Build) -> None:
    objects = build("network-policy")
    dns, gateway = {("kube-system", 53)}, ("kourier-system", 8081)
    assert may_call(objects, "flights") == dns
    router, worker, job = (may_call(objects, name) for name in ("router", "stream-flights", "batch"))
    assert all(dns | {gateway} <= found for found in (router, worker, job))
    assert {place for place in router if place[0] == "anywhere"} == {("anywhere", 443), ("anywhere", 6443)}
    assert {place for place in worker if place[0] == "anywhere"} == {("anywhere", 9092)}
    assert not [place for place in job if place[0] == "anywhere"]


def test_egress_allows_fetching_an_artifact(build: Build) -> None:
    objects = build("network-policy", "object-storage", values=ARTIFACTS, files=["flights-card"])
    assert may_call(objects, "flights") == {("kube-system", 53), ("anywhere", 443)}


def test_event_policy_allows_the_source_to_start_jobs(build: Build) -> None:
    objects = build("nightly-batch", "event-policy")
    spec = objects[("EventPolicy", "batch")]["spec"]
    for ref in (entry["ref"] for entry in (*spec["to"], *spec["from"])):
        assert objects[(ref["kind"], ref["name"])]["apiVersion"] == ref["apiVersion"]
    assert [entry["ref"]["kind"] for entry in spec["to"]] == ["JobSink"]
    assert [entry["ref"]["kind"] for entry in spec["from"]] == ["PingSource"]


def test_worker_connects_to_the_single_kafka_node(build: Build) -> None:
    objects = build("kafka-single-node")
    broker = container(objects[("Deployment", "kafka")])
    variables = environment(objects[("Deployment", "kafka")])
    service = objects[("Service", "kafka")]["spec"]
    port = service["ports"][0]["port"]
    assert environment(objects[("Deployment", "stream-flights")])["TIDEGATE_BOOTSTRAP_SERVERS"] == f"kafka:{port}"
    assert f"PLAINTEXT://kafka.$(NAMESPACE).svc:{port}" in variables["KAFKA_ADVERTISED_LISTENERS"]
    # A broker and its controller, by Apache Kafka's own image of one version.
    assert variables["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert re.fullmatch(r"apache/kafka:\d+\.\d+\.\d+", broker["image"])
    labels = objects[("Deployment", "kafka")]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()


def test_the_router_reports_outcomes_to_the_broker(build: Build) -> None:
    before, after = build("kafka-broker"), build("kafka-broker", "router-outcomes")
    assert changed(before, after) == {("SinkBinding", "router-outcomes")}
    binding = after[("SinkBinding", "router-outcomes")]["spec"]
    for ref in (binding["subject"], binding["sink"]["ref"]):
        assert after[(ref["kind"], ref["name"])]["apiVersion"] == ref["apiVersion"]


def test_stream_worker_can_be_removed(build: Build) -> None:
    before, after = build(), build("without-stream")
    worker = "stream-flights"
    assert before.keys() - after.keys() == {("Deployment", worker), ("SinkBinding", worker), ("ServiceAccount", worker)}
    assert all(before[key] == item for key, item in after.items())


def test_writable_tmp_mounts_a_bounded_volume(build: Build) -> None:
    before, after = build(), build("writable-tmp")
    assert changed(before, after) == models(before) | {("Service", "router")}
    for key in changed(before, after):
        assert [mount["mountPath"] for mount in container(after[key])["volumeMounts"]] == ["/tmp"]  # noqa: S108
        assert after[key]["spec"]["template"]["spec"]["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]


@pytest.mark.parametrize("component", COMPONENTS)
def test_pods_of_a_component_are_restricted_and_bounded(build: Build, component: str) -> None:
    given = {"canary": CANARY, "object-storage": ARTIFACTS, "kafka-address": {"kafka": {"servers": BROKERS}}}
    files = ["flights-card"] if component == "object-storage" else []
    objects = build(component, values=given.get(component), files=files)
    for item in objects.values():
        spec = item["spec"]["job"]["spec"] if item["kind"] == "JobSink" else item.get("spec", {})
        pod = spec.get("template", {}).get("spec", {})
        for one in pod.get("containers", ()):
            context = one["securityContext"]
            assert (context["runAsNonRoot"], context["allowPrivilegeEscalation"]) == (True, False)
            assert context["runAsGroup"] > 0
            assert "memory" in one["resources"]["limits"]
        assert all(volume["emptyDir"]["sizeLimit"] for volume in pod.get("volumes", ()) if "emptyDir" in volume)


def test_nightly_event_starts_a_job_with_the_data_volume(build: Build) -> None:
    objects = build("nightly-batch")
    source, sink = objects[("PingSource", "nightly-batch")]["spec"], objects[("JobSink", "batch")]
    assert (source["sink"]["ref"]["kind"], source["sink"]["ref"]["name"]) == ("JobSink", "batch")
    mounted = [mount["mountPath"] for mount in container(sink)["volumeMounts"]]
    assert "/data" in mounted
    assert '"input": "/data/' in source["data"]


def test_sharded_batch_is_an_indexed_job_whose_pods_know_their_number(build: Build) -> None:
    assert changed(build(), build("sharded-batch")) == {("JobSink", "batch")}
    sink = build("nightly-batch", "sharded-batch")[("JobSink", "batch")]
    job = sink["spec"]["job"]["spec"]
    assert job["completionMode"] == "Indexed"
    assert str(job["completions"]) == str(job["parallelism"]) == environment(sink)["TIDEGATE_BATCH_SHARDS"]
    assert job["backoffLimit"] == 3 * job["completions"]


def test_object_storage_sets_the_artifact_location_and_card(build: Build) -> None:
    objects = build("object-storage", values=ARTIFACTS, files=["flights-card"])
    service = objects[("Service", "flights")]
    assert environment(service)["TIDEGATE_ARTIFACT_URIS"] == "https://models.example.com/flights"
    assert environment(service)["TIDEGATE_MODEL"] == "/etc/model"
    (card,) = [volume["configMap"]["name"] for volume in service["spec"]["template"]["spec"]["volumes"] if "configMap" in volume]
    # Its name has a hash of the card, so that another card makes another revision.
    assert card.startswith("flights-card-")
    assert ("ConfigMap", card) in objects
