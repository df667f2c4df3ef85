from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.calls import eventually
from tests.e2e.departures import binary, departure
from tests.e2e.deployment import ONE_REPLICA

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster
    from tests.e2e.deployment import Deployment

pytestmark = pytest.mark.e2e

# The function needs 50 MiB; a request with the maximum of rows needs as much again.
RESOURCES = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}}
ROWS = 100_000


def test_function_serves_again_after_out_of_memory(cluster: Cluster, deployment: Deployment) -> None:
    """The request gets 502, the pod has OOMKilled, and the function serves again after its container's restart."""
    with deployment.another("flights-small", annotations=ONE_REPLICA, container={"resources": RESOURCES}) as name:
        cluster.ready(name)
        site = deployment.site(name)
        (pod,) = cluster.pods(name)
        assert site.predict(departure(0)).status == 200
        body, headers = binary([departure(number) for number in range(ROWS)])
        answer = site.call("/v2/models/flights/infer", body, headers=headers)
        assert (answer.status, answer.body) == (502, b"EOF\n")
        container = '{.status.containerStatuses[?(@.name=="flights")]'
        cluster.wait(f"pod/{pod['metadata']['name']}", f"jsonpath={container}.lastState.terminated.reason}}=OOMKilled", 60)
        eventually(lambda: site.predict(departure(0)).status, lambda status: status == 200)
        statuses = cluster.get(f"pod/{pod['metadata']['name']}")["status"]["containerStatuses"]
        assert {status["name"]: status["restartCount"] for status in statuses} == {"flights": 1, "queue-proxy": 0}
