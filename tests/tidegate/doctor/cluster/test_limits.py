from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidegate.doctor.accessors import workloads
from tidegate.doctor.cluster import limits
from tidegate.doctor.finding import Finding, Level
from tidegate.documents import Document

Object = dict[str, Any]
Service = Callable[..., Document]


def _quota(used: Object | None = None, **hard: str) -> Object:
    named = {name.replace("_", "."): value for name, value in hard.items()}
    return {"metadata": {"name": "q"}, "spec": {"hard": named}, "status": {"hard": named, "used": used or {}} if used else {}}


def _room(quota: Object, documents: list[Document], defaults: set[str] | None = None) -> list[Finding]:
    return list(limits.quotas([quota], workloads(documents), defaults or set()))


def test_quota_with_room_is_ok(service: Service) -> None:
    one = service(resources={"requests": {"cpu": "100m"}})
    assert [item.level for item in _room(_quota(requests_cpu="1", pods="5"), [one])] == [Level.OK]


def test_small_quota_names_the_amount_that_is_left(service: Service) -> None:
    one = service(resources={"requests": {"cpu": "100m"}})
    (never,) = _room(_quota(cpu="100m"), [one])
    (not_now,) = _room(_quota(used={"requests.cpu": "900m"}, requests_cpu="1"), [one])
    assert never.level is Level.ERROR
    assert "one replica of each needs 125m, 100m of 100m are left" in never.message  # with 25m for queue-proxy
    assert not_now.level is Level.WARNING
    assert "100m of 1 are left" in not_now.message


def test_quota_on_unnamed_resource_is_an_error_without_a_default(service: Service) -> None:
    one = service(resources={"requests": {"cpu": "100m"}})
    quota = _quota(limits_cpu="4")
    proxy, container = _room(quota, [one])
    assert proxy.level is Level.WARNING
    assert "queue.sidecar.serving.knative.dev/cpu-resource-limit" in proxy.remedy
    assert container.level is Level.ERROR
    assert "Service flights do not name" in container.message
    limit_range = {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}}
    assert [item.level for item in _room(quota, [one], limits.defaults([limit_range]))] == [Level.OK]


def test_limit_range_bounds_each_container(service: Service) -> None:
    ranges = [
        {
            "spec": {
                "limits": [{"type": "Container", "max": {"memory": "256Mi"}, "min": {"cpu": "50m"}}, {"type": "Pod", "max": {"cpu": "1m"}}]
            }
        }
    ]
    one = service(resources={"requests": {"cpu": "10m"}, "limits": {"memory": "1Gi"}})
    messages = [item.message for item in limits.ranges(ranges, workloads([one]))]
    assert messages == [
        "Service flights: limits.memory is 1Gi; at most 256Mi is allowed.",
        "Service flights: requests.cpu is 10m; at least 50m is required.",
    ]
