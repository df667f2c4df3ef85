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
from pathlib import Path
from typing import Any

from kubernetes import client as kubernetes
from kubernetes import config

from tests.e2e.cluster import PART, Cluster
from tests.e2e.deployment import images_of
from tidegate import kustomize
from tidegate.commands.status import read_status
from tidegate.local import state

Object = dict[str, Any]
Api = Any
Kubectl = Callable[..., str]
# This has no types.
CONNECT: Callable[..., Any] = config.new_client_from_config

ROOT = Path(__file__).parents[2]
_SERVICES = ("serving.knative.dev", "v1")
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
    service.
    """

    name: str
    namespace: str
    ingress: tuple[str, int]
    domain: str
    images: Mapping[str, str]
    api: Api
    replicas: Callable[[str], int]


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
            host, _, port = running.gateway.removeprefix("http://").partition(":")
            api = kubernetes.CustomObjectsApi(connection)
            yield Side("local", namespace, (host, int(port)), _domain(api, namespace), {}, api, lambda name: _processes(running, name))
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
            host, _, port = ingress.partition(":")
            yield Side("cluster", namespace, (host, int(port)), _domain(api, namespace), tags, api, lambda name: len(here.pods(name)))
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")


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
    router: Object = api.get_namespaced_custom_object(*_SERVICES, namespace, "services", "router")
    url: str = router["status"]["url"]
    return url.removeprefix("http://router.")


def _processes(running: state.Running, service: str) -> int:
    revisions = read_status(running)["services"][service]["revisions"]
    return sum(len(revision["replicas"]) for revision in revisions)
