"""The chart renders the same objects as kustomize, and rejects an invalid value in one sentence."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]
Build = Callable[..., Objects]
Helm = Callable[..., "subprocess.CompletedProcess[str]"]
Render = Callable[..., Objects]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "manifests/chart"
VALUES: Object = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: Object = json.loads((CHART / "values.schema.json").read_text())
BROKERS = "one.example.com:9093,two.example.com:9093"
KEPT = "helm.sh/resource-policy"


@dataclass(frozen=True)
class Same:
    """The inputs of kustomize and of the chart for the same objects."""

    values: Object
    components: tuple[str, ...] = ()
    data: dict[str, dict[str, str]] = field(default_factory=dict)
    files: tuple[str, ...] = ()


def _of_flights(**values: Any) -> Object:
    return {"models": {"flights": values}}


def _of_model(name: str) -> Object:
    return {"models": {name: {}}}


def _enabled(*parts: str) -> Object:
    return {part: {"enabled": True} for part in parts}


STORAGE = _of_flights(objectStorage={"enabled": True, "prefixes": "https://models.example.com/flights", "card": "name: flights\n"})
CANARY = _of_flights(
    canary={"enabled": True, "stable": "flights-00001", "revision": "flights-v2", "model": "functions/flights/models/v2", "percent": 5},
)
STREAMS = {
    "manyStreams": {"enabled": True, "streams": "streams:\n  - {input: cargo.departed, output: cargo.scored, sink: /models/flights}\n"}
}
COMPONENTS = {
    "canary": Same(
        CANARY,
        ("canary",),
        data={
            "canary": {
                "stable": "flights-00001",
                "canary": "flights-v2",
                "model": "functions/flights/models/v2",
                "percent": "5",
                "rest": "95",
            }
        },
    ),
    "batch-events": Same(_enabled("kafkaBroker", "batchEvents"), ("kafka-broker", "batch-events")),
    "event-policy": Same(_enabled("nightlyBatch", "eventPolicy"), ("nightly-batch", "event-policy")),
    "kafka-address": Same(
        {**_enabled("kafkaBroker", "kafkaSource", "streamKeda"), "kafka": {"servers": BROKERS}},
        ("kafka-broker", "kafka-source", "stream-keda", "kafka-address"),
        data={"kafka": {"servers": BROKERS}},
    ),
    "kafka-broker": Same(_enabled("kafkaBroker"), ("kafka-broker",)),
    "kafka-single-node": Same({**_enabled("kafkaSingleNode"), "kafka": {"servers": "kafka:9092"}}, ("kafka-single-node",)),
    "kafka-sasl-tls": Same(_enabled("kafkaSaslTls"), ("kafka-sasl-tls",)),
    "kafka-source": Same(_enabled("kafkaBroker", "kafkaSource"), ("kafka-broker", "kafka-source")),
    "many-streams": Same(STREAMS, ("many-streams",), files=("streams",)),
    "network-policy": Same(_enabled("networkPolicy"), ("network-policy",)),
    "nightly-batch": Same(_enabled("nightlyBatch"), ("nightly-batch",)),
    "object-storage": Same(
        STORAGE,
        ("object-storage",),
        data={"artifacts": {"prefixes": "https://models.example.com/flights", "model": "/etc/model"}},
        files=("flights-card",),
    ),
    "pod-disruption-budget": Same(_enabled("podDisruptionBudget"), ("pod-disruption-budget",)),
    "private-service": Same(_enabled("privateService"), ("private-service",)),
    "rollout": Same(_enabled("rollout"), ("rollout",)),
    "router-outcomes": Same(_enabled("routerOutcomes"), ("router-outcomes",)),
    "service-monitor": Same(_enabled("serviceMonitor"), ("service-monitor",)),
    "sharded-batch": Same(_enabled("shardedBatch"), ("sharded-batch",)),
    "stream-keda": Same(_enabled("streamKeda"), ("stream-keda",)),
    "stream-keda-seconds": Same(_enabled("streamKeda", "streamKedaSeconds"), ("stream-keda", "stream-keda-seconds")),
    "warm-replica": Same(_enabled("warmReplica"), ("warm-replica",)),
    "without-stream": Same({"streams": {"flights": None}}, ("without-stream",)),
    "writable-tmp": Same(_enabled("writableTmp"), ("writable-tmp",)),
}
# The address comes last, so that it sees what the others have added, and another worker first, so that they see it.
ORDER = sorted(
    COMPONENTS.keys() - {"without-stream"}, key=lambda name: (name == "kafka-address", name == "canary", name != "many-streams", name)
)
ALL = Same(
    {
        **_enabled("kafkaBroker", "kafkaSource", "kafkaSaslTls", "streamKeda", "streamKedaSeconds", "networkPolicy"),
        **_enabled("nightlyBatch", "shardedBatch", "batchEvents"),
        **_enabled(
            "podDisruptionBudget", "privateService", "serviceMonitor", "warmReplica", "writableTmp", "eventPolicy", "kafkaSingleNode"
        ),
        **_enabled("rollout", "routerOutcomes"),
        **_of_flights(**CANARY["models"]["flights"], **STORAGE["models"]["flights"]),
        **STREAMS,
        "kafka": {"servers": BROKERS},
    },
    tuple(ORDER),
    data={name: data for same in COMPONENTS.values() for name, data in same.data.items()},
    files=("flights-card", "streams"),
)


@pytest.fixture
def helm() -> Helm:
    """Runs helm; the test asserts how it ends."""
    if shutil.which("helm") is None:
        pytest.skip("helm is not on the PATH: install it.")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)

    return call


@pytest.fixture
def template(helm: Helm, tmp_path: Path) -> Helm:
    """`helm template` with values, and with files of values before them."""

    def call(values: Object | None = None, *files: str, namespace: str = "default") -> subprocess.CompletedProcess[str]:
        own = tmp_path / "values.yaml"
        own.write_text(yaml.safe_dump(values or {}))
        paths = [*(str(CHART / name) for name in files), str(own)]
        return helm("template", "tidegate", str(CHART), "--namespace", namespace, *(word for path in paths for word in ("--values", path)))

    return call


@pytest.fixture
def render(template: Helm) -> Render:
    """Objects by kind and name, as the fixture `build` has them."""

    def call(values: Object | None = None, *files: str, namespace: str = "default") -> Objects:
        done = template(values, *files, namespace=namespace)
        assert done.returncode == 0, done.stderr
        objects = [item for item in yaml.safe_load_all(done.stdout) if item]
        named = {(item["kind"], item["metadata"]["name"]): item for item in objects}
        assert len(named) == len(objects)
        return named

    return call


def placed(objects: Objects) -> Objects:
    """Without the namespace and its object: kustomize writes it into each object, Helm sends the objects there."""
    objects = copy.deepcopy({key: item for key, item in objects.items() if key[0] != "Namespace"})
    for item in objects.values():
        item["metadata"].pop("namespace", None)
    return objects


def kept_cards_aside(objects: Objects) -> Objects:
    """Without the annotation with which Helm keeps a card; kubectl removes nothing by itself."""
    for (kind, _), item in objects.items():
        if kind == "ConfigMap" and "annotations" in item["metadata"]:
            assert item["metadata"].pop("annotations") == {KEPT: "keep"}
    return objects


def assert_same(rendered: Objects, built: Objects) -> None:
    assert rendered.keys() == built.keys(), (
        "the chart and the base have other objects: a model function is an entry of `models` in values.yaml"
    )
    for key, item in built.items():
        assert rendered[key] == item, key


def test_default_values_render_the_base(build: Build, render: Render) -> None:
    assert_same(render(), build())


@pytest.mark.parametrize("component", COMPONENTS)
def test_value_renders_its_component(build: Build, render: Render, component: str) -> None:
    same = COMPONENTS[component]
    assert_same(kept_cards_aside(render(same.values)), build(*same.components, values=same.data, files=same.files))


def test_all_values_render_all_components(build: Build, render: Render) -> None:
    assert_same(kept_cards_aside(render(ALL.values)), build(*ALL.components, values=ALL.data, files=ALL.files))


def test_every_component_has_a_value() -> None:
    assert COMPONENTS.keys() == {path.name for path in (ROOT / "manifests/components").iterdir()}
    inside = {"canary": "canary:", "object-storage": "objectStorage:", "kafka-address": "servers:", "without-stream": "null removes one"}
    text = (CHART / "values.yaml").read_text()
    for component in COMPONENTS:
        value = re.sub("-(.)", lambda letter: letter[1].upper(), component)
        assert inside.get(component, f"\n{value}:\n  enabled: false") in text


@pytest.mark.parametrize(("overlay", "namespace"), [("production", "tidegate"), ("local", "default")])
def test_values_file_renders_its_overlay(build: Build, render: Render, overlay: str, namespace: str) -> None:
    rendered, built = render({}, f"values-{overlay}.yaml", namespace=namespace), build(base=f"overlays/{overlay}")
    for item in built.values():
        # Says which overlay it was; Helm knows its own releases.
        assert item["metadata"]["labels"].pop("tidegate.dev/overlay") == overlay
    assert_same(placed(rendered), placed(built))


def test_entry_adds_a_model_function(render: Render) -> None:
    before, after = render(), render({"models": {"prices": {}}})
    assert after.keys() - before.keys() == {("ServiceAccount", "prices"), ("Service", "prices")}
    assert all(after[key] == item for key, item in before.items())
    as_flights = json.dumps(before[("Service", "flights")]).replace("flights", "prices")
    assert after[("Service", "prices")] == json.loads(as_flights)


def test_null_entry_removes_its_objects(render: Render) -> None:
    objects = render({"models": {"flights": None, "prices": {}}, "streams": {"flights": None}})
    assert not [name for _, name in objects if "flights" in name]


def test_values_of_an_entry_override_the_defaults(render: Render) -> None:
    scaling = {"functions": {"scaling": {"minScale": 2}, "env": {"A": "1"}}, **_of_flights(scaling={"minScale": 0}, env={"B": "2"})}
    objects = render(scaling)
    minimum = {name: objects[("Service", name)]["spec"]["template"]["metadata"]["annotations"] for name in ("flights", "router")}
    assert {name: item["autoscaling.knative.dev/min-scale"] for name, item in minimum.items()} == {"flights": "0", "router": "2"}
    (container,) = objects[("Service", "flights")]["spec"]["template"]["spec"]["containers"]
    assert [item["name"] for item in container["env"]][-2:] == ["A", "B"]


def test_image_has_registry_and_tag(render: Render) -> None:
    text = json.dumps(list(render({"registry": "registry.example.com/team/", "tag": "7"}).values()))
    images = set(re.findall(r'"image": "([^"]*)"', text))
    assert {f"registry.example.com/team/{name}:7" for name in ("flights", "router", "stream", "batch")} <= images
    assert all(re.fullmatch(r"registry\.example\.com/team/\w+:7", image) for image in images)


def test_environment_variable_is_read_from_a_secret(render: Render) -> None:
    secret = {"secretKeyRef": {"name": "keys", "key": "token"}}
    objects = render({"stream": {"env": {"TOKEN": secret}}})
    (container,) = objects[("Deployment", "stream-flights")]["spec"]["template"]["spec"]["containers"]
    assert container["env"][-1] == {"name": "TOKEN", "valueFrom": secret}


def test_keda_reads_the_lag_of_the_worker_group(render: Render) -> None:
    streams = {"flights": {"env": {"TIDEGATE_STREAM_GROUP": "mine"}}}
    (trigger,) = render({**_enabled("streamKeda"), "streams": streams})[("ScaledObject", "stream-flights")]["spec"]["triggers"]
    assert trigger["metadata"]["consumerGroup"] == "mine"


def test_keda_asks_prometheus_for_the_lag_of_the_worker_group(render: Render) -> None:
    streams = {"flights": {"env": {"TIDEGATE_STREAM_GROUP": "mine"}}}
    values = {**_enabled("streamKeda"), "streams": streams, "streamKedaSeconds": {"enabled": True, "threshold": 7.5}}
    triggers = render(values)[("ScaledObject", "stream-flights")]["spec"]["triggers"]
    assert [trigger["type"] for trigger in triggers] == ["kafka", "prometheus"]
    assert 'consumergroup="mine"' in triggers[1]["metadata"]["query"]
    assert triggers[1]["metadata"]["threshold"] == "7.5"


def test_changed_card_keeps_the_former_config_map(render: Render) -> None:
    def cards(card: str) -> dict[str, Object]:
        values = _of_flights(objectStorage={"enabled": True, "prefixes": "https://models.example.com", "card": card})
        return {name: item for (kind, name), item in render(values).items() if kind == "ConfigMap"}

    first, second = cards("name: flights\n"), cards("name: delays\n")
    assert first.keys().isdisjoint(second)
    assert all(item["metadata"]["annotations"][KEPT] == "keep" for item in (*first.values(), *second.values()))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (_of_flights(scaling={"maxscale": 3}), "at '/models/flights/scaling': additional properties 'maxscale' not allowed"),
        (_of_flights(scaling={"maxScale": "many"}), "at '/models/flights/scaling/maxScale': got string, want integer"),
        (
            _of_flights(canary={"enabled": True, "revision": "v2"}),
            "at '/models/flights/canary': missing properties 'stable', 'model', 'percent'",
        ),
        ({"functions": {"timeoutSeconds": 700}}, "at '/functions/timeoutSeconds': maximum: got 700, want 600"),
        (_of_model("Prices"), "models.Prices is not a valid name of a Knative Service: use lowercase letters"),
        (_of_model("router"), "models.router has the name of another part of the chart"),
        ({"warmReplica": True}, "at '/warmReplica': got boolean, want object"),
        (
            _enabled("streamKedaSeconds"),
            "streamKedaSeconds adds a trigger to streamKeda, which is not enabled: set streamKeda.enabled=true as well.",
        ),
        ({"canary": {}}, "additional properties 'canary' not allowed"),
        ({"streams": {"flights": {"output": ""}}}, "streams.flights has neither output nor reply: set the topic for scores, or the URL"),
        ({"streams": {"flights": {"reply": "broker"}}}, "at '/streams/flights/reply': 'broker' does not match pattern"),
        ({"streams": {"flights": {"model": "prices"}}}, "streams.flights.model is prices, which is not in models: add it there"),
        (
            {"batch": {"activeDeadlineSeconds": 0}},
            "at '/batch/activeDeadlineSeconds': minimum: got 0, want 1",
        ),
        (
            {"networkPolicy": {"gateways": [{"namespace": "kong"}]}},
            "at '/networkPolicy/gateways/0': missing property 'labels'",
        ),
        ({"writableTmp": {"sizeLimit": "much"}}, "at '/writableTmp/sizeLimit': 'much' does not match pattern"),
        (_enabled("kafkaSource"), "kafkaSource feeds the Broker, which is not enabled: set kafkaBroker.enabled=true as well."),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_invalid_value_is_one_sentence(template: Helm, values: Object, words: str) -> None:
    done = template(values)
    assert done.returncode != 0
    (sentence,) = [line for line in done.stderr.splitlines() if words in line]
    assert sentence
    assert len([line for line in done.stderr.splitlines() if line.startswith("- at")]) <= 1


def test_policies_allow_another_gateway(render: Render) -> None:
    kong = {"namespace": "kong", "labels": {"app": "gateway"}}
    objects = render({"networkPolicy": {"enabled": True, "gateways": [kong]}})
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kong"}},
        "podSelector": {"matchLabels": {"app": "gateway"}},
    }
    assert peer in objects["NetworkPolicy", "tidegate-functions"]["spec"]["ingress"][0]["from"]
    for caller in ("tidegate-router", "tidegate-workers"):
        assert [peer] in [rule.get("to") for rule in objects["NetworkPolicy", caller]["spec"]["egress"]]


def test_size_limit_applies_to_the_volume(render: Render) -> None:
    storage = {"enabled": True, "prefixes": "https://models.example.com", "sizeLimit": "5Gi"}
    volumes = render(_of_flights(objectStorage=storage))["Service", "flights"]["spec"]["template"]["spec"]["volumes"]
    assert {"name": "artifacts", "emptyDir": {"sizeLimit": "5Gi"}} in volumes


def test_ambiguous_yaml_scalars_stay_strings(render: Render) -> None:
    stream = {"model": "flights", "input": "2024", "output": "null", "deadletter": "0x1F"}
    objects = render({"streams": {"flights": stream}, "kafka": {"servers": "[::1]:9092"}, **_enabled("streamKeda")})
    container = objects["Deployment", "stream-flights"]["spec"]["template"]["spec"]["containers"][0]
    environ = {variable["name"]: variable["value"] for variable in container["env"]}
    assert (environ["TIDEGATE_STREAM_INPUT"], environ["TIDEGATE_STREAM_OUTPUT"]) == ("2024", "null")
    assert (environ["TIDEGATE_STREAM_DEADLETTER"], environ["TIDEGATE_BOOTSTRAP_SERVERS"]) == ("0x1F", "[::1]:9092")
    trigger = objects["ScaledObject", "stream-flights"]["spec"]["triggers"][0]["metadata"]
    assert (trigger["topic"], trigger["bootstrapServers"]) == ("2024", "[::1]:9092")


@pytest.mark.parametrize("output", ["flights.scored", ""])
def test_scores_are_posted_to_a_broker(render: Render, output: str) -> None:
    url = "http://kafka-broker-ingress.knative-eventing.svc.cluster.local/default/tidegate"
    objects = render({"streams": {"flights": {"output": output, "reply": url}}})
    container = objects["Deployment", "stream-flights"]["spec"]["template"]["spec"]["containers"][0]
    environ = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert environ["TIDEGATE_STREAM_REPLY_SINK"] == url
    assert environ.get("TIDEGATE_STREAM_OUTPUT") == (output or None)


def test_topic_name_is_converted_to_an_object_name(render: Render) -> None:
    objects = render({"kafkaBroker": {"enabled": True, "scored": "Flights_Scored.v1"}})
    assert objects["KafkaSink", "flights-scored-v1"]["spec"]["topic"] == "Flights_Scored.v1"


def _paths(values: Object, schema: Object) -> Iterator[tuple[str, bool]]:
    """Each value with whether the schema names it; the entries of a map with free names share one schema."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    for name, value in values.items():
        inner = schema.get("properties", {}).get(name, schema.get("additionalProperties", False))
        yield name, bool(inner)
        if isinstance(value, dict) and isinstance(inner, dict):
            yield from _paths(value, inner)


def test_schema_and_values_have_the_same_names() -> None:
    assert [name for name, named in _paths(VALUES, SCHEMA) if not named] == []
    # Helm gives `global` to a chart that is part of another one.
    assert SCHEMA["properties"].keys() - VALUES.keys() == {"global"}


def test_every_value_has_a_comment() -> None:
    """Each key has a comment above it, except models, and below keys whose contents Kubernetes defines."""
    plain = {"enabled", "scaling", "resources", "flights", "router", "batch", "kafka"}
    above = section = ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        key = re.match(r"( *)([\w-]+):", line)
        if key and not key[1]:
            section = key[2]
        if key and len(key[1]) <= 2 and section != "models" and key[2] not in plain:
            assert above.lstrip().startswith("#"), f"{key[2]} has no comment"
        above = line


def test_chart_has_the_project_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_helm_lint_passes(helm: Helm) -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


def test_relative_links_exist() -> None:
    page = CHART / "README.md"
    links = re.findall(r"\]\(([^)#:]*)\)", page.read_text())
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []
