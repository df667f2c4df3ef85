"""Requests beyond the limits of a Knative Service, which queue-proxy enforces."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.e2e.calls import Answer, Site, eventually
from tests.e2e.departures import departure, tensors
from tests.e2e.deployment import ONE_REPLICA

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster
    from tests.e2e.deployment import Deployment

pytestmark = pytest.mark.e2e

INFER = "/v2/models/flights/infer"
CALLERS = 30
# queue-proxy lets containerConcurrency requests through, and holds ten times as many.
HELD = 11


def explained(rows: int) -> dict[str, object]:
    """A request for SHAP values, the most expensive output: about half a millisecond a row."""
    return {"inputs": tensors([departure(number) for number in range(rows)]), "outputs": [{"name": "contributions"}]}


def together(site: Site) -> list[Answer]:
    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(lambda _: site.call(INFER, explained(1_000)), range(CALLERS)))


def test_requests_beyond_the_queue_get_503(cluster: Cluster, deployment: Deployment) -> None:
    """Of concurrent requests to one replica with containerConcurrency 1, those beyond its queue of ten get 503."""
    # The activator would queue the requests that queue-proxy refuses.
    annotations = {**ONE_REPLICA, "autoscaling.knative.dev/target-burst-capacity": "0"}
    with deployment.another("flights-single", annotations=annotations, containerConcurrency=1) as name:
        revision = cluster.ready(name)["status"]["latestReadyRevisionName"]
        cluster.wait(f"serverlessservices.networking.internal.knative.dev/{revision}", "jsonpath={.spec.mode}=Serve", 120)
        site = deployment.site(name)
        answers = eventually(lambda: together(site), lambda found: any(answer.status != 200 for answer in found))
        refused = [answer for answer in answers if answer.status != 200]
        assert CALLERS - len(refused) >= HELD
        assert {(answer.status, answer.body) for answer in refused} == {(503, b"pending request queue full\n")}
        assert site.predict(departure(0)).status == 200


def test_slow_request_gets_504(cluster: Cluster, deployment: Deployment) -> None:
    """After timeoutSeconds the caller gets 504, and the function stops this request and serves the next."""
    with deployment.another("flights-hasty", annotations=ONE_REPLICA, timeoutSeconds=1) as name:
        cluster.ready(name)
        site = deployment.site(name)
        assert site.predict(departure(0)).status == 200
        answer = site.call(INFER, explained(50_000))
        assert answer.status == 504
        # From queue-proxy, or from the activator if that is in the path.
        assert answer.body in (b"request timeout", b"activator request timeout")
        began = time.monotonic()
        assert site.predict(departure(0)).status == 200
        print(f"the next answer after {time.monotonic() - began:.2f} s")
