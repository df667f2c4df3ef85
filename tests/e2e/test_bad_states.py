"""What cannot work is told by Knative's conditions, and what could be served before goes on being served."""

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

# Until a Deployment that makes no progress is given up, Knative looks at its pods only when something else happens: 10 minutes unless told.
SOON = {"serving.knative.dev/progress-deadline": "20s"}
MOUNT = "/etc/model"


@pytest.fixture
def working(cluster: Cluster, deployment: Deployment) -> Iterator[str]:
    """The name of a model function with one revision, which serves."""
    with deployment.another("flights-changing", annotations=SOON) as name:
        cluster.ready(name)
        yield name


@pytest.fixture
def renamed_digest(cluster: Cluster, flights_models: Path) -> Iterator[str]:
    """A ConfigMap with the model v1, whose card has another digest."""
    model = flights_models / "v1"
    card = re.sub(r"sha256: \w+", f"sha256: {'f' * 64}", (model / "model.yaml").read_text())
    artifact = base64.b64encode((model / "model.ubj").read_bytes()).decode()
    name = "another-digest"
    metadata = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    cluster.apply({**metadata, "data": {"model.yaml": card}, "binaryData": {"model.ubj": artifact}})
    yield name
    cluster.kubectl("delete", "configmap", name)


def test_an_image_that_is_not_there(cluster: Cluster, deployment: Deployment, working: str, offline: Offline) -> None:
    """The Service's condition names the image that cannot be pulled, and the revision before goes on answering."""
    old = cluster.get(f"ksvc/{working}")["status"]["latestReadyRevisionName"]
    image = deployment.image("flights").partition("@")[0].rpartition(":")[0] + ":never-built"
    cluster.apply(deployment.like_flights(working, annotations=SOON, container={"image": image}))
    said = _failed(cluster, working, image)
    assert said["reason"] == "RevisionFailed"
    _goes_on(cluster, deployment, working, old, offline)


def test_a_model_whose_digest_is_another(
    cluster: Cluster, deployment: Deployment, working: str, renamed_digest: str, offline: Offline
) -> None:
    """The Service's condition carries the function's own sentence, and the revision before goes on answering."""
    old = cluster.get(f"ksvc/{working}")["status"]["latestReadyRevisionName"]
    cluster.apply(_with_model(deployment.like_flights(working, annotations=SOON), renamed_digest))
    said = _failed(cluster, working, f"the artifact {MOUNT}/model.ubj has the sha256")
    assert said["reason"] == "RevisionFailed"
    assert f"its card promises {'f' * 12}" in said["message"]
    _goes_on(cluster, deployment, working, old, offline)


def test_traffic_that_names_a_revision_that_is_gone(cluster: Cluster, deployment: Deployment, offline: Offline) -> None:
    """The Service's condition names the missing revision, and the router keeps the arms that it had before."""
    router = deployment.router
    before = router.call("/v2/models").json()
    traffic: list[dict[str, Any]] = [{"revisionName": "flights-gone", "percent": 100, "tag": "gone"}]
    cluster.kubectl("patch", "ksvc", "flights", "--type=merge", "-p", json.dumps({"spec": {"traffic": traffic}}))
    try:
        said = cluster.not_ready("ksvc/flights")
        assert (said["reason"], said["message"]) == ("RevisionMissing", 'Revision "flights-gone" referenced in traffic not found.')
        assert router.call("/v2/models").json() == before
        assert np.float32(router.predict(departure(3)).json()["predictions"][0]) == offline.scores("v1", [departure(3)])[0]
    finally:
        cluster.patch("ksvc/flights", {"op": "remove", "path": "/spec/traffic"})
        cluster.ready("flights")


def _with_model(service: dict[str, Any], config_map: str) -> dict[str, Any]:
    """The service, with a model from a ConfigMap instead of the image's."""
    spec = service["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    spec["volumes"].append({"name": "model", "configMap": {"name": config_map}})
    container["volumeMounts"].append({"name": "model", "mountPath": MOUNT})
    next(variable for variable in container["env"] if variable["name"] == "TIDEGATE_MODEL")["value"] = MOUNT
    return service


def _failed(cluster: Cluster, name: str, words: str) -> dict[str, Any]:
    """The condition Ready once it is False and says this: what a pod waits for at the moment may stand there first."""

    def look() -> dict[str, Any]:
        return condition(cluster.get(f"ksvc/{name}"), "Ready")

    return eventually(look, lambda found: found["status"] == "False" and words in found["message"], 180)


def _goes_on(cluster: Cluster, deployment: Deployment, name: str, revision: str, offline: Offline) -> None:
    service = cluster.get(f"ksvc/{name}")
    assert service["status"]["latestReadyRevisionName"] == revision != service["status"]["latestCreatedRevisionName"]
    assert condition(service, "RoutesReady")["status"] == "True"
    answer = deployment.site(name).predict(departure(2))
    assert np.float32(answer.json()["predictions"][0]) == offline.scores("v1", [departure(2)])[0]
