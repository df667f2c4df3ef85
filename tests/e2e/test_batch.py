from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.e2e.batch_data import ROWS
from tests.e2e.departures import event

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster
    from tests.e2e.deployment import Deployment

pytestmark = pytest.mark.e2e

# Deleted with the Job's pod.
OUTPUT = "/tmp/scored.parquet"  # noqa: S108


def test_event_to_the_jobsink_scores_a_file(cluster: Cluster, deployment: Deployment) -> None:
    """An event starts one Job, which scores a Parquet file and logs the rows by revision; a duplicate starts none."""
    address = cluster.get("jobsink/batch")["status"]["address"]["url"]
    revision = cluster.get("ksvc/flights")["status"]["latestReadyRevisionName"]
    data = {"model": "flights", "input": "/data/departures.parquet", "output": OUTPUT, "key": "tailnum"}
    request = event(uuid.uuid4().hex, data, type_="dev.tidegate.batch.requested")
    with deployment.inside(address) as send:
        assert [send(request).status, send(request).status] == [202, 202]
    (job,) = cluster.find("jobs", "app.kubernetes.io/name=batch")
    name = job["metadata"]["name"]
    cluster.wait(f"job/{name}", "condition=Complete", 180)
    log = cluster.kubectl("logs", f"job/{name}")
    assert re.search(rf"done: {ROWS} rows in [\d.]+ s \({ROWS} by {revision}\)", log), log
