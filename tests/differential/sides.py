"""The two sides on which the scenario runs: `tidegate up` as a process, and a cluster with Knative."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubernetes import client as kubernetes
from kubernetes import config

from eventing.kafka.port import Broker
from tests.e2e.cluster import PART, Cluster
from tests.e2e.deployment import images_of
from tidegate import kustomize
from tidegate.commands.options import broker_of
from tidegate.commands.status import read_status
from tidegate.local import state

Object = dict[str, Any]
Api = Any
Kubectl = Callable[..., str]
# This has no types.
CONNECT: Callable[..., Any] = config.new_client_from_config

ROOT = Path(__file__).parents[2]
GROUPS = {
    "services": ("serving.knative.dev", "v1"),
    "revisions": ("serving.knative.dev", "v1"),
    "brokers": ("eventing.knative.dev", "v1"),
    "triggers": ("eventing.knative.dev", "v1"),
    "kafkasinks": ("eventing.knative.dev", "v1alpha1"),
    "kafkasources": ("sources.knative.dev", "v1"),
    "jobsinks": ("sinks.knative.dev", "v1alpha1"),
    "pingsources": ("sources.knative.dev", "v1"),
    "sinkbindings": ("sources.knative.dev", "v1"),
    "sequences": ("flows.knative.dev", "v1"),
    "parallels": ("flows.knative.dev", "v1"),
    "jobs": ("batch", "v1"),
}
"""Group and version of each resource of the scenarios."""
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
# Enough for a busy machine.
_START_SECONDS = 60.0

# The services of the scenario only: a stream worker would join the consumer group of another run of the example.
_KUSTOMIZATION = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {namespace}
resources: [{overlay}]
images: {images}
patches:
  - target: {{labelSelector: "app.kubernetes.io/component in (stream, batch)"}}
    patch: |-
      $patch: delete
      apiVersion: ignored
      kind: ignored
      metadata: {{name: ignored}}
"""


@dataclass(frozen=True, slots=True)
class Side:
    """A side.

    `domain` follows a service's name in its host; `images` replace the images by name; `replicas` counts those of a
    service. `connect` returns host and port for the URL of an object's address, which may be one inside the cluster.
    `kafka` is None for a cluster without E2E_KAFKA.
    """

    name: str
    namespace: str
    ingress: tuple[str, int]
    domain: str
    images: Mapping[str, str]
    api: Api
    replicas: Callable[[str], int]
    connect: Callable[[str], tuple[str, int]]
    kafka: Broker | None

    def get(self, resource: str, name: str) -> Object:
        """An object. Raises ApiException."""
        found: Object = self.api.get_namespaced_custom_object(*GROUPS[resource], self.namespace, resource, name)
        return found

    def columns(self, resource: str) -> list[str]:
        """The columns that `kubectl get` shows; in brackets those of `-o wide`."""
        group, version = GROUPS[resource]
        client = self.api.api_client
        path = f"/apis/{group}/{version}/namespaces/{self.namespace}/{resource}"
        wanted = client.param_serialize("GET", path, header_params={"Accept": _TABLE}, auth_settings=["BearerToken"])
        definitions = json.loads(client.call_api(*wanted).read())["columnDefinitions"]
        return [f"({found['name']})" if found["priority"] else found["name"] for found in definitions]

    def create(self, item: Object) -> None:
        """Create an object. Raises ApiException."""
        resource = f"{item['kind'].lower()}s"
        where = (*GROUPS[resource], self.namespace, resource)
        self.api.create_namespaced_custom_object(*where, item, field_validation="Strict")


@contextmanager
def local(folder: Path, namespace: str) -> Iterator[Side]:
    """`tidegate up` as a process, on free ports."""
    (folder / "manifests.yaml").write_text(_kustomized(folder, namespace, {}))
    command = [sys.executable, "-m", "tidegate", "up", str(folder / "manifests.yaml"), "--port", "0", "--state-dir", str(folder / "state")]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stderr=log)
    try:
        running = _announced(folder, process)
        with CONNECT(running.kubeconfig) as connection:
            gateway = _endpoint(running.gateway.removeprefix("http://"))
            api = kubernetes.CustomObjectsApi(connection)
            yield Side(
                name="local",
                namespace=namespace,
                ingress=gateway,
                domain=_domain(api, namespace),
                images={},
                api=api,
                replicas=lambda name: _processes(running, name),
                connect=lambda _: gateway,
                kafka=broker_of(running),
            )
    finally:
        process.terminate()
        process.wait(_START_SECONDS)


@contextmanager
def cluster(folder: Path, namespace: str, kubectl: Kubectl) -> Iterator[Side]:
    """A new namespace on the cluster of KUBECONFIG, with the images and the ingress of tests/e2e."""
    tags = images_of(Path(os.environ["E2E_IMAGES"]))
    here = Cluster(kubectl, namespace)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl(
        "create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    )
    try:
        here.kubectl("apply", "-f", "-", stdin=_kustomized(folder, namespace, tags))
        here.wait_all("ksvc", PART, "condition=Ready", 180)
        with ExitStack() as stack:
            ingress = os.environ.get("E2E_INGRESS") or stack.enter_context(here.forwarded("kourier-system", "kourier"))
            api = kubernetes.CustomObjectsApi(stack.enter_context(CONNECT(os.environ["KUBECONFIG"])))
            servers = os.environ.get("E2E_KAFKA")
            yield Side(
                name="cluster",
                namespace=namespace,
                ingress=_endpoint(ingress),
                domain=_domain(api, namespace),
                images=tags,
                api=api,
                replicas=lambda name: len(here.pods(name)),
                connect=cache(lambda url: _endpoint(stack.enter_context(here.forwarded(*_service_at(url))))),
                kafka=Broker(servers) if servers else None,
            )
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")


def _endpoint(address: str) -> tuple[str, int]:
    host, _, port = address.partition(":")
    return host, int(port)


def _service_at(url: str) -> tuple[str, str]:
    """Namespace and name of the Kubernetes Service of a URL inside a cluster."""
    name, namespace, *_ = str(urlsplit(url).hostname).split(".")
    return namespace, name


def _kustomized(folder: Path, namespace: str, tags: Mapping[str, str]) -> str:
    images = [{"name": name, **_parts(tag)} for name, tag in tags.items()]
    # kustomize accepts a folder outside its own by a relative path only.
    overlay = os.path.relpath(ROOT / "manifests/overlays/local", folder.resolve())
    content = _KUSTOMIZATION.format(namespace=namespace, overlay=overlay, images=json.dumps(images))
    (folder / "kustomization.yaml").write_text(content)
    return kustomize.build(folder)


def _parts(tag: str) -> Object:
    """The fields of kustomize for an image such as `registry:5000/flights:1@sha256:…`."""
    reference, _, digest = tag.partition("@")
    name, _, version = reference.rpartition(":")
    return {"newName": name, "digest": digest} if digest else {"newName": name, "newTag": version}


def _announced(folder: Path, process: subprocess.Popen[bytes]) -> state.Running:
    end = time.monotonic() + _START_SECONDS
    while (running := state.read(folder / "state")) is None:
        assert process.poll() is None, (folder / "up.log").read_text()
        assert time.monotonic() < end, (folder / "up.log").read_text()
        time.sleep(0.02)
    return running


def _domain(api: Api, namespace: str) -> str:
    router: Object = api.get_namespaced_custom_object(*GROUPS["services"], namespace, "services", "router")
    url: str = router["status"]["url"]
    return url.removeprefix("http://router.")


def _processes(running: state.Running, service: str) -> int:
    revisions = read_status(running)["services"][service]["revisions"]
    return sum(len(revision["replicas"]) for revision in revisions)
