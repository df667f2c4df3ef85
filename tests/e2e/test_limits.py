"""What Knative's queue-proxy, in front of every function, does for requests beyond the limits of their Knative Service."""

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
    """A request that takes about half a millisecond a row: SHAP values are what costs a model function most."""
    return {"inputs": tensors([departure(number) for number in range(rows)]), "outputs": [{"name": "contributions"}]}


def together(site: Site) -> list[Answer]:
    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(lambda _: site.call(INFER, explained(1_000)), range(CALLERS)))


def test_what_the_queue_does_not_hold_gets_503(cluster: Cluster, deployment: Deployment) -> None:
    """Of many at once to one replica with containerConcurrency 1, those beyond its queue of ten get 503, and the others are answered."""
    # While the activator is in the way, it holds what queue-proxy would refuse.
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


def test_a_request_that_takes_too_long_gets_504(cluster: Cluster, deployment: Deployment) -> None:
    """After timeoutSeconds the caller is told so, and the function goes on with the next request rather than with this one."""
    with deployment.another("flights-hasty", annotations=ONE_REPLICA, timeoutSeconds=1) as name:
        cluster.ready(name)
        site = deployment.site(name)
        assert site.predict(departure(0)).status == 200
        answer = site.call(INFER, explained(50_000))
        assert answer.status == 504
        # By queue-proxy, or by the activator while that is in the way.
        assert answer.body in (b"request timeout", b"activator request timeout")
        began = time.monotonic()
        assert site.predict(departure(0)).status == 200
        print(f"the next answer after {time.monotonic() - began:.2f} s")
