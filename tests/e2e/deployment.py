"""Deployment of the project's manifests into a namespace of the tests, by a generated overlay."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.e2e.calls import Answer, Site
from tests.e2e.cluster import PART, Cluster, Object

MANIFESTS = Path(__file__).parents[2] / "manifests"
# Annotations of a template by which a function always has one replica.
ONE_REPLICA = {f"autoscaling.knative.dev/{bound}-scale": "1" for bound in ("min", "max")}


@dataclass(frozen=True, slots=True)
class Kafka:
    """The cluster's Kafka, and the topics of this run."""

    servers: str
    input: str
    output: str
    deadletter: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The content of an overlay.

    Without `kafka` there is no stream worker; with `broker` there is the component kafka-broker. The batch job has
    `files` in /data.
    """

    namespace: str
    images: Mapping[str, str]
    kafka: Kafka | None
    broker: bool
    files: Mapping[str, bytes]


def write(folder: Path, plan: Plan, components: Mapping[str, Mapping[str, str]]) -> None:
    """Write an overlay into a folder. `components` are the values that the overlay gives to each component, by name."""
    folder.mkdir(exist_ok=True)
    names = [*components, *(["kafka-broker"] if plan.broker else []), *(["kafka-address"] if plan.kafka else [])]
    values = {name: dict(given) for name, given in components.items()}
    if plan.kafka:
        values["kafka"] = {"servers": plan.kafka.servers}
        values["topics"] = {"input": plan.kafka.input, "output": plan.kafka.output, "deadletter": plan.kafka.deadletter}
    for name, content in plan.files.items():
        (folder / name).write_bytes(content)
    (folder / "values.yaml").write_text(yaml.safe_dump_all(_local_config(name, data) for name, data in values.items()))
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": plan.namespace,
        # kustomize does not accept absolute paths.
        "resources": [_relative(MANIFESTS / "overlays/local", folder), "values.yaml"],
        "components": [_relative(MANIFESTS / "components" / name, folder) for name in names],
        "images": [_image(name, reference) for name, reference in plan.images.items()],
        "configMapGenerator": [{"name": "batch-data", "files": list(plan.files), "options": {"disableNameSuffixHash": True}}],
        "patches": [_BATCH_DATA] if plan.kafka else [_BATCH_DATA, *_NO_STREAM],
        "replacements": _topics(plan.broker) if plan.kafka else [],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))


class Deployment:
    """The deployed manifests. `ingress` is `host:port`."""

    def __init__(self, cluster: Cluster, ingress: str, folder: Path, plan: Plan) -> None:
        self.cluster = cluster
        self.kafka = plan.kafka
        self._ingress = ingress
        self._folder = folder
        self._plan = plan

    def apply(self, **components: Mapping[str, str]) -> None:
        """Apply the manifests, with additional components, and wait until everything is ready."""
        write(self._folder, self._plan, components)
        self.cluster.kubectl("apply", "-k", str(self._folder))
        for name in ("router", "flights"):
            self.cluster.ready(name, 180)
        for kind in self._waited_for():
            self.cluster.wait_all(kind, PART, "condition=Ready", 180)
        if self._plan.kafka:
            self.cluster.wait("deployment/stream-flights", "condition=Available", 180)

    def _waited_for(self) -> Sequence[str]:
        kinds = ["jobsinks.sinks.knative.dev"]
        if self._plan.kafka:
            kinds.append("sinkbindings.sources.knative.dev")
        if self._plan.broker:
            kinds += [f"{kind}.eventing.knative.dev" for kind in ("brokers", "triggers", "kafkasinks")]
        return kinds

    def site(self, name: str, tag: str | None = None) -> Site:
        """A Knative Service by its own address, or one of its tags."""
        service = self.cluster.get(f"ksvc/{name}")
        url = service["status"]["url"] if tag is None else next(t["url"] for t in service["status"]["traffic"] if t.get("tag") == tag)
        return Site(self._ingress, urlsplit(url).netloc)

    def image(self, name: str) -> str:
        return self._plan.images[name]

    @property
    def router(self) -> Site:
        return self.site("router")

    @contextmanager
    def inside(self, address: str) -> Iterator[Callable[..., Answer]]:
        """A sender of events to an address inside the cluster, such as a Broker's."""
        parts = urlsplit(address)
        service, namespace = (parts.hostname or "").split(".")[:2]
        with self.cluster.forwarded(namespace, service, parts.port or 80) as forwarded:
            site = Site(forwarded, parts.netloc)
            yield lambda *events: site.send(parts.path, *events)

    @contextmanager
    def another(self, name: str, **spec: Any) -> Iterator[str]:
        """A Knative Service like `flights`, with changes to its template: spec, `container` and `annotations`.

        The router does not know it. Yields its name.
        """
        self.cluster.apply(self.like_flights(name, **spec))
        try:
            yield name
        finally:
            self.cluster.kubectl("delete", "ksvc", name, "--wait")

    def like_flights(
        self, name: str, *, container: Mapping[str, Any] | None = None, annotations: Mapping[str, str] | None = None, **spec: Any
    ) -> Object:
        items = yaml.safe_load_all(self.cluster.kubectl("kustomize", str(self._folder)))
        service: Object = next(item for item in items if item["metadata"]["name"] == "flights" and "serving" in item["apiVersion"])
        template = service["spec"]["template"]
        for labels in (service["metadata"]["labels"], template["metadata"]["labels"]):
            labels.update({"app.kubernetes.io/name": name, "app.kubernetes.io/component": "e2e"})
        service["metadata"]["name"] = name
        template["metadata"]["annotations"].update(annotations or {})
        template["spec"].update(spec)
        template["spec"]["containers"][0].update(container or {})
        return service


def images_of(path: Path) -> dict[str, str]:
    """Image references by name, from the output file of `skaffold build --file-output`."""
    return {build["imageName"]: build["tag"] for build in json.loads(path.read_text())["builds"]}


def _image(name: str, reference: str) -> dict[str, str]:
    tagged, _, digest = reference.partition("@")
    repository, colon, tag = tagged.rpartition(":")
    if "/" in tag or not colon:  # the colon belongs to the registry's port
        repository, tag = tagged, "latest"
    return {"name": name, "newName": repository, **({"digest": digest} if digest else {"newTag": tag})}


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())


def _local_config(name: str, data: Mapping[str, str]) -> Object:
    """A ConfigMap for kustomize only, which is not applied."""
    annotations = {"config.kubernetes.io/local-config": "true"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "annotations": annotations}, "data": dict(data)}


def _topics(broker: bool) -> list[Object]:
    """Replacements of all topics in the manifests by those of this run."""
    worker = {"kind": "Deployment", "name": "stream-flights"}
    sinks = {"output": "flights-scored", "deadletter": "flights-deadletter"} if broker else {}
    replacements = []
    for key in ("input", "output", "deadletter"):
        path = f"spec.template.spec.containers.*.env.[name=TIDEGATE_STREAM_{key.upper()}].value"
        targets: list[Object] = [{"select": worker, "fieldPaths": [path]}]
        if key in sinks:
            targets.append({"select": {"kind": "KafkaSink", "name": sinks[key]}, "fieldPaths": ["spec.topic"]})
        replacements.append({"source": {"kind": "ConfigMap", "name": "topics", "fieldPath": f"data.{key}"}, "targets": targets})
    return replacements


_BATCH_DATA = {
    "target": {"group": "sinks.knative.dev", "kind": "JobSink", "name": "batch"},
    "patch": yaml.safe_dump(
        [
            {
                "op": "add",
                "path": "/spec/job/spec/template/spec/volumes/-",
                "value": {"name": "data", "configMap": {"name": "batch-data"}},
            },
            {
                "op": "add",
                "path": "/spec/job/spec/template/spec/containers/0/volumeMounts/-",
                "value": {"name": "data", "mountPath": "/data"},
            },
        ]
    ),
}
_NO_STREAM = [
    {
        "target": {"kind": kind, "name": "stream-flights"},
        "patch": yaml.safe_dump({"$patch": "delete", "apiVersion": version, "kind": kind, "metadata": {"name": "stream-flights"}}),
    }
    for version, kind in (("apps/v1", "Deployment"), ("sources.knative.dev/v1", "SinkBinding"))
]
