from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e.calls import eventually
from tidegate.doctor.finding import Finding, Level
from tidegate.doctor.run import Settings, run

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.deployment import Deployment

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
NAME = "stream-nowhere"


@pytest.fixture
def worker(cluster: Cluster, deployment: Deployment) -> Iterator[Object]:
    """The stream worker of the manifests, with a sink and an unreachable Kafka."""
    item: Object = yaml.safe_load((ROOT / "manifests/base/stream/deployment.yaml").read_text())
    pod = item["spec"]["template"]
    item["metadata"]["name"] = NAME
    for labels in (item["metadata"]["labels"], item["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]):
        labels["app.kubernetes.io/name"] = NAME
    (container,) = pod["spec"]["containers"]
    pod["spec"]["serviceAccountName"] = "default"
    container["image"] = deployment.image("stream")
    container["resources"]["requests"] = {"cpu": "10m", "memory": "64Mi"}
    next(variable for variable in container["env"] if variable["name"] == "TIDEGATE_BOOTSTRAP_SERVERS")["value"] = "127.0.0.1:1"
    container["env"].append({"name": "K_SINK", "value": "http://router/models/flights"})
    cluster.apply(item)
    yield item
    cluster.kubectl("delete", "deployment", NAME, "--wait=false")


def _found(cluster: Cluster, item: Object, folder: Path) -> Finding:
    file = folder / "worker.yaml"
    file.write_text(yaml.safe_dump(item))
    settings = Settings(manifests=str(file), root=ROOT, port=0, cluster=True, namespace=cluster.namespace)
    return next(found for _, found in run(settings) if found.subject == f"Deployment {NAME}" and "pods are ready" in found.message)


def _restarts(pods: list[Any]) -> int:
    return sum(status["restartCount"] for pod in pods for status in pod["status"].get("containerStatuses", ()))


def test_crash_looping_worker_has_its_last_log_line(cluster: Cluster, worker: Object, tmp_path: Path) -> None:
    """A worker without Kafka: `kubectl get pods` shows CrashLoopBackOff, and doctor shows the reason and the remedy."""
    label = f"app.kubernetes.io/name={NAME}"
    eventually(lambda: cluster.find("pods", label), lambda pods: _restarts(pods) > 0, 120)
    found = _found(cluster, worker, tmp_path)
    assert found.level is Level.ERROR
    assert "stream exits with code 1" in found.message
    assert "no Kafka broker answers at 127.0.0.1:1" in found.message
    assert "kafka-single-node" in found.remedy
