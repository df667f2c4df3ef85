from __future__ import annotations

from collections.abc import Callable

from tidegate.doctor.accessors import workloads
from tidegate.doctor.cluster import namespace
from tidegate.documents import Document

Service = Callable[..., Document]


def test_dry_run_pod_needs_no_other_objects(service: Service) -> None:
    (workload,) = workloads([service(readinessProbe={"httpGet": {"path": "/"}}, resources={"requests": {"cpu": "1"}})])
    container = {"name": "container-0", "image": "flights", "resources": {"requests": {"cpu": "1"}}}
    assert namespace.pod(workload)["spec"] == {"automountServiceAccountToken": False, "containers": [container]}
