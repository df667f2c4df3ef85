from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.e2e.departures import departure, tensors

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster
    from tests.e2e.deployment import Deployment
    from tidegate.demo.offline import Offline

pytestmark = pytest.mark.e2e


def test_call_starts_router_and_model_from_zero(cluster: Cluster, deployment: Deployment, offline: Offline) -> None:
    """With both at zero, an Open Inference call gets the score that the model of this checkout gives."""
    router = deployment.router
    for name in ("router", "flights"):
        cluster.at_zero(name)
    record = departure(1)
    began = time.monotonic()
    answer = router.call("/v2/models/flights/infer", {"inputs": tensors([record])})
    print(f"from zero through ingress, router and model: {time.monotonic() - began:.1f} s")
    assert answer.status == 200, answer
    (output,) = answer.json()["outputs"]
    assert output["name"] == "late"
    assert np.float32(output["data"][0]) == offline.scores("v1", [record])[0]
    for name in ("router", "flights"):
        assert [pod["status"]["phase"] for pod in cluster.pods(name)] == ["Running"]
