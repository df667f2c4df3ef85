"""Invalid revisions: Knative's conditions have the reason, and the previous revision keeps serving."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.e2e.calls import eventually
from tests.e2e.cluster import condition
from tests.e2e.departures import departure

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster
    from tests.e2e.deployment import Deployment
    from tidegate.demo.offline import Offline

pytestmark = pytest.mark.e2e

# Knative checks the pods of a Deployment without progress when its deadline expires, after 10 minutes by default.
SOON = {"serving.knative.dev/progress-deadline": "20s"}
MOUNT = "/etc/model"


@pytest.fixture
def working(cluster: Cluster, deployment: Deployment) -> Iterator[str]:
    """The name of a model function with one ready revision."""
    with deployment.another("flights-changing", annotations=SOON) as name:
        cluster.ready(name)
        yield name


@pytest.fixture
def renamed_digest(cluster: Cluster, flights_models: Path) -> Iterator[str]:
    """A ConfigMap with the model v1, whose card has a different digest."""
    model = flights_models / "v1"
    card = re.sub(r"sha256: \w+", f"sha256: {'f' * 64}", (model / "model.yaml").read_text())
    artifact = base64.b64encode((model / "model.ubj").read_bytes()).decode()
    name = "another-digest"
    metadata = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    cluster.apply({**metadata, "data": {"model.yaml": card}, "binaryData": {"model.ubj": artifact}})
    yield name
    cluster.kubectl("delete", "configmap", name)


def test_missing_image_fails_the_new_revision(cluster: Cluster, deployment: Deployment, working: str, offline: Offline) -> None:
    """The Service's condition names the image that cannot be pulled, and the previous revision keeps serving."""
    old = cluster.get(f"ksvc/{working}")["status"]["latestReadyRevisionName"]
    image = deployment.image("flights").partition("@")[0].rpartition(":")[0] + ":never-built"
    cluster.apply(deployment.like_flights(working, annotations=SOON, container={"image": image}))
    ready = _failed(cluster, working, image)
    assert ready["reason"] == "RevisionFailed"
    _keeps_serving(cluster, deployment, working, old, offline)


def test_wrong_digest_fails_the_new_revision(
    cluster: Cluster, deployment: Deployment, working: str, renamed_digest: str, offline: Offline
) -> None:
    """The Service's condition has the function's own message, and the previous revision keeps serving."""
    old = cluster.get(f"ksvc/{working}")["status"]["latestReadyRevisionName"]
    cluster.apply(_with_model(deployment.like_flights(working, annotations=SOON), renamed_digest))
    ready = _failed(cluster, working, f"the artifact {MOUNT}/model.ubj has the sha256")
    assert ready["reason"] == "RevisionFailed"
    assert f"its card has {'f' * 12}" in ready["message"]
    _keeps_serving(cluster, deployment, working, old, offline)


def test_traffic_to_a_missing_revision_changes_nothing(cluster: Cluster, deployment: Deployment, offline: Offline) -> None:
    """The Service's condition names the missing revision, and the router keeps its previous arms."""
    router = deployment.router
    before = router.call("/v2/models").json()
    traffic: list[dict[str, Any]] = [{"revisionName": "flights-gone", "percent": 100, "tag": "gone"}]
    cluster.kubectl("patch", "ksvc", "flights", "--type=merge", "-p", json.dumps({"spec": {"traffic": traffic}}))
    try:
        ready = cluster.not_ready("ksvc/flights")
        assert (ready["reason"], ready["message"]) == ("RevisionMissing", 'Revision "flights-gone" referenced in traffic not found.')
        assert router.call("/v2/models").json() == before
        assert np.float32(router.predict(departure(3)).json()["predictions"][0]) == offline.scores("v1", [departure(3)])[0]
    finally:
        cluster.patch("ksvc/flights", {"op": "remove", "path": "/spec/traffic"})
        cluster.ready("flights")


def _with_model(service: dict[str, Any], config_map: str) -> dict[str, Any]:
    """The Service with a model from a ConfigMap instead of the image's."""
    spec = service["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    spec["volumes"].append({"name": "model", "configMap": {"name": config_map}})
    container["volumeMounts"].append({"name": "model", "mountPath": MOUNT})
    next(variable for variable in container["env"] if variable["name"] == "TIDEGATE_MODEL")["value"] = MOUNT
    return service


def _failed(cluster: Cluster, name: str, words: str) -> dict[str, Any]:
    """Wait until the condition Ready is False and has this text; it may have temporary reasons before."""

    def ready() -> dict[str, Any]:
        return condition(cluster.get(f"ksvc/{name}"), "Ready")

    return eventually(ready, lambda found: found["status"] == "False" and words in found["message"], 180)


def _keeps_serving(cluster: Cluster, deployment: Deployment, name: str, revision: str, offline: Offline) -> None:
    service = cluster.get(f"ksvc/{name}")
    assert service["status"]["latestReadyRevisionName"] == revision != service["status"]["latestCreatedRevisionName"]
    assert condition(service, "RoutesReady")["status"] == "True"
    answer = deployment.site(name).predict(departure(2))
    assert np.float32(answer.json()["predictions"][0]) == offline.scores("v1", [departure(2)])[0]
